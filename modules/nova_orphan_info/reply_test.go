package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/placement"
)

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func TestTheTableFitsATerminalAndNoNameMovesItsCursor(t *testing.T) {
	since := now.Add(-50 * time.Hour)
	lines := table([]orphan.Finding{
		{UUID: "u", Name: strings.Repeat("prüf ☃ ", 9), Kind: orphan.KindBuildRequest, Verdict: orphan.Archived, Method: "nova_instance_delete",
			Hosts: []string{strings.Repeat("h", 40)}, Since: &since,
			Resources: map[string]int{"VCPU": 4, "MEMORY_MB": 8192, "DISK_GB": 20, "VGPU": 1}},
		{UUID: "390b4d5a-0a3c-4f0e-9d0c-2b0b6f6f1a11", Name: "\x1b[2J\nx", Kind: orphan.KindFiles, Verdict: orphan.Lost},
	}, now)
	for _, line := range lines {
		if len([]rune(line)) > 109 || strings.ContainsAny(line, "\x1b\n") {
			t.Errorf("%d columns: %q", len([]rune(line)), line)
		}
	}
	if len(lines) != 3 || !strings.Contains(lines[1], "4c 8G 20G +1") || !strings.Contains(lines[1], " 2d ") ||
		!strings.Contains(lines[2], "see its command") {
		t.Errorf("got\n%s", strings.Join(lines, "\n"))
	}
	if got := table(nil, now); len(got) > 0 {
		t.Errorf("of nothing: got %q", got)
	}
}

func TestAnAgeIsToldInItsLargestUnit(t *testing.T) {
	for idle, want := range map[time.Duration]string{-time.Hour: "0m", time.Minute: "1m", 119 * time.Minute: "119m", 2 * time.Hour: "2h",
		47 * time.Hour: "47h", 49 * time.Hour: "2d"} {
		at := now.Add(-idle)
		if got := age(&at, now); got != want {
			t.Errorf("%s: got %s, want %s", idle, got, want)
		}
	}
	if got := age(nil, now); got != "-" {
		t.Errorf("of no time: got %s", got)
	}
}

func TestAnImplausibleShareOfOrphansIsAFault(t *testing.T) {
	for _, test := range []struct {
		percent, findings, instances int
		stops                        bool
	}{
		{10, 20, 0, false}, {10, 21, 0, true}, {10, 21, 210, false}, {10, 22, 210, true}, {100, 900, 3, false}, {0, 21, 10000, true},
	} {
		a := &audit{parameters: parameters{MaxFindingsPercent: test.percent}}
		a.picture.Cells = []orphan.CellPicture{{}, {Instances: make([]orphan.Instance, test.instances)}}
		if got := a.implausible(test.findings); (got != nil) != test.stops {
			t.Errorf("%+v: got %v", test, got)
		}
	}
}

func TestOnlyWhatSeveralAuditsInARowHaveSeenIsAFinding(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "sightings.json")
	a := &audit{parameters: parameters{Sightings: 3, StateFile: path}, call: ansibletest.SilentCall(t, false)}
	one, two := orphan.Finding{UUID: "1", Kind: orphan.KindZombie}, orphan.Finding{UUID: "2", Kind: orphan.KindDomain}
	other := orphan.Finding{UUID: "2", Kind: orphan.KindAllocation}
	for i, test := range []struct {
		seen    []orphan.Finding
		told    string
		pending int
	}{
		{[]orphan.Finding{one, two}, "[]", 2},
		{[]orphan.Finding{one, two}, "[]", 2},
		{[]orphan.Finding{one, other}, "[1]", 1}, // of another kind is another one
		{[]orphan.Finding{two}, "[]", 1},
		{[]orphan.Finding{one, two}, "[]", 2}, // it was gone in between
	} {
		often, pending, err := a.seenOften(slices.Clone(test.seen), "now")
		var told []string
		for _, f := range often {
			told = append(told, f.UUID)
		}
		if err != nil || fmt.Sprint(told) != test.told || len(pending) != test.pending {
			t.Errorf("audit %d: got %v, %v pending, %v", i, told, pending, err)
		}
	}
	before, _ := os.ReadFile(path)
	a.call = ansibletest.SilentCall(t, true)
	if _, _, err := a.seenOften([]orphan.Finding{one}, "now"); err != nil {
		t.Error(err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("check mode wrote the state file")
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.seenOften(nil, "now"); err == nil || !strings.Contains(err.Error(), "remove it to begin anew") {
		t.Errorf("of a broken file: got %v", err)
	}
}

func TestAFilterForgetsNothingThatAnotherAuditHasSeen(t *testing.T) {
	a := &audit{parameters: parameters{Sightings: 2, StateFile: filepath.Join(t.TempDir(), "sightings.json"), MaxFindingsPercent: 100},
		call: ansibletest.SilentCall(t, false)}
	for i, test := range []struct {
		kinds []string
		named bool
		want  string // findings, pending
	}{
		{[]string{"zombie"}, false, "0 1"},
		{[]string{"domain_without_row"}, false, "1 0"},
		{nil, true, "2 0"},
		{nil, false, "2 0"},
	} {
		a.Kinds, a.picture.Named = test.kinds, test.named
		r := &reply{Findings: []orphan.Finding{{UUID: "1", Kind: orphan.KindZombie}, {UUID: "2", Kind: orphan.KindDomain}}}
		if err := a.finish(r); err != nil || fmt.Sprint(len(r.Findings), r.Counts.Pending) != test.want {
			t.Errorf("audit %d: got %v, %d pending, %v", i, r.Findings, r.Counts.Pending, err)
		}
	}
}

func TestWhatMayBeOnAnyHostIsUnknownOnEach(t *testing.T) {
	a := &audit{parameters: parameters{Hosts: []string{"host1"}, MaxFindingsPercent: 100}}
	r := &reply{Unknown: []orphan.Doubt{{UUID: "1"}, {UUID: "2", Hosts: []string{"host1"}}, {UUID: "3", Hosts: []string{"host2"}}}}
	if err := a.finish(r); err != nil || len(r.Unknown) != 2 {
		t.Errorf("got %v, %v", r.Unknown, err)
	}
}

// failing is a Placement that answers no question about a consumer.
type failing struct{ asked []string }

func (*failing) Survey(context.Context) (*placement.Survey, error) { return &placement.Survey{}, nil }

func (f *failing) Details(_ context.Context, consumers []string) (map[string]placement.Allocation, error) {
	f.asked = slices.Clone(consumers)
	return nil, errors.New("answered 503")
}

func TestAPlacementThatFailsAtASuspectIsUnread(t *testing.T) {
	a := &audit{allocations: &failing{}, survey: &placement.Survey{}}
	a.lookAtAllocations(t.Context(), []string{"1"})
	if !strings.Contains(a.picture.PlacementFailure, "answered 503") {
		t.Errorf("got %q", a.picture.PlacementFailure)
	}
}

func TestPlacementIsNotAskedForEachInstanceOfAnUnreadCell(t *testing.T) {
	source := &failing{}
	a := &audit{allocations: source, survey: &placement.Survey{}}
	a.picture.Cells, a.picture.Mappings = []orphan.CellPicture{{Failure: "no route"}}, map[string]orphan.MappedTo{"1": {}}
	if a.lookAtAllocations(t.Context(), []string{"1", "2"}); !slices.Equal(source.asked, []string{"2"}) {
		t.Errorf("asked for %v", source.asked)
	}
}
