package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
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
		{UUID: "390b4d5a-0a3c-4f0e-9d0c-2b0b6f6f1a11", Name: "\x1b[2J\nx", Kind: orphan.KindFiles, Verdict: orphan.Lost, Command: "rm"},
		{UUID: "7f1c3c0e-6a4e-4d57-8a3e-0d1f0e6a1b22", Name: "web", Verdict: orphan.Live},
	}, now)
	for _, line := range lines {
		if len([]rune(line)) > 109 || strings.ContainsAny(line, "\x1b\n") {
			t.Errorf("%d columns: %q", len([]rune(line)), line)
		}
	}
	if len(lines) != 4 || !strings.Contains(lines[1], "4c 8G 20G +1") || !strings.Contains(lines[1], " 2d ") ||
		!strings.HasSuffix(lines[2], " see its command") || !strings.HasPrefix(lines[3], "- ") || !strings.HasSuffix(lines[3], " live     -") {
		t.Errorf("got\n%s", strings.Join(lines, "\n"))
	}
	if got := table(nil, now); len(got) > 0 {
		t.Errorf("of nothing: got %q", got)
	}
}

// Of named instances Placement is asked over its API for what they hold, and for nothing else.
func TestWhetherAHypervisorThatIsNoComputeNodeHasAProviderIsAsked(t *testing.T) {
	const instance, other = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	has := func(uuid string) []orphan.Domain { return []orphan.Domain{{UUID: uuid, Nova: true}} }
	for _, down := range []bool{false, true} {
		cloud := openstacktest.NewInEnvironment(t)
		cloud.AddProvider("old.example", "aaaaaaaa-0000-4000-8000-000000000001", "", nil)
		a := &audit{parameters: parameters{Workers: 1}, call: ansibletest.SilentCall(t, false), survey: &placement.Survey{}}
		a.picture.Named, a.picture.Providers = true, map[string]orphan.Provider{}
		a.picture.Cells = []orphan.CellPicture{{Nodes: []orphan.ComputeNode{{Host: "host1", Hypervisor: "host1.example"}}}}
		a.picture.Hypervisors = []orphan.Hypervisor{{Name: "host1.example", Domains: has(instance)},
			{Name: "old.example", Domains: has(instance)}, {Name: "new.example", Files: []orphan.InstanceFiles{{UUID: instance}}},
			{Name: "other.example", Domains: has(other)}}
		if err := a.connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if down {
			cloud.Fail(openstacktest.Failure{Method: "GET", Path: "/placement/resource_providers", Times: 9, Status: 403})
		}
		a.lookAtAllocations(t.Context(), []string{instance})
		asked := strings.Join(cloud.Requests(), "\n")
		named := strings.Count(asked, "resource_providers?")
		if failed := a.picture.PlacementFailure != ""; failed != down || !down && (named != 2 || len(a.picture.Providers) != 1) {
			t.Errorf("down %t: %q, providers %v, it asked\n%s", down, a.picture.PlacementFailure, a.picture.Providers, asked)
		}
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

func TestANamedInstanceThatIsNoOrphanIsToldAndIsNoFinding(t *testing.T) {
	a := &audit{parameters: parameters{Instances: []string{"1", "2", "3"}, Kinds: []string{"zombie"}, Sightings: 2}}
	a.picture.Named, a.picture.HypervisorsAsked, a.picture.Placed = true, true, maps.All(map[string][]string{})
	r := newReply(a, time.Now())
	r.Findings = []orphan.Finding{{UUID: "1", Verdict: orphan.Live, Hosts: []string{"host1"}}, {UUID: "2", Kind: orphan.KindZombie},
		{UUID: "3", Verdict: orphan.Absent}}
	if err := a.finish(r); err != nil || r.Counts.Findings != 1 || len(r.Findings) != 1 || len(r.NotOrphaned) != 2 {
		t.Errorf("got findings %v, not orphaned %v, %v", r.Findings, r.NotOrphaned, err)
	}
	if want := "1 finding, 0 unknown, 0 sources unread, 0 pending, 2 not orphaned"; r.Msg != want || len(r.Table) != 6 || r.Table[4] != want {
		t.Errorf("got %q and\n%s", r.Msg, strings.Join(r.Table, "\n"))
	}
	if got, err := json.Marshal(r.Scope); string(got) != `{"instance_uuid":["1","2","3"],"host":[],"project":[],"kinds":["zombie"]}` {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestWhereNothingIsFoundItIsToldWhatWasLookedAt(t *testing.T) {
	a := &audit{parameters: parameters{Sightings: 1}}
	a.picture.Cells = []orphan.CellPicture{{Instances: make([]orphan.Instance, 2)}}
	a.picture.Placed = maps.All(map[string][]string{"1": nil})
	a.picture.Hypervisors, a.picture.HypervisorsAsked = []orphan.Hypervisor{{Name: "host1", Failure: "no route"}}, true
	r := newReply(a, time.Now())
	want := []string{"0 findings, 0 unknown, 1 source unread, 0 pending", "looked at 2 instances, 1 consumer, 0 domains"}
	if err := a.finish(r); err != nil || !slices.Equal(r.Table, want) {
		t.Errorf("got %q, %v", r.Table, err)
	}
}

func TestAHostThatNobodyKnowsIsAMistake(t *testing.T) {
	found := []orphan.Finding{{UUID: "1", Hosts: []string{"scrapped"}}}
	inDoubt := []orphan.Doubt{{UUID: "2", Hosts: []string{"doubtful"}}}
	for _, test := range []struct {
		host, unread string
		unknown      bool
	}{
		{"", "", false}, {"host1", "", false}, {"served", "", false}, {"empty", "", false}, {"scrapped", "", false}, {"doubtful", "", false},
		{"down", "", false}, {"hots1", "", true}, {"host1.example", "", true}, {"hots1", "cell", false}, {"hots1", "placement", false},
	} {
		a := &audit{}
		if test.host != "" {
			a.Hosts = []string{"host1", test.host}
		}
		a.picture.Cells = []orphan.CellPicture{{Nodes: []orphan.ComputeNode{{Host: "host1", Hypervisor: "host1.example"}},
			Services: []orphan.ComputeService{{Host: "host1"}, {Host: "served"}}, Instances: []orphan.Instance{{Host: "empty"}}}}
		a.picture.Hypervisors, a.picture.HypervisorsAsked = []orphan.Hypervisor{{Host: "down", Failure: "no route"}}, true
		switch test.unread {
		case "cell":
			a.picture.Cells = append(a.picture.Cells, orphan.CellPicture{Failure: "no route"})
		case "placement":
			a.picture.PlacementFailure = "answered 503"
		}
		err := a.unknownHost(found, inDoubt)
		if (err != nil) != test.unknown {
			t.Errorf("%+v: got %v", test, err)
		}
		if err != nil && (!strings.Contains(err.Error(), strconv.Quote(test.host)) || !strings.HasSuffix(err.Error(), ": host1, served")) {
			t.Errorf("got %v", err)
		}
	}
	many := &audit{parameters: parameters{Hosts: []string{"hots1"}}}
	many.picture.Cells = []orphan.CellPicture{{}}
	for i := range 100 {
		many.picture.Cells[0].Nodes = append(many.picture.Cells[0].Nodes, orphan.ComputeNode{Host: fmt.Sprintf("host%03d", i)})
	}
	if err := many.unknownHost(nil, nil); err == nil || !strings.HasSuffix(err.Error(), ", host019, and 80 more") {
		t.Errorf("got %v", err)
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
