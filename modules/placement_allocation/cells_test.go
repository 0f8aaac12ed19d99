//go:build !lab

package main

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
	"nova-orphan/internal/orphan"
)

// review.md 8.4 was a live migration in a cell that was down: neither a server nor in the list.
func TestWhatACellThatIsDownHasIsNotTakenForGone(t *testing.T) {
	consumer, instance := openstacktest.UUID(), openstacktest.UUID()
	for name, options := range map[string]arguments{
		"a migration":                              {},
		"a migration, and the instance is named":   {"instance_uuid": instance},
		"a server without a mapping":               {},
		"a part of what an evacuated server holds": {"resource_provider": "compute1"},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := openstacktest.NewInEnvironment(t)
			cloud.AddProvider("compute1", compute1, "", map[string]int{"VCPU": 8})
			cloud.AddProvider("compute2", compute2, "", map[string]int{"VCPU": 8})
			cloud.Allocate(consumer, compute1, map[string]int{"VCPU": 1})
			switch name {
			case "a server without a mapping":
				cloud.Servers[consumer] = openstacktest.Server{Status: "ACTIVE", Host: "compute1", Cell: "cell2", Unmapped: true}
			case "a part of what an evacuated server holds":
				cloud.Allocate(consumer, compute2, map[string]int{"VCPU": 1})
				cloud.Servers[consumer] = openstacktest.Server{Status: "ACTIVE", Host: "compute2", Node: "compute2"}
			default:
				cloud.Migrations = []openstacktest.Migration{{UUID: consumer, Status: "migrating", Instance: instance, SourceHost: "compute1",
					Cell: "cell2"}}
			}
			cloud.Down = "cell2"
			all := arguments{"consumer": consumer, "state": absent, "backup_dir": t.TempDir()}
			for option, value := range options {
				all[option] = value
			}
			answer := ansibletest.Call(t, module(), all)
			if !answer.Get("failed").Bool() || answer.Get("verdict").String() != string(orphan.Unknown) ||
				!strings.Contains(answer.Get("msg").String(), "a cell of Nova's") {
				t.Errorf("got %s", answer)
			}
			if writes := openstacktest.Writes(cloud.Requests()); len(writes) > 0 {
				t.Errorf("it sent %v", writes)
			}
		})
	}
}

func TestWhatACellThatComesBackMeanwhileHasIsFound(t *testing.T) {
	consumer, instance := openstacktest.UUID(), openstacktest.UUID()
	for name, options := range map[string]arguments{"a migration": {}, "a migration of": {"instance_uuid": instance}, "a server": {}} {
		t.Run(name, func(t *testing.T) {
			cloud := openstacktest.NewInEnvironment(t)
			cloud.AddProvider("compute1", compute1, "", map[string]int{"VCPU": 8})
			cloud.Allocate(consumer, compute1, map[string]int{"VCPU": 1})
			cloud.Down, cloud.Returns = "cell2", true
			want := orphan.Busy
			if name == "a server" {
				cloud.Servers[consumer] = openstacktest.Server{Status: "ACTIVE", Host: "compute1", Cell: "cell2", Unmapped: true}
				want = orphan.Live
			} else {
				cloud.Migrations = []openstacktest.Migration{{UUID: consumer, Status: "migrating", Instance: instance, SourceHost: "compute1",
					Cell: "cell2", Updated: time.Now()}}
			}
			all := arguments{"consumer": consumer, "state": absent, "backup_dir": t.TempDir()}
			for option, value := range options {
				all[option] = value
			}
			answer := ansibletest.Call(t, module(), all)
			writes := openstacktest.Writes(cloud.Requests())
			if !answer.Get("failed").Bool() || answer.Get("verdict").String() != string(want) || len(writes) > 0 {
				t.Errorf("want %s, it sent %v: %s", want, writes, answer)
			}
		})
	}
}

