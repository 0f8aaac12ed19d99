package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/placement"
)

// The orphans of the tests, and their neighbours.
const (
	one = "11111111-f6a4-8304-79aa-97f2502e193f"
	two = "22222222-f6a4-8304-79aa-97f2502e193f"
)

var then = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func row(uuid, host, vmState, task string) nova.Worked {
	return nova.Worked{UUID: uuid, Host: host, VMState: vmState, TaskState: task, WrittenAt: then, UpdatedAt: "2026-01-02T03:04:05Z"}
}

func gone(instance nova.Worked) nova.Worked {
	instance.Deleted = true
	return instance
}

func move(source, dest, status string) nova.Move {
	return nova.Move{UUID: "m", Instance: one, Type: "live-migration", Status: status, Source: source, Dest: dest, WrittenAt: then,
		Age: 72 * time.Hour}
}

func TestWhatARestartWouldHarm(t *testing.T) {
	rows := func(rows ...nova.Worked) nova.Activity { return nova.Activity{Instances: rows} }
	moves := func(moves ...nova.Move) nova.Activity { return nova.Activity{Migrations: moves} }
	over := move("h", "other", "completed")
	over.Over = true
	judged := judgedRow{"2026-01-02T03:04:05Z", "error", "deleting", "h"}
	for _, test := range []struct {
		name      string
		activity  nova.Activity
		consumers []string
		orphans   map[string]judgedRow
		want      string // the entries, each as its instance's first digit and how it begins, with | between them
	}{
		{"nobody is there", nova.Activity{}, nil, nil, ""},
		{"a calm one", rows(row(one, "h", "active", "")), []string{one}, nil, ""},
		{"one in ERROR", rows(row(one, "h", "error", "")), []string{one}, nil, ""},
		{"a task", rows(row(one, "h", "active", "rebuilding")), nil, nil, "1: vm_state = active, task_state = rebuilding"},
		{"a task, by another spelling of the host", rows(row(one, "H", "active", "rebuilding")), nil, nil,
			"1: vm_state = active, task_state = rebuilding"},
		{"a task that no release has yet", rows(row(one, "h", "active", "levitating")), nil, nil,
			"1: vm_state = active, task_state = levitating"},
		{"a task elsewhere", rows(row(one, "other", "active", "rebuilding")), nil, nil, ""},
		{"a task of a deleted one", rows(gone(row(one, "h", "active", "deleting"))), []string{one}, nil, ""},
		{"built here, between two tasks", rows(row(one, "h", "building", "")), nil, nil, "1: vm_state = building, task_state = NULL"},
		{"a state that is NULL", rows(row(one, "h", "", "")), nil, nil, "1: vm_state = NULL, task_state = NULL"},
		{"sent here, and not claimed yet", rows(row(one, "", "building", "scheduling")), []string{one}, nil,
			"1: vm_state = building, task_state = scheduling: sent to h, and not there yet"},
		{"sent here, between two tasks", rows(row(one, "", "building", "")), []string{one}, nil,
			"1: vm_state = building, task_state = NULL: sent to h, and not there yet"},
		{"unshelved to here", rows(row(one, "", "shelved_offloaded", "unshelving")), []string{one}, nil,
			"1: vm_state = shelved_offloaded, task_state = unshelving: sent to h, and not there yet"},
		{"resized to here", rows(row(one, "other", "active", "resize_prep")), []string{one}, nil,
			"1: vm_state = active, task_state = resize_prep: sent to h, and not there yet"},
		{"built elsewhere", rows(row(one, "", "building", "scheduling")), nil, nil, ""},
		{"an allocation that a failed build left", rows(row(one, "", "error", "")), []string{one}, nil, ""},
		{"an allocation that a move left", rows(row(one, "other", "active", "")), []string{one}, nil, ""},
		{"an allocation that a deleted one left", rows(gone(row(one, "", "building", "scheduling"))), []string{one}, nil, ""},
		{"an allocation that an archived one left", nova.Activity{Archived: []string{one}}, []string{one}, nil, ""},
		{"only a build request", nova.Activity{BuildRequests: []string{one}}, []string{one}, nil,
			"1: a build request, sent to h and in no cell yet"},
		{"a build request of another host", nova.Activity{BuildRequests: []string{one}}, nil, nil, ""},
		{"nothing at all", nova.Activity{}, []string{one}, nil, ""},
		{"a migration's allocation", moves(nova.Move{UUID: two, Instance: one, Over: true}), []string{two}, nil, ""},
		{"a migration from here", moves(move("h", "other", "running")), nil, nil,
			"1: live-migration m from h to other is running, last written 72h0m0s ago"},
		{"a migration to here", moves(move("other", "H", "pre-migrating")), nil, nil, "1: live-migration m from other to H is pre-migrating"},
		{"a migration from here that has no destination yet", moves(move("h", "", "queued")), nil, nil,
			"1: live-migration m from h to no host yet is queued"},
		{"a migration that is over", moves(over), nil, nil, ""},
		{"a migration elsewhere, of a consumer", moves(move("other", "third", "running")), []string{"m"}, nil, ""},
		{"a migration of no known age", moves(nova.Move{UUID: "m", Instance: one, Source: "h"}), nil, nil,
			"1: migration m from h to no host yet is NULL, last written at no known time"},
		{"a task and its migration", nova.Activity{Instances: []nova.Worked{row(one, "h", "active", "migrating")},
			Migrations: []nova.Move{move("h", "other", "running")}}, nil, nil,
			"1: vm_state = active, task_state = migrating|1: live-migration m from h"},
		{"two", rows(row(two, "h", "active", "rebooting"), row(one, "h", "active", "pausing")), nil, nil,
			"1: vm_state = active, task_state = pausing|2: vm_state = active, task_state = rebooting"},

		{"an orphan as it was judged", rows(row(one, "h", "error", "deleting")), nil, map[string]judgedRow{one: judged}, ""},
		{"an orphan that was written since", rows(row(one, "h", "error", "deleting")), nil,
			map[string]judgedRow{one: {"2026-01-02T03:04:04Z", "error", "deleting", "h"}}, "1: vm_state = error, task_state = deleting"},
		{"an orphan in another task", rows(row(one, "h", "error", "rebuilding")), nil, map[string]judgedRow{one: judged},
			"1: vm_state = error, task_state = rebuilding"},
		{"an orphan in another state", rows(row(one, "h", "active", "deleting")), nil, map[string]judgedRow{one: judged},
			"1: vm_state = active, task_state = deleting"},
		{"an orphan that has come here", rows(row(one, "h", "error", "deleting")), nil,
			map[string]judgedRow{one: {"2026-01-02T03:04:05Z", "error", "deleting", "other"}}, "1: vm_state"},
		{"an orphan of which another cell has a copy", rows(row(one, "h", "error", "deleting"), row(one, "h", "active", "resize_migrating")), nil,
			map[string]judgedRow{one: judged}, "1: vm_state = error, task_state = deleting|1: vm_state = active"},
		{"an orphan's migration", nova.Activity{Instances: []nova.Worked{row(one, "other", "error", "deleting")},
			Migrations: []nova.Move{move("h", "other", "running")}}, nil,
			map[string]judgedRow{one: {"2026-01-02T03:04:05Z", "error", "deleting", "other"}}, ""},
		{"the migration of an orphan that has no row any more", moves(move("h", "other", "running")), nil, map[string]judgedRow{one: judged},
			"1: live-migration m"},
		{"another orphan says nothing", rows(row(one, "h", "error", "deleting")), nil, map[string]judgedRow{two: judged}, "1: vm_state"},
		{"an orphan that was judged without a row", nova.Activity{}, []string{one}, map[string]judgedRow{one: {}}, ""},
		{"an orphan that was judged without a row, and has a build request", nova.Activity{BuildRequests: []string{one}}, []string{one},
			map[string]judgedRow{one: {}}, "1: a build request"},
		{"an orphan that was judged without a row, and has one", rows(row(one, "h", "error", "deleting")), nil, map[string]judgedRow{one: {}},
			"1: vm_state"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := sight{"h", test.consumers, test.activity}.inProgress(test.orphans)
			if got == nil {
				t.Fatal("it is no list")
			}
			want := strings.FieldsFunc(test.want, func(r rune) bool { return r == '|' })
			if len(got) != len(want) {
				t.Fatalf("got %+v, want %q", got, want)
			}
			for i, entry := range got {
				if line := entry.InstanceUUID[:1] + ": " + entry.What; !strings.HasPrefix(line, want[i]) {
					t.Errorf("got %q, want %q", line, want[i])
				}
			}
			for _, entry := range got {
				if known := entry.Since == "2026-01-02T03:04:05Z"; !known && entry.Since != "" {
					t.Errorf("since %s", entry.Since)
				}
			}
		})
	}
}

