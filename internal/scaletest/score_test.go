package scaletest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/orphan"
	"nova-orphan/internal/scaletest"
)

func TestAnAuditIsHeldToTheTruth(t *testing.T) {
	truth := scaletest.Truth{
		Orphans: map[string]scaletest.Orphan{"a": {orphan.KindError, "in error", scaletest.Cell1},
			"b": {orphan.KindMigration, "confirmed", scaletest.Cell1}},
		Traps:      map[string]string{"c": "build"},
		Migrations: map[string]string{"m": "b", "n": "c"},
	}
	for _, test := range []struct {
		name  string
		found map[string]orphan.Kind
		want  scaletest.Score
	}{
		{"all", map[string]orphan.Kind{"a": orphan.KindError, "b": orphan.KindMigration},
			scaletest.Score{Found: map[orphan.Kind]int{orphan.KindError: 1, orphan.KindMigration: 1}}},
		{"without kinds, by the migration's uuid", map[string]orphan.Kind{"a": "", "b": "", "m": ""},
			scaletest.Score{Found: map[orphan.Kind]int{orphan.KindError: 1, orphan.KindMigration: 1}}},
		{"a wrong kind", map[string]orphan.Kind{"a": orphan.KindZombie, "b": orphan.KindMigration},
			scaletest.Score{Found: map[orphan.Kind]int{orphan.KindMigration: 1}, WrongKind: []string{"a is error (in error), not zombie"}}},
		{"none", nil, scaletest.Score{Found: map[orphan.Kind]int{},
			Missed: []string{"a is error (in error)", "b is migration_allocation (confirmed)"}}},
		{"a trap, and what is in order", map[string]orphan.Kind{"a": "", "b": "", "n": orphan.KindMigration, "x": orphan.KindDomain},
			scaletest.Score{Found: map[orphan.Kind]int{orphan.KindError: 1, orphan.KindMigration: 1},
				Traps: []string{"n is no migration_allocation: build"}, Others: []string{"x is no domain_without_row"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, truth.Score(test.found)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
