package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/step"
)

const uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f"

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// base is a server in ERROR that has been left alone for an hour.
func base() evidence {
	return evidence{uuid: uuid, server: &compute.Server{
		ID: uuid, Status: "ERROR", VMState: "error", Host: "compute1", HostStatus: "UP", At: now,
		Created: now.Add(-48 * time.Hour).Format(time.RFC3339), Updated: now.Add(-time.Hour).Format(time.RFC3339),
	}}
}

// The helpers below each change one fact, or one option.
type change func(*evidence, *parameters)

func fact(set func(*compute.Server)) change {
	return func(s *evidence, _ *parameters) { set(s.server) }
}

func vmState(state string) change { return fact(func(s *compute.Server) { s.VMState = state }) }

func inTask(task string) change { return fact(func(s *compute.Server) { s.TaskState = task }) }

func hostStatus(status string) change { return fact(func(s *compute.Server) { s.HostStatus = status }) }

func updated(ago time.Duration) change {
	return fact(func(s *compute.Server) { s.Updated = now.Add(-ago).Format(time.RFC3339) })
}

// requested: of what was never updated, Nova tells the time of the question.
func requested(ago time.Duration) change {
	return fact(func(s *compute.Server) {
		s.Created, s.Updated = now.Add(-ago).Format(time.RFC3339), now.Format(time.RFC3339)
	})
}

func migration(status string) change {
	return func(s *evidence, _ *parameters) {
		s.migrations = append(s.migrations, compute.Migration{UUID: "m", ID: 1, Status: status})
	}
}

func liveMigration(ago time.Duration) change {
	return func(s *evidence, _ *parameters) {
		s.migrations = append(s.migrations, compute.Migration{UUID: "m", ID: 1, Status: "running", Type: "live-migration",
			UpdatedAt: now.Add(-ago).Format("2006-01-02T15:04:05.000000")})
	}
}

func reset(_ *evidence, p *parameters) { p.Methods = []string{byReset} }

func force(_ *evidence, p *parameters) { p.Methods = []string{byForce} }

func stuckToo(_ *evidence, p *parameters) { p.AllowStuckMigration = true }

func softDeletedToo(_ *evidence, p *parameters) { p.AllowSoftDeleted = true }

func request(s *evidence, _ *parameters) {
	s.server.Status, s.server.VMState, s.server.TaskState, s.server.Host, s.server.HostStatus = "BUILD", "building", "scheduling", "", ""
	s.server.Raw = []byte(`{"OS-EXT-SRV-ATTR:instance_name": ""}`)
}

// own: this call's own last write has left it as it is now.
func own(s *evidence, _ *parameters) {
	left := *s.server
	s.own = &left
}

func volumes(s *evidence, _ *parameters) {
	s.server.Volumes = []compute.Volume{{ID: "aaaa", DeleteOnTermination: true}, {ID: "bbbb"}}
}

