package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/placement"
)

const orphan = "6695eb01-f6a4-8304-79aa-97f2502e193f"

func holding(providers map[string]placement.Resources) placement.Allocation {
	generation := 3
	return placement.Allocation{Consumer: orphan, ProjectID: "p", UserID: "u", Generation: &generation, Providers: providers}
}

var nothing = placement.Allocation{Consumer: orphan, Providers: map[string]placement.Resources{}}

func TestPlan(t *testing.T) {
	cpu, gpu, disk := placement.Resources{"VCPU": 1}, placement.Resources{"VGPU": 1}, placement.Resources{"DISK_GB": 1}
	tree := wanted{state: absent, named: "compute1", provider: compute1, tree: []string{compute1, vgpu}}
	type providers = map[string]placement.Resources
	for _, test := range []struct {
		name     string
		now      placement.Allocation
		wanted   wanted
		after    providers
		takes    bool
		refusing string
	}{
		{"a consumer that holds nothing needs nothing", nothing, wanted{state: absent}, providers{}, false, ""},
		{"one that holds nothing on the tree needs nothing", holding(providers{compute2: cpu}), tree, providers{compute2: cpu}, false, ""},
		{"one that holds nothing needs no provider", nothing, wanted{state: absent, named: "gone"}, providers{}, false, ""},
		{"a normal allocation is removed", holding(providers{compute1: cpu}), wanted{state: absent}, providers{}, true, ""},
		{"all providers go when none is named", holding(providers{compute1: cpu, vgpu: gpu, storage: disk}), wanted{state: absent}, providers{}, true, ""},
		{"nested children go with their root", holding(providers{compute1: cpu, vgpu: gpu}), tree, providers{}, true, ""},
		{"a child alone goes, too", holding(providers{vgpu: gpu, compute2: cpu}), tree, providers{compute2: cpu}, true, ""},
		{"a sharing provider stays", holding(providers{compute1: cpu, storage: disk}), tree, providers{storage: disk}, true, ""},
		{"half of a doubled allocation stays", holding(providers{compute1: cpu, vgpu: gpu, compute2: cpu, storage: disk}), tree, providers{compute2: cpu, storage: disk}, true, ""},
		{"a mistyped provider is refused", holding(providers{compute1: cpu}), wanted{state: absent, named: "compuet1"}, nil, false, "no resource provider \"compuet1\""},
		{"present on nothing needs an owner", nothing, wanted{state: present, provider: compute1, resources: cpu}, nil, false, "project_id and user_id"},
		{"present on nothing with half an owner, too", nothing, wanted{state: present, provider: compute1, resources: cpu, projectID: "p"}, nil, false, "project_id and user_id"},
		{"present on nothing takes nothing", nothing, wanted{state: present, provider: compute1, resources: cpu, projectID: "p", userID: "u"}, providers{compute1: cpu}, false, ""},
		{"present beside others takes nothing", holding(providers{compute2: cpu}), wanted{state: present, provider: compute1, resources: cpu}, providers{compute1: cpu, compute2: cpu}, false, ""},
		{"present and equal needs nothing", holding(providers{compute1: cpu}), wanted{state: present, provider: compute1, resources: cpu, projectID: "p"}, providers{compute1: cpu}, false, ""},
		{"present with less takes", holding(providers{compute1: {"VCPU": 2}}), wanted{state: present, provider: compute1, resources: cpu}, providers{compute1: cpu}, true, ""},
		{"present with more replaces", holding(providers{compute1: cpu}), wanted{state: present, provider: compute1, resources: placement.Resources{"VCPU": 2}}, providers{compute1: {"VCPU": 2}}, true, ""},
		{"another owner takes from the old one", holding(providers{compute1: cpu}), wanted{state: present, provider: compute1, resources: cpu, userID: "v"}, providers{compute1: cpu}, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			step, err := plan(test.now, test.wanted)
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
			if step.after.Generation != test.now.Generation || step.after.Consumer != orphan {
				t.Errorf("the generation is not that which was read: %+v", step.after)
			}
			if again, err := plan(step.after, test.wanted); err != nil || again.changes() {
				t.Errorf("a second run would change it again: %+v, %v", again, err)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		name    string
		said    testimony
		verdict string
		words   string
	}{
		{"neither server nor migration", testimony{}, "", ""},
		{"a server", testimony{server: &server{Status: "ACTIVE", Host: "compute1"}}, "live", "status ACTIVE, on compute1"},
		{"a server in ERROR without a host", testimony{server: &server{Status: "ERROR"}}, "live", "status ERROR, on no host"},
		{"Nova did not answer", testimony{failure: errors.New("nova answered 500")}, "unknown", "nova answered 500"},
		{"a resize that awaits its confirmation", testimony{migration: &migration{Status: "finished", Instance: "i"}}, "busy", "a migration of i in status finished"},
		{"a migration in flight", testimony{migration: &migration{Status: "running"}}, "busy", "running"},
		{"a migration in a status of the future", testimony{migration: &migration{Status: "paused-in-space"}}, "busy", "paused-in-space"},
		{"a migration without a status", testimony{migration: &migration{}}, "busy", "status"},
		{"a failed migration", testimony{migration: &migration{Status: "error"}}, "", ""},
		{"a confirmed migration", testimony{migration: &migration{Status: "confirmed"}}, "", ""},
		{"a reverted migration", testimony{migration: &migration{Status: "reverted"}}, "", ""},
		{"a cancelled migration", testimony{migration: &migration{Status: "cancelled"}}, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			verdict, reason := judge(orphan, test.said)
			if verdict != test.verdict || !strings.Contains(reason, test.words) {
				t.Errorf("got %q: %s", verdict, reason)
			}
			if verdict != "" && (!strings.Contains(reason, orphan) || !strings.Contains(reason, "verify_consumer: false")) {
				t.Errorf("the reason names neither the consumer nor the way around: %s", reason)
			}
		})
	}
}