// clerk answers for databases and Placement, and notes in which order it was asked.
type clerk struct {
	asked                        []string
	providers                    []string
	noCells, noAnswer, noMatches error
}

func (c *clerk) Providers(context.Context, string) ([]string, error) {
	c.asked = append(c.asked, "providers")
	return c.providers, c.noCells
}

func (c *clerk) Consumers(_ context.Context, provider string) (map[string]placement.Resources, error) {
	c.asked = append(c.asked, "consumers of "+provider)
	if c.noAnswer != nil {
		return nil, c.noAnswer
	}
	return map[string]placement.Resources{one: nil}, nil
}

func (c *clerk) Activity(_ context.Context, host string, consumers []string) (nova.Activity, error) {
	c.asked = append(c.asked, fmt.Sprint("activity of ", host, " and ", len(consumers)))
	return nova.Activity{}, c.noMatches
}

func TestWhatCannotBeReadIsAFailureAndNoEmptyList(t *testing.T) {
	broken := errors.New("broken")
	for _, test := range []struct {
		name  string
		clerk clerk
		fails bool
		asked string
	}{
		{"all is read, Placement before the databases", clerk{providers: []string{"p", "q"}}, false,
			"providers, consumers of p, consumers of q, activity of h and 2"},
		{"a host without a compute node", clerk{}, false, "providers, activity of h and 1"},
		{"a compute node without a provider", clerk{providers: []string{"p"}, noAnswer: fmt.Errorf("p: %w", placement.ErrNoProvider)}, false,
			"providers, consumers of p, activity of h and 1"},
		{"a cell cannot be read", clerk{noCells: broken}, true, "providers"},
		{"Placement cannot be read", clerk{providers: []string{"p"}, noAnswer: broken}, true, "providers, consumers of p"},
		{"the cell cannot be read any more", clerk{noMatches: broken}, true, "providers, activity of h and 1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			around := &surroundings{cells: &test.clerk, allocations: &test.clerk}
			_, err := around.see(t.Context(), "h", map[string]judgedRow{two: {}})
			if (err != nil) != test.fails || strings.Join(test.clerk.asked, ", ") != test.asked {
				t.Errorf("asked for %q, %v", test.clerk.asked, err)
			}
		})
	}
}