func TestDecide(t *testing.T) {
	const deletes, resets, waits, refuses = "delete", "reset, delete", "wait", "refused"
	for _, test := range []struct {
		name    string
		changes []change
		verdict orphan.Verdict
		want    string
		words   string // matches the steps, or the reasons, one a line
	}{
		{"ERROR", nil, orphan.Stuck, deletes, `(?m)^delete 6695eb01`},
		{"ERROR, written a moment ago", []change{updated(0)}, orphan.Stuck, deletes, ``},
		{"ERROR, a reset is allowed, but there is no task", []change{reset}, orphan.Stuck, deletes, ``},
		{"ERROR, without a host", []change{fact(func(s *compute.Server) { s.Host, s.HostStatus = "", "" })}, orphan.Stuck, deletes, ``},
		{"ERROR, on a host that is down", []change{hostStatus("DOWN")}, orphan.Stuck, deletes,
			`by the API alone, since nova-compute on compute1 is down`},
		{"ERROR, a dead migration", []change{migration("error")}, orphan.Stuck, deletes, ``},
		{"ERROR, a migration in flight", []change{migration("migrating")}, orphan.Busy, refuses, `migrations.status = migrating \(m\)`},
		{"ERROR, a resize to be confirmed", []change{migration("finished")}, orphan.Busy, refuses, `waits for its confirmation`},
		{"ERROR, a migration in flight, and a reset is allowed", []change{migration("migrating"), inTask("resize_migrating"), reset}, orphan.Busy,
			refuses, `migrations.status`},
		{"ERROR, in a task", []change{inTask("rebuilding")}, orphan.Busy, refuses, `(?m)^methods: reset_state resets the task first`},
		{"ERROR, in a task for long, a reset is allowed", []change{inTask("rebuilding"), reset}, orphan.Stuck, resets,
			`(?m)^reset the state of .* its task from rebuilding to none`},
		{"ERROR, in a task since a moment, a reset is allowed", []change{inTask("rebuilding"), reset, updated(time.Minute)}, orphan.Busy, refuses,
			`only when nothing was written for min_age \(5m0s\), and it was 1m0s ago`},
		{"ERROR, in a task, written in the future", []change{inTask("rebuilding"), reset, updated(-time.Hour)}, orphan.Busy, refuses, ``},
		{"ERROR, in a task, the time is none", []change{inTask("rebuilding"), reset,
			fact(func(s *compute.Server) { s.Updated, s.Created = "", "" })}, orphan.Busy, refuses, ``},
		{"deleting for long", []change{inTask("deleting")}, orphan.Stuck, refuses,
			`Nova ignores another one while the host is up \(methods: reset_state`},
		{"deleting for long, on a host that is down", []change{inTask("deleting"), hostStatus("UNKNOWN")}, orphan.Stuck, deletes,
			`by the API alone`},
		{"deleting for long, on a host that may be up", []change{inTask("deleting"), hostStatus("MAINTENANCE")}, orphan.Stuck, deletes, ``},
		{"deleting for long, a reset is allowed", []change{inTask("deleting"), reset}, orphan.Stuck, resets, ``},
		{"deleting for long, by force", []change{inTask("deleting"), force}, orphan.Stuck, "reset, force", `\(forceDelete\)`},
		{"ERROR, in a task for long, by force", []change{inTask("rebuilding"), force}, orphan.Stuck, "reset, force", `forceDelete`},
		{"ERROR, in a task since a moment, by force", []change{inTask("rebuilding"), force, updated(time.Minute)}, orphan.Busy, refuses,
			`force_delete resets the task only when nothing was written for min_age`},
		{"ERROR, in a task since this call's own write", []change{inTask("rebuilding"), reset, updated(time.Second), own}, orphan.Stuck,
			resets, ``},
		{"ERROR, in a task, and somebody has written since this call's own write", []change{inTask("rebuilding"), reset, updated(2 * time.Second),
			own, updated(time.Second)}, orphan.Busy, refuses, ``},
		{"ERROR, and in the second of this call's own write somebody has begun a task", []change{updated(time.Second), own, inTask("rebuilding"),
			reset}, orphan.Busy, refuses, `1s ago`},
		{"deleting since this call's own delete", []change{inTask("deleting"), updated(time.Second), own, reset}, orphan.Stuck, resets, ``},
		{"ERROR, and it was restorable before this call's reset", []change{func(s *evidence, _ *parameters) { s.forced = true }}, orphan.Stuck,
			"force", ``},
		{"active and deleting for long, a reset is allowed", []change{vmState("active"), inTask("deleting"), reset}, orphan.Stuck, resets, ``},
		{"active and deleting since a moment", []change{vmState("active"), inTask("deleting"), updated(time.Second), reset}, orphan.Busy, waits,
			`(?m)^wait until the delete that is under way is over$`},
		{"soft-deleting since a moment", []change{inTask("soft-deleting"), updated(time.Second)}, orphan.Busy, waits, ``},
		{"deleting since the future", []change{inTask("deleting"), updated(-time.Minute)}, orphan.Busy, waits, ``},
		{"deleting since a moment, a migration in flight", []change{inTask("deleting"), updated(time.Second), migration("migrating")},
			orphan.Busy, refuses, ``},
		{"half deleted", []change{vmState("deleted")}, orphan.Stuck, deletes, ``},
		{"half deleted since a moment", []change{vmState("deleted"), updated(time.Second)}, orphan.Busy, waits, ``},
		{"active", []change{vmState("active")}, orphan.Live, refuses, `instances.vm_state = active`},
		{"active, everything is allowed", []change{vmState("active"), force, func(_ *evidence, p *parameters) { p.MinAge = 0 }},
			orphan.Live, refuses, ``},
		{"active and in a task: both are told", []change{vmState("active"), inTask("rebooting"), reset}, orphan.Busy, refuses,
			`(?s)task_state = rebooting.*vm_state = active`},
		{"stopped", []change{vmState("stopped")}, orphan.Live, refuses, ``},
		{"paused", []change{vmState("paused")}, orphan.Live, refuses, ``},
		{"suspended", []change{vmState("suspended")}, orphan.Live, refuses, ``},
		{"rescued", []change{vmState("rescued")}, orphan.Live, refuses, ``},
		{"shelved", []change{vmState("shelved")}, orphan.Live, refuses, ``},
		{"offloaded", []change{vmState("shelved_offloaded")}, orphan.Live, refuses, ``},
		{"resized", []change{vmState("resized")}, orphan.Live, refuses, ``},
		{"resized, with its migration", []change{vmState("resized"), migration("finished")}, orphan.Busy, refuses, ``},
		{"restorable", []change{vmState("soft-delete")}, orphan.Live, refuses,
			`(?s)the owner can still restore.*openstack server delete --force 6695eb01`},
		{"restorable, and force is given", []change{vmState("soft-delete"), force}, orphan.Live, refuses,
			`the owner can still restore`},
		{"restorable, with consent", []change{vmState("soft-delete"), softDeletedToo}, orphan.Stuck, "force", `forceDelete`},
		{"restorable, with consent, since a moment", []change{vmState("soft-delete"), softDeletedToo, updated(time.Second)}, orphan.Live, refuses,
			`(?m)written at 2026-01-02 03:04:04, 1s ago`},
		{"being restored, with consent", []change{vmState("soft-delete"), softDeletedToo, inTask("restoring"), reset}, orphan.Busy, refuses, ``},
		{"a build request", []change{request, requested(time.Hour)}, orphan.Lost, deletes, `(?m)^delete 6695eb01`},
		{"a build request, and a reset is allowed, which it cannot have", []change{request, reset}, orphan.Lost, deletes, ``},
		{"a build request of a moment ago", []change{request, requested(time.Minute), reset}, orphan.Busy, refuses,
			`1m0s ago, .*about to be built`},
		{"a build request without a mapping", []change{request, func(s *evidence, _ *parameters) { s.unmapped = true }}, orphan.Lost, refuses,
			`nova_instance_purge removes it`},
		{"a live migration for three days", []change{liveMigration(72 * time.Hour)}, orphan.Busy, refuses,
			`(?s)running \(m, live-migration\), written at [^\n]*, 72h0m0s ago: .*allow_stuck_migration: true`},
		{"a live migration for three days, in its task", []change{liveMigration(72 * time.Hour), inTask("migrating")}, orphan.Busy,
			refuses, `openstack server migration abort 6695eb01\S* 1`},
		{"a live migration for three days, with consent", []change{liveMigration(72 * time.Hour), stuckToo}, orphan.Stuck, deletes,
			``},
		{"a live migration for three days, in its task, with consent", []change{liveMigration(72 * time.Hour), stuckToo,
			inTask("migrating")}, orphan.Busy, refuses, `methods: reset_state resets the task first`},
		{"a live migration for three days, in its task, with consent and a reset", []change{liveMigration(72 * time.Hour), stuckToo,
			inTask("migrating"), reset}, orphan.Stuck, resets, ``},
		{"a live migration for a minute, with consent", []change{liveMigration(time.Minute), stuckToo}, orphan.Busy, refuses,
			`only when nothing was written of it`},
		{"a live migration for three days, with consent, of one that was reset a moment ago", []change{updated(time.Second), stuckToo,
			liveMigration(72 * time.Hour)}, orphan.Busy, refuses, ``},
		{"a live migration for three days, of a live one, with consent", []change{liveMigration(72 * time.Hour), vmState("active"),
			stuckToo}, orphan.Busy, refuses, `openstack server set --state error`},
		{"a live migration for three days, with consent, the delete of somebody else under way", []change{stuckToo, updated(time.Second),
			liveMigration(72 * time.Hour), inTask("deleting")}, orphan.Busy, waits, ``},
		{"a migration of no known age", []change{migration("running")}, orphan.Busy, refuses, `written at NULL`},
		{"a migration of no known age, with consent", []change{migration("running"), stuckToo}, orphan.Busy, refuses, `written at NULL`},
		{"being built", []change{vmState("building"), inTask("spawning"), reset}, orphan.Busy, refuses,
			`(?s)vm_state = building.*task_state = spawning`},
		{"a state that no release has yet", []change{vmState("levitating")}, orphan.Live, refuses, ``},
		{"a task that no release has yet", []change{inTask("levitating")}, orphan.Busy, refuses, ``},
		{"locked, with a reason", []change{fact(func(s *compute.Server) { s.Locked, s.LockedReason = true, "legal hold" })}, orphan.Stuck,
			refuses, `locked_reason: "legal hold".*unlock`},
		{"locked, and the consent is given", []change{fact(func(s *compute.Server) { s.Locked = true }),
			func(_ *evidence, p *parameters) { p.AllowLocked = true }}, orphan.Stuck, deletes, ``},
		{"locked", []change{fact(func(s *compute.Server) { s.Locked = true })}, orphan.Stuck, refuses, `instances.locked = true: .*unlock`},
		{"seen only in part", []change{vmState(""), fact(func(s *compute.Server) { s.Status = "UNKNOWN" })}, orphan.Unknown, refuses,
			`only in part \(status UNKNOWN\)`},
		{"listed, but not found", []change{func(s *evidence, _ *parameters) { s.unmapped = true }}, orphan.Stuck, refuses, `map_instances`},
		{"on the host that was meant", []change{func(_ *evidence, p *parameters) { p.Host = "compute1" }}, orphan.Stuck, deletes, ``},
		{"on another host", []change{func(_ *evidence, p *parameters) { p.Host = "compute1.example.com" }}, orphan.Stuck, refuses,
			`host is "compute1.example.com", but the instance is on "compute1"`},
		{"all reasons at once", []change{vmState("active"), migration("running"), fact(func(s *compute.Server) { s.Locked = true }),
			func(_ *evidence, p *parameters) { p.Host = "x" }}, orphan.Busy, refuses, `(?s)migrations.*locked.*host is`},
		{"volumes that go", []change{volumes}, orphan.Stuck, deletes, `(?m)^Nova DELETES volume aaaa`},
		{"volumes that are kept", []change{volumes, func(_ *evidence, p *parameters) { p.PreserveVolumes = true }}, orphan.Stuck, "keep, delete",
			`(?m)^set delete_on_termination of volume aaaa to false`},
		{"gone", []change{func(s *evidence, _ *parameters) { s.server = nil }}, orphan.Absent, "", ``},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, p := base(), parameters{Policy: step.Policy{MinAge: 300}, Methods: []string{byDelete}}
			for _, one := range test.changes {
				one(&s, &p)
			}
			next, err := decide(s, p, p.Methods[0])
			said := strings.Join(next.lines, "\n")
			if err != nil {
				said = strings.ReplaceAll(err.Error(), "; ", "\n")
			}
			if got := inWords(next, err); got != test.want || next.Verdict != test.verdict {
				t.Errorf("%s, %q, want %s, %q: %s", next.Verdict, got, test.verdict, test.want, said)
			}
			if !regexp.MustCompile(test.words).MatchString(said) {
				t.Errorf("want %s, got %s", test.words, said)
			}
		})
	}
}

