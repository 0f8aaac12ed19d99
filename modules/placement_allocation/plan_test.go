package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/placement"
)

const orphanUUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"

func holding(providers map[string]placement.Resources) placement.Allocation {
	generation := 3
	return placement.Allocation{Consumer: orphanUUID, ProjectID: "p", UserID: "u", Generation: &generation, Providers: providers}
}

var nothing = placement.Allocation{Consumer: orphanUUID, Providers: map[string]placement.Resources{}}

func aim(now placement.Allocation, at goal) (change, error) {
	after, err := at(now)
	return change{before: now, after: after}, err
}

func TestPlan(t *testing.T) {
	cpu, gpu, disk := placement.Resources{"VCPU": 1}, placement.Resources{"VGPU": 1}, placement.Resources{"DISK_GB": 1}
	tree := remove("compute1", []string{compute1, vgpu})
	type providers = map[string]placement.Resources
	for _, test := range []struct {
		name     string
		now      placement.Allocation
		wanted   goal
		after    providers
		takes    bool
		refusing string
	}{
		{"a consumer that holds nothing needs nothing", nothing, remove("", nil), providers{}, false, ""},
		{"one that holds nothing on the tree needs nothing", holding(providers{compute2: cpu}), tree, providers{compute2: cpu}, false, ""},
		{"one that holds nothing needs no provider", nothing, remove("gone", nil), providers{}, false, ""},
		{"a normal allocation is removed", holding(providers{compute1: cpu}), remove("", nil), providers{}, true, ""},
		{"all providers go when none is named", holding(providers{compute1: cpu, vgpu: gpu, storage: disk}), remove("", nil), providers{},
			true, ""},
		{"nested children go with their root", holding(providers{compute1: cpu, vgpu: gpu}), tree, providers{}, true, ""},
		{"a child alone goes, too", holding(providers{vgpu: gpu, compute2: cpu}), tree, providers{compute2: cpu}, true, ""},
		{"a sharing provider stays", holding(providers{compute1: cpu, storage: disk}), tree, providers{storage: disk}, true, ""},
		{"half of a doubled allocation stays", holding(providers{compute1: cpu, vgpu: gpu, compute2: cpu, storage: disk}), tree,
			providers{compute2: cpu, storage: disk}, true, ""},
		{"a mistyped provider is refused", holding(providers{compute1: cpu}), remove("compuet1", nil), nil, false,
			"no resource provider \"compuet1\""},
		{"present on nothing needs an owner", nothing, set(compute1, cpu, "", ""), nil, false,
			"project_id and user_id"},
		{"present on nothing with half an owner, too", nothing, set(compute1, cpu, "p", ""), nil,
			false, "project_id and user_id"},
		{"present on nothing takes nothing", nothing, set(compute1, cpu, "p", "u"),
			providers{compute1: cpu}, false, ""},
		{"present beside others takes nothing", holding(providers{compute2: cpu}), set(compute1, cpu, "", ""),
			providers{compute1: cpu, compute2: cpu}, false, ""},
		{"present and equal needs nothing", holding(providers{compute1: cpu}),
			set(compute1, cpu, "p", ""), providers{compute1: cpu}, false, ""},
		{"present with less takes", holding(providers{compute1: {"VCPU": 2}}), set(compute1, cpu, "", ""),
			providers{compute1: cpu}, true, ""},
		{"present with more replaces", holding(providers{compute1: cpu}),
			set(compute1, placement.Resources{"VCPU": 2}, "", ""), providers{compute1: {"VCPU": 2}}, true, ""},
		{"another owner takes from the old one", holding(providers{compute1: cpu}),
			set(compute1, cpu, "", "v"), providers{compute1: cpu}, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			step, err := aim(test.now, test.wanted)
			if test.refusing != "" {
				if err == nil || !strings.Contains(err.Error(), test.refusing) {
					t.Errorf("got %v, want a refusal with %q", err, test.refusing)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.after, step.after.Providers); diff != "" {
				t.Error(diff)
			}
			if step.takes() != test.takes {
				t.Errorf("takes is %v", step.takes())
			}
			if step.after.Generation != test.now.Generation || step.after.Consumer != orphanUUID {
				t.Errorf("the generation is not that which was read: %+v", step.after)
			}
			if again, err := aim(step.after, test.wanted); err != nil || again.needed() {
				t.Errorf("a second run would change it again: %+v, %v", again, err)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		name    string
		said    novaEvidence
		verdict orphan.Verdict
		words   string
	}{
		{"neither server nor migration", novaEvidence{}, "absent", "every cell answers"},
		{"a server", novaEvidence{server: &compute.Server{Status: "ACTIVE", Host: "compute1"}}, "live", "status ACTIVE, on compute1"},
		{"a server in ERROR without a host", novaEvidence{server: &compute.Server{Status: "ERROR"}}, "live", "status ERROR, on no host"},
		{"Nova did not answer", novaEvidence{failure: errors.New("nova answered 500")}, "unknown", "nova answered 500"},
		{"a resize that awaits its confirmation", novaEvidence{migration: &compute.Migration{Status: "finished", Instance: "i"}}, "busy",
			"a migration of i in status finished"},
		{"a migration in flight", novaEvidence{migration: &compute.Migration{Status: "running", UpdatedAt: "2026-01-02T03:04:05.000000"}}, "busy",
			"running, last written at 2026-01-02 03:04:05: confirm, revert or abort it; if no host works on it any more, it goes with its " +
				"instance (nova_instance_delete with allow_stuck_migration: true)"},
		{"a migration in a status of the future", novaEvidence{migration: &compute.Migration{Status: "paused-in-space"}}, "busy",
			"paused-in-space"},
		{"a migration without a status", novaEvidence{migration: &compute.Migration{}}, "busy",
			"in status , last written at no known time"},
		{"another service's consumer", novaEvidence{kind: "CONTAINER"}, "foreign", "of type CONTAINER"},
		{"another service's consumer, whatever Nova says", novaEvidence{kind: "CONTAINER", failure: errors.New("no")}, "foreign",
			"of type CONTAINER"},
		{"a consumer that Nova wrote", novaEvidence{kind: "unknown"}, "absent", ""},
		{"a consumer of type INSTANCE", novaEvidence{kind: "INSTANCE"}, "absent", ""},
		{"a consumer of type MIGRATION", novaEvidence{kind: "MIGRATION"}, "absent", ""},
		{"a server of which a half is asked for, and its migrations are not told",
			novaEvidence{server: &compute.Server{Status: "ACTIVE"}, half: &partialRelease{}, failure: errors.New("nova answered 500")}, "unknown",
			"nova answered 500"},
		{"a failed migration", novaEvidence{migration: &compute.Migration{Status: "error"}}, "", ""},
		{"a failed migration that holds what its instance lives on",
			novaEvidence{migration: &compute.Migration{Status: "error", Instance: "i"}, lives: &compute.Server{Status: "ACTIVE", Host: "compute1"}},
			"live", "i is a server that Nova's API knows: status ACTIVE, on compute1, where it holds nothing itself"},
		{"a confirmed migration", novaEvidence{migration: &compute.Migration{Status: "confirmed"}}, "", ""},
		{"a reverted migration", novaEvidence{migration: &compute.Migration{Status: "reverted"}}, "", ""},
		{"a cancelled migration", novaEvidence{migration: &compute.Migration{Status: "cancelled"}}, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			verdict, reason, refused := judge(orphanUUID, test.said)
			if verdict != test.verdict || refused != test.verdict.Refuses() || !strings.Contains(reason, test.words) {
				t.Errorf("got %q (refused %v): %s", verdict, refused, reason)
			}
			if !strings.Contains(reason, orphanUUID) || refused != strings.Contains(reason, "verify_consumer: false") {
				t.Errorf("the reason names neither the consumer nor the way around: %s", reason)
			}
		})
	}
}

func TestOnlyWhatAnEvacuationLeftIsTakenFromALiveServer(t *testing.T) {
	moved := func(change func(*compute.Migration)) []compute.Migration {
		m := compute.Migration{UUID: "m", Type: "evacuation", Status: "done", Instance: orphanUUID, Source: "h1", SourceNode: "n1"}
		change(&m)
		return []compute.Migration{m}
	}
	done := moved(func(*compute.Migration) {})
	lives := compute.Server{Status: "ACTIVE", Host: "h2", Hypervisor: "n2"}
	old := partialRelease{from: []string{"n1"}, stays: []string{"n2", "storage"}}
	for _, test := range []struct {
		name       string
		server     compute.Server
		migrations []compute.Migration
		half       partialRelease
		objection  string
	}{
		{"its old host's half", lives, done, old, ""},
		{"the same once the old host is up again", lives, moved(func(m *compute.Migration) { m.Status = "completed" }), old, ""},
		{"the same for a server in ERROR", compute.Server{Status: "ERROR", Host: "h2", Hypervisor: "n2"}, done, old, ""},
		{"the same beside a migration that failed", lives,
			append(moved(func(m *compute.Migration) { m.Status, m.UUID = "failed", "n" }), done...), old, ""},
		{"its own host's half", lives, done, partialRelease{from: []string{"n2"}, stays: []string{"n1"}}, "n2 is the hypervisor it is on"},
		{"a shared storage", lives, done, partialRelease{from: []string{"storage"}, stays: []string{"n1", "n2"}}, "no evacuation from storage"},
		{"two trees at once", lives, done, partialRelease{from: []string{"n1", "storage"}, stays: []string{"n2"}}, "only one tree"},
		{"a tree of which Placement tells no name", lives, moved(func(m *compute.Migration) { m.SourceNode = "" }),
			partialRelease{from: []string{""}, stays: []string{"n2"}}, "that of a host"},
		{"a half without another on its own host", lives, done, partialRelease{from: []string{"n1"}, stays: []string{"storage"}},
			"it would keep nothing on n2"},
		{"no migration at all", lives, nil, old, "no evacuation from n1"},
		{"an evacuation that goes on", lives, moved(func(m *compute.Migration) { m.Status = "accepted" }), old, "in status accepted"},
		{"an evacuation that failed", lives, moved(func(m *compute.Migration) { m.Status = "error" }), old, "no evacuation from n1"},
		{"a live migration in its place", lives, moved(func(m *compute.Migration) { m.Type = "live-migration" }), old, "no evacuation from n1"},
		{"an evacuation from elsewhere", lives, moved(func(m *compute.Migration) { m.SourceNode = "n3" }), old, "no evacuation from n1"},
		{"an evacuation of another server", lives, moved(func(m *compute.Migration) { m.Instance = "other" }), old, "no evacuation from n1"},
		{"an evacuation within its own host", compute.Server{Host: "h1", Hypervisor: "n2"}, done, old, "no evacuation from n1"},
		{"a resize that waits to be confirmed", lives, append(moved(func(m *compute.Migration) { m.Status, m.Type = "finished", "resize" }),
			done...), old, "in status finished"},
		{"a server in the middle of a task", compute.Server{Host: "h2", Hypervisor: "n2", TaskState: "migrating"}, done, old, "task: migrating"},
		{"a server without a host", compute.Server{Status: "SHELVED_OFFLOADED"}, done, old, "does not say on which hypervisor"},
	} {
		t.Run(test.name, func(t *testing.T) {
			proof, objections := isEvacuationLeftover(orphanUUID, &test.server, test.migrations, test.half)
			got := strings.Join(objections, "; ")
			if (test.objection == "") != (proof != "") || !strings.Contains(got, test.objection) || (proof == "") != (got != "") {
				t.Errorf("got proof %q, objections %q", proof, got)
			}
		})
	}
}

func TestARestorePutsBackOnlyWhereNothingHasChangedSince(t *testing.T) {
	cpu, more := placement.Resources{"VCPU": 1}, placement.Resources{"VCPU": 2}
	type providers = map[string]placement.Resources
	saved := holding(providers{compute1: cpu, storage: {"DISK_GB": 1}})
	stranger := holding(providers{compute1: cpu})
	stranger.UserID = "v"
	left := holding(providers{compute1: more, storage: {"DISK_GB": 1}})
	for _, test := range []struct {
		name     string
		now      placement.Allocation
		left     *placement.Allocation
		gone     []string
		takes    bool
		refusing string
	}{
		{"a consumer that holds nothing", nothing, nil, nil, false, ""},
		{"one that holds a part of it", holding(providers{storage: {"DISK_GB": 1}}), nil, nil, false, ""},
		{"one that holds what the step left", left, &left, nil, true, ""},
		{"one that holds it already", saved, nil, nil, false, ""},
		{"one that holds it already, though a provider is said to be gone", saved, nil, []string{vgpu}, false, ""},
		{"one that holds more there", left, nil, nil, false, "VCPU 2 (it was VCPU 1)"},
		{"one that holds something elsewhere", holding(providers{compute2: cpu}), nil, nil, false, compute2},
		{"one that belongs to someone else", stranger, nil, nil, false, "user v by now"},
		{"a provider that is gone", nothing, nil, []string{compute1}, false, compute1},
	} {
		t.Run(test.name, func(t *testing.T) {
			backup := backedUp{saved: saved, left: test.left, gone: test.gone, described: func(uuid string) string { return uuid }}
			step, err := aim(test.now, backup.goal)
			var against orphan.Refusal
			if errors.As(err, &against) != (test.refusing != "") || err != nil && !strings.Contains(err.Error(), test.refusing) {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				return
			}
			if !step.after.Equal(saved) || step.after.Generation != test.now.Generation || step.takes() != test.takes {
				t.Errorf("got %+v, takes %v", step.after, step.takes())
			}
			if again, err := aim(step.after, backup.goal); err != nil || again.needed() {
				t.Errorf("a second run would change it again: %+v, %v", again, err)
			}
		})
	}
}