func TestWhetherNovaComputeMayBeRestarted(t *testing.T) {
	busy := []undertaking{{InstanceUUID: one, What: "vm_state = error, task_state = deleting"}, {InstanceUUID: two, What: "a build request"}}
	for _, test := range []struct {
		name    string
		service compute.Service
		busy    []undertaking
		given   parameters
		silent  bool
		isBusy  bool
	}{
		{"it reports, and nobody is at work", compute.Service{State: "up"}, nil, parameters{}, false, false},
		{"others are at work", compute.Service{State: "up"}, busy, parameters{}, false, true},
		{"others are at work, and may fail", compute.Service{State: "up"}, busy, parameters{RestartWhileBusy: true}, false, false},
		{"it does not report", compute.Service{State: "down"}, nil, parameters{}, true, false},
		{"it does not report, and may be started", compute.Service{State: "down"}, nil, parameters{StartCompute: true}, false, false},
		{"it does not report, and may be started, but not while others are at work", compute.Service{State: "down"}, busy,
			parameters{StartCompute: true}, false, true},
		{"it does not report, and others are at work", compute.Service{State: "down"}, busy, parameters{}, true, true},
		{"a state that no release has yet", compute.Service{State: "unknown"}, nil, parameters{}, true, false},
		{"it is forced down, so that nobody knows", compute.Service{State: "down", ForcedDown: true}, nil, parameters{}, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.service.Host = "cmp01"
			got := test.given.refuseRestart(test.service, test.busy, nil)
			if got.Unreadable != "" || (got.Silent != "") != test.silent || (got.Busy != "") != test.isBusy {
				t.Errorf("got %+v", got)
			}
			for _, part := range []string{"cmp01", one + " vm_state = error, task_state = deleting; " + two, "restart_while_busy: true"} {
				if test.isBusy && !strings.Contains(got.Busy, part) {
					t.Errorf("%q lacks %q", got.Busy, part)
				}
			}
			if test.silent && !strings.Contains(got.Silent, "start_compute: true") {
				t.Errorf("%q names no way out", got.Silent)
			}
		})
	}
}

// A start of nova-compute ends at the first of its instances that it cannot read, whoever's that is.
func TestWhoseRowsWouldKeepNovaComputeFromStarting(t *testing.T) {
	const cannot = ", of which instance_extra is gone or broken"
	judged := map[string]judgedRow{one: {"2026-01-02T03:04:05Z", "error", "", "h"}}
	for _, test := range []struct {
		name    string
		row     nova.Worked
		orphans map[string]judgedRow
		want    string
	}{
		{"a neighbour's", row(one, "h", "active", ""), nil, one + cannot},
		{"an orphan's, which is deleted before", row(one, "h", "error", ""), judged, ""},
		{"an orphan's that somebody has written since", row(one, "h", "active", ""), judged, one + cannot},
		{
			"an orphan's, which the restart is to take up", row(one, "h", "active", "deleting"),
			map[string]judgedRow{one: {"2026-01-02T03:04:05Z", "active", "deleting", "h"}}, one + cannot,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			activity := nova.Activity{Instances: []nova.Worked{test.row}, Unreadable: []nova.Unreadable{{UUID: one, What: "instance_extra"}}}
			got := sight{"h", nil, activity}.unreadable(test.orphans)
			if strings.Join(got, "|") != test.want {
				t.Errorf("got %q", got)
			}
			why := parameters{RestartWhileBusy: true, StartCompute: true}.refuseRestart(compute.Service{Host: "h", State: "up"}, nil, got)
			if (why.Unreadable != "") != (test.want != "") || why.Busy+why.Silent != "" {
				t.Errorf("got %+v", why)
			}
		})
	}
}