func inWords(next plan, err error) string {
	if err != nil {
		return "refused"
	}
	var words []string
	for word, so := range map[string]bool{"keep, ": len(next.keep) > 0, "reset, ": next.reset} {
		if so {
			words = append(words, word)
		}
	}
	switch {
	case next.wait:
		words = append(words, "wait")
	case next.force:
		words = append(words, "force")
	case next.Verdict != orphan.Absent:
		words = append(words, "delete")
	}
	return strings.Join(words, "")
}

func TestOnlyWhatNovaCannotReachLeavesRoomForAMoreForcefulWay(t *testing.T) {
	lock := fact(func(s *compute.Server) { s.Locked = true })
	unmap := func(s *evidence, _ *parameters) { s.unmapped = true }
	for _, test := range []struct {
		name    string
		changes []change
		want    string
	}{
		{"unmapped", []change{unmap}, stillThere},
		{"in the middle of a delete", []change{inTask("deleting")}, stillThere},
		{"both", []change{unmap, inTask("deleting")}, stillThere},
		{"unmapped and locked", []change{unmap, lock}, refused},
		{"in the middle of a delete and locked", []change{inTask("deleting"), lock}, refused},
		{"unmapped, and on another host than was meant", []change{unmap, func(_ *evidence, p *parameters) { p.Host = "x" }}, refused},
		{"unmapped and alive", []change{unmap, vmState("active")}, refused},
		{"unmapped, and deleting since a moment", []change{unmap, inTask("deleting"), updated(time.Second)}, refused},
		{"alive", []change{vmState("active")}, refused},
		{"restorable", []change{vmState("soft-delete")}, refused},
		{"moving", []change{migration("running")}, refused},
		{"a build request without a mapping", []change{request, unmap}, stillThere},
		{"a build request without a mapping, of a moment ago", []change{request, unmap, requested(time.Minute)}, refused},
		{"seen only in part", []change{vmState("")}, unknown},
		{"seen only in part, and unmapped", []change{vmState(""), unmap}, unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, p := base(), parameters{Policy: step.Policy{MinAge: 300}, Methods: []string{byDelete}}
			for _, one := range test.changes {
				one(&s, &p)
			}
			next, err := decide(s, p, p.Methods[0])
			if next.outcome != test.want || err == nil {
				t.Errorf("got %s, want %s: %v", next.outcome, test.want, err)
			}
		})
	}
}