func TestTheMigrationsOfAWholeCloudAreNotListedForOneConsumer(t *testing.T) {
	for _, test := range []struct {
		name      string
		migration *openstacktest.Migration
		options   arguments
		verdict   orphan.Verdict
		words     string
	}{
		{"no migration", nil, nil, orphan.Absent, "remove the allocation of"},
		{"in flight", &openstacktest.Migration{Status: "migrating", SourceHost: "compute1"}, nil, orphan.Busy, "in status migrating"},
		{"over", &openstacktest.Migration{Status: "confirmed", SourceHost: "compute1"}, nil, "", "remove the allocation of"},
		{"in flight, and of a host that Nova calls by another name", &openstacktest.Migration{Status: "migrating", SourceHost: "c1"}, nil,
			orphan.Unknown, "give instance_uuid"},
		{"the same, and the instance is named", &openstacktest.Migration{Status: "migrating", SourceHost: "c1", Updated: time.Now()},
			arguments{"instance_uuid": orphanUUID}, orphan.Busy, "in status migrating"},
		{"deleted with its instance", &openstacktest.Migration{Status: "migrating", SourceHost: "compute1", Deleted: true}, nil, orphan.Unknown,
			"give instance_uuid"},
		{"the same, and the instance is named", &openstacktest.Migration{Status: "migrating", SourceHost: "compute1", Deleted: true},
			arguments{"instance_uuid": orphanUUID}, orphan.Absent, "remove the allocation of"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cloud := openstacktest.NewInEnvironment(t)
			cloud.AddProvider("compute1", compute1, "", map[string]int{"VCPU": 8})
			consumer := openstacktest.UUID()
			cloud.Allocate(consumer, compute1, map[string]int{"VCPU": 1})
			for i := range 100 {
				cloud.Migrations = append(cloud.Migrations, openstacktest.Migration{UUID: fmt.Sprint("other-", i), Status: "done", Instance: "other",
					SourceHost: "other"})
			}
			if m := test.migration; m != nil {
				m.UUID, m.Instance = consumer, orphanUUID
				cloud.Migrations = append(cloud.Migrations, *m)
			}
			all := arguments{"consumer": consumer, "state": absent, "backup_dir": t.TempDir(), "_ansible_check_mode": true}
			for option, value := range test.options {
				all[option] = value
			}
			answer := ansibletest.Call(t, module(), all)
			if answer.Get("verdict").String() != string(test.verdict) || !strings.Contains(answer.Get("msg").String(), test.words) {
				t.Errorf("got %s", answer)
			}
			asked := 0
			for _, request := range cloud.Requests() {
				if strings.Contains(request, "/os-migrations") {
					asked++
				}
			}
			// Of the instance, of this one, and of the host.
			if asked > 3 {
				t.Errorf("it asked %d times for migrations", asked)
			}
		})
	}
}

func TestAMigrationThatNeverEndedIsOverOnceItsInstanceIsGone(t *testing.T) {
	migration, instance, other := openstacktest.UUID(), openstacktest.UUID(), openstacktest.UUID()
	of := func(more arguments) arguments {
		all := arguments{"instance_uuid": instance}
		maps.Copy(all, more)
		return all
	}
	for _, test := range []struct {
		name    string
		options arguments
		ago     time.Duration
		change  func(*openstacktest.Cloud)
		verdict orphan.Verdict
		words   string
	}{
		{"nothing was written for an hour", of(nil), time.Hour, nil, "", "remove the allocation of"},
		{"the instance is not named", nil, time.Hour, nil, orphan.Busy, "of an instance that is gone, give instance_uuid"},
		{"another instance is named", arguments{"instance_uuid": other}, time.Hour, nil, orphan.Busy, "is a migration of " + instance},
		{"it was written a moment ago", of(nil), 4 * time.Minute, nil, orphan.Busy, "once nothing was written of it for min_age (5m0s"},
		{"the same, and min_age is less", of(arguments{"min_age": 120}), 4 * time.Minute, nil, "", "remove the allocation of"},
		{"min_age is less than a minute", of(arguments{"min_age": 0}), 30 * time.Second, nil, orphan.Busy, "at least 1m0s"},
		{"it was written in the future", of(nil), -time.Hour, nil, orphan.Busy, "min_age"},
		{"the instance lives", of(nil), time.Hour, func(c *openstacktest.Cloud) {
			c.Servers[instance] = openstacktest.Server{Status: "ERROR", Host: "compute1"}
		}, orphan.Busy, "nova_instance_delete with allow_stuck_migration: true"},
		{"the instance lives, and has lost its mapping", of(nil), time.Hour, func(c *openstacktest.Cloud) {
			c.Servers[instance] = openstacktest.Server{Status: "ERROR", Host: "compute1", Unmapped: true}
		}, orphan.Busy, "nova_instance_delete"},
		{"a cell does not answer", of(nil), time.Hour, func(c *openstacktest.Cloud) { c.Down = "cell2" }, orphan.Unknown, "a cell of Nova's"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cloud := openstacktest.NewInEnvironment(t)
			cloud.AddProvider("compute1", compute1, "", map[string]int{"VCPU": 8})
			cloud.Allocate(migration, compute1, map[string]int{"VCPU": 1})
			cloud.Migrations = []openstacktest.Migration{{UUID: migration, Status: "running", Instance: instance, SourceHost: "compute1",
				Type: "live-migration", Updated: time.Now().Add(-test.ago)}}
			if test.change != nil {
				test.change(cloud)
			}
			all := arguments{"consumer": migration, "state": absent, "backup_dir": t.TempDir()}
			maps.Copy(all, test.options)
			answer := ansibletest.Call(t, module(), all)
			refused := test.verdict != ""
			if answer.Get("failed").Bool() != refused || answer.Get("changed").Bool() == refused ||
				answer.Get("verdict").String() != string(test.verdict) || !strings.Contains(answer.Get("msg").String(), test.words) {
				t.Errorf("got %s", answer)
			}
		})
	}
}
