package main

import (
	"testing"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

// Whatever is asked before the write, and however the answer fails to come, it is
// never taken for "nothing there".
func TestAReadThatFailsIsNeverAnAbsence(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	cloud.AddProvider("compute1", compute1, "", map[string]int{"VCPU": 8})
	consumer := openstacktest.UUID()
	cloud.Allocate(consumer, compute1, map[string]int{"VCPU": 1})
	for name, options := range map[string]map[string]any{
		"absent on one tree": {"consumer": consumer, "state": absent, "resource_provider": "compute1"},
		"saved":              {"consumer": consumer, "state": saved},
		"a provider's":       {"resource_provider": "compute1"},
	} {
		options["timeout"], options["_ansible_check_mode"], options["backup_dir"] = 1, true, t.TempDir()
		t.Run(name, func(t *testing.T) {
			openstacktest.FailEachRead(t, cloud, func(t *testing.T) bool {
				t.Helper()
				return ansibletest.Call(t, module(), options).Get("failed").Bool()
			})
		})
	}
}

func TestEachOfFiftyConsumersTakesEightRequests(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	cloud.AddProvider("compute1", compute1, "", map[string]int{"VCPU": 50})
	var consumers []string
	for range 50 {
		consumers = append(consumers, openstacktest.UUID())
		cloud.Allocate(consumers[len(consumers)-1], compute1, map[string]int{"VCPU": 1})
	}
	answer := ansibletest.Call(t, module(), arguments{"consumer": consumers, "state": absent, "backup_dir": t.TempDir()})
	requests := cloud.Requests()
	// The allocation, the server, the list of servers, the migration, the write, and all but the migration and the write again.
	const own = 8
	for _, consumer := range consumers {
		if n := openstacktest.CountNaming(requests, consumer); n != own {
			t.Errorf("%d requests for %s", n, consumer)
		}
	}
	// What is the same for all is asked at most as often as somebody wants to know it: whether every cell answers, before each
	// list and after all, whether the lists have all, and the tree.
	if most := len(consumers)*(own+5) + 1; answer.Get("failed").Bool() || len(requests) > most {
		t.Errorf("%d requests: %s", len(requests), answer.Get("msg"))
	}
	t.Logf("requests: %d", len(requests))
}

// Of 25 instances and a migration of each, which was deleted with it.
func TestEachOfFiftyConsumersOfSeveralInstancesTakesFewRequests(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	cloud.AddProvider("compute1", compute1, "", map[string]int{"VCPU": 50})
	consumers, instances := []string{}, map[string]string{}
	for range 25 {
		instance, migration := openstacktest.UUID(), openstacktest.UUID()
		consumers, instances[migration] = append(consumers, instance, migration), instance
		deleted := openstacktest.Migration{UUID: migration, Instance: instance, Status: "error", Deleted: true}
		cloud.Migrations = append(cloud.Migrations, deleted)
	}
	for _, consumer := range consumers {
		cloud.Allocate(consumer, compute1, map[string]int{"VCPU": 1})
	}
	answer := ansibletest.Call(t, module(), arguments{"consumer": consumers, "instance_uuid": instances, "state": absent,
		"backup_dir": t.TempDir()})
	if answer.Get("failed").Bool() || answer.Get("consumers.#(changed==false)#.consumer.#").Int() > 0 {
		t.Errorf("got %s", answer)
	}
	requests := cloud.Requests()
	for migration, instance := range instances {
		// An instance's own eight, and for its migration its list of migrations and the server (2).
		if n := openstacktest.CountNaming(requests, instance); n > 8+3 {
			t.Errorf("%d requests for %s", n, instance)
		}
		if n := openstacktest.CountNaming(requests, migration); n > 8 {
			t.Errorf("%d requests for %s", n, migration)
		}
	}
	// The migrations of the host, for each, and what is the same for all.
	if most := 25*(11+8+1) + len(consumers)*5 + 1; len(requests) > most {
		t.Errorf("%d requests", len(requests))
	}
	t.Logf("requests: %d", len(requests))
}