func TestTheOutcomeOfAFailedRequest(t *testing.T) {
	for status, want := range map[int]string{400: refused, 401: refused, 403: refused, 409: refused, 429: refused, 500: unknown, 503: unknown,
		0: unknown} {
		if got := outcomeOf(fmt.Errorf("delete: %w", &openstack.Failure{Status: status})); got != want {
			t.Errorf("%d: got %s, want %s", status, got, want)
		}
	}
	if got := outcomeOf(errors.New("no space left on device")); got != unknown {
		t.Errorf("got %s", got)
	}
}

func TestWhatIsSeenAfterTheDeleteSaysWhetherItIsWorthToWait(t *testing.T) {
	for _, test := range []struct {
		name    string
		before  []change
		after   []change
		waited  time.Duration
		another bool // it is another's delete
		lost    bool // its answer is lost
		outcome string
		want    string
	}{
		{"it is at work", nil, []change{inTask("deleting"), updated(0)}, time.Minute, false, false, "", ""},
		{"it is nearly over", nil, []change{vmState("deleted"), updated(0)}, time.Minute, false, false, "", ""},
		{"no trace, yet", nil, nil, deleteTraceTimeout - 1, false, false, "", ""},
		{"no trace", nil, nil, deleteTraceTimeout, false, false, refused, "disable_terminate"},
		{"no effect, in the middle of a delete", []change{inTask("deleting")}, []change{inTask("deleting"), updated(0)}, deleteTraceTimeout,
			false, false,
			stillThere, "Next: methods: reset_state, with unchanged_since: 2026-01-02T03:04:05Z"},
		{"no trace, but its answer is lost", nil, nil, time.Minute, false, true, "", ""},
		{"it failed", nil, []change{updated(0)}, time.Second, false, false, stillThere, "the delete ended in an error"},
		{"it failed in the middle of a delete", []change{inTask("deleting")}, nil, time.Second, false, false, stillThere,
			"the delete ended in an error"},
		{"it was only marked", nil, []change{vmState("soft-delete"), updated(0)}, time.Second, false, false, refused,
			"reclaim_instance_interval"},
		{"it was marked before, and its forced delete is at work", []change{vmState("soft-delete")},
			[]change{vmState("soft-delete"), inTask("deleting"), updated(0)}, time.Minute, false, false, "", ""},
		{"its owner restored it meanwhile", []change{vmState("soft-delete")}, []change{vmState("active"), updated(0)}, time.Second, false, false,
			refused, "somebody has set its state to active"},
		{"somebody brought it back to life", []change{inTask("deleting")}, []change{vmState("active"), updated(0)}, time.Second, false, false,
			refused, "somebody has set its state to active"},
		{"another's is at work", []change{inTask("deleting")}, []change{inTask("deleting")}, time.Minute, true, false, "", ""},
		{"another's failed", []change{inTask("deleting")}, []change{updated(0)}, time.Minute, true, false, stillThere,
			"the delete ended in an error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			before, after := base(), base()
			for _, one := range test.before {
				one(&before, &parameters{})
			}
			for _, one := range test.after {
				one(&after, &parameters{})
			}
			try := attempt{baseline: before.server, sent: !test.another}
			if test.lost {
				try.failure = errors.New("lost")
			}
			outcome, text := look{attempt: try, now: after.server, waited: test.waited}.said()
			if outcome != test.outcome || (text == "") != (test.want == "") || !strings.Contains(text, test.want) {
				t.Errorf("got %s, %q, want %s, %q", outcome, text, test.outcome, test.want)
			}
		})
	}
}

