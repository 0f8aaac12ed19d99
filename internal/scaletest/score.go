package scaletest

import (
	"fmt"
	"maps"
	"slices"

	"nova-orphan/internal/orphan"
)

// Score is how an audit has done.
type Score struct {
	// Found counts the orphans that were found as what they are, by kind.
	Found map[orphan.Kind]int
	// Missed, WrongKind, Traps and Others are a line each: orphans that were not found, or as something else;
	// traps that were taken for orphans, and what is in order and was taken for one.
	Missed, WrongKind, Traps, Others []string
}

// Score compares what was found with the truth. A kind of "" is right: who found it does not tell kinds. A migration's
// uuid counts as its instance's.
func (t Truth) Score(found map[string]orphan.Kind) Score {
	score, seen := Score{Found: map[orphan.Kind]int{}}, map[string]bool{}
	for _, uuid := range slices.Sorted(maps.Keys(found)) {
		kind, told := found[uuid], uuid
		if instance, is := t.Migrations[uuid]; is {
			told = instance
		}
		truth, orphaned := t.Orphans[told]
		trap, trapped := t.Traps[told]
		switch {
		case seen[told]: // by its own uuid and by its migration's
		case orphaned && (kind == truth.Kind || kind == ""):
			score.Found[truth.Kind]++
		case orphaned:
			score.WrongKind = append(score.WrongKind, fmt.Sprintf("%s is %s (%s), not %s", uuid, truth.Kind, truth.Case, kind))
		case trapped:
			score.Traps = append(score.Traps, fmt.Sprintf("%s is no %s: %s", uuid, kind, trap))
		default:
			score.Others = append(score.Others, fmt.Sprintf("%s is no %s", uuid, kind))
		}
		seen[told] = true
	}
	for _, uuid := range slices.Sorted(maps.Keys(t.Orphans)) {
		if !seen[uuid] {
			score.Missed = append(score.Missed, fmt.Sprintf("%s is %s (%s)", uuid, t.Orphans[uuid].Kind, t.Orphans[uuid].Case))
		}
	}
	return score
}

// Faults are all lines of what is not as it should be.
func (s Score) Faults() []string { return slices.Concat(s.Missed, s.WrongKind, s.Traps, s.Others) }

// Right is how many orphans were found as what they are.
func (s Score) Right() (sum int) {
	for _, count := range s.Found {
		sum += count
	}
	return sum
}