func TestADeleteThatFailedInTheVerySecondOfTheWriteBeforeItIsNotTakenForIgnored(t *testing.T) {
	server := base().server // as Nova shows it both times
	for _, waited := range []time.Duration{time.Second, deleteTraceTimeout} {
		try := attempt{baseline: server, sent: true, traced: true}
		outcome, text := look{attempt: try, now: server, waited: waited}.said()
		if outcome != stillThere || !strings.Contains(text, "the delete ended in an error") {
			t.Errorf("after %s: got %s, %q", waited, outcome, text)
		}
	}
}

// said is how it ended, and the text of that.
func (l look) said() (outcome, text string) {
	end, _ := l.end()
	return end.outcome, l.fill(end.text)
}

func TestWhenTheTimeIsUp(t *testing.T) {
	lost, missing := &openstack.Failure{Status: 504}, &openstack.Failure{Status: 404}
	for _, test := range []struct {
		name    string
		try     attempt
		after   []change
		outcome string
		want    string
	}{
		{"it is at work", attempt{sent: true}, []change{inTask("deleting"), updated(0)}, stillThere,
			"with methods: reset_state, with unchanged_since: 2026-01-02T03:04:05Z"},
		{"no trace, yet", attempt{sent: true}, nil, unknown, "too little time"},
		{"its answer is lost, and there is no trace", attempt{sent: true, failure: lost}, nil, unknown, "no trace"},
		{"its answer is lost, and it is at work", attempt{sent: true, failure: lost}, []change{inTask("deleting"), updated(0)}, stillThere,
			"not over in time"},
		{"Nova does not find it", attempt{sent: true, failure: missing}, nil, stillThere, "no trace"},
		{"another's is at work", attempt{}, nil, refused, "for min_age"},
	} {
		t.Run(test.name, func(t *testing.T) {
			after := base()
			for _, one := range test.after {
				one(&after, &parameters{})
			}
			test.try.baseline = base().server
			outcome, text := look{attempt: test.try, now: after.server, late: true}.said()
			if outcome != test.outcome || !strings.Contains(text, test.want) {
				t.Errorf("got %s, %q", outcome, text)
			}
		})
	}
}
