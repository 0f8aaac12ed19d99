package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
)

// attempt is a delete that this call has sent, or another's that is under way.
type attempt struct {
	// baseline is the server as it was read just before.
	baseline *compute.Server
	sent     bool
	// failure is why it is not certain that the request arrived, or did anything.
	failure error
	// traced says that a look has shown something of it. The last need not: Nova's times are in whole seconds.
	traced bool
}

// deleteTraceTimeout is how long Nova's databases are given to show a trace of a delete that
// Nova took: the task is written before the answer is sent (nova/compute/api.py
// _delete), but may be read from another node. A fake Nova has one, so that tests
// against it are less patient.
var deleteTraceTimeout = 10 * time.Second

// revertTimeout is for how long nova-compute must have left the row alone to have given up a delete that failed: after it
// has set it to error it writes it once more, to take away its task (nova/compute/manager.py reverts_task_state), on a
// busy host two seconds later.
var revertTimeout = 3 * time.Second

// await looks until the instance is gone, until it is clear that it stays, or until
// the time is up.
func (t *task) await(ctx context.Context) error {
	since := time.Now()
	for looks := uint(1); ; looks++ {
		now, _, err := t.nova.Find(ctx, t.uuid)
		if err != nil {
			if ctx.Err() == nil && t.pause(ctx, looks) == nil {
				continue // a passing failure must not hide how it ends
			}
			t.cannotTell(err)
			t.reply.Outcome = unknown
			return fmt.Errorf("cannot tell whether instance %s is gone (run the module again): %w", t.uuid, err)
		}
		t.reply.Server = shown(now)
		if now == nil {
			t.conclude()
			return nil
		}
		l := look{attempt: *t.try, now: now, waited: time.Since(since)}
		t.try.traced = l.changed()
		t.reply.Changed = t.reply.Changed || l.sent && l.changed()
		if l.sent && l.failure == nil && l.changed() { // of a delete whose answer was lost it may be another's
			t.own = now
		}
		end, ended := l.end()
		if !ended && t.pause(ctx, looks) != nil {
			l.late = true
			end, ended = l.end()
		}
		if ended {
			if t.own == now && end.outcome == stillThere && l.idle() {
				t.settle(ctx)
			}
			t.reply.Outcome = end.outcome
			return fmt.Errorf("instance %s is still there (%s): %s", t.uuid, described(now), l.fill(end.text))
		}
	}
}

// settle waits until the row of a delete that failed is at rest, so that nova-compute's last write is not taken for
// somebody else's by what comes next. Only where it changes nothing but the time it is that one.
func (t *task) settle(ctx context.Context) {
	since := time.Now()
	for looks := uint(1); time.Since(since) < revertTimeout && t.pause(ctx, looks) == nil; looks++ {
		now, _, err := t.nova.Find(ctx, t.uuid)
		if err != nil || now == nil || !touched(t.own, now) {
			return
		}
		if now.Updated != t.own.Updated {
			since = time.Now()
		}
		t.own, t.reply.Server = now, shown(now)
	}
}

// touched says that of all that Nova tells of it at most the time of the last write has changed between two looks, or why it
// is in ERROR has come to it.
func touched(before, now *compute.Server) bool {
	rest := func(s *compute.Server) (all map[string]any) {
		_ = json.Unmarshal(s.Raw, &all) // which it was read from
		delete(all, "updated")
		delete(all, "fault")
		return all
	}
	return reflect.DeepEqual(rest(before), rest(now))
}

// conclude says whose the delete was by which the instance is gone.
func (t *task) conclude() {
	lost := openstack.Uncertain(t.try.failure)
	t.reply.Outcome = gone
	switch {
	case t.try.sent && (t.try.failure == nil || lost):
		t.reply.Changed = true
		t.reply.Msg = fmt.Sprintf("deleted instance %s, which was %s", t.uuid, t.reply.Verdict)
	case t.sent:
		t.reply.Msg = t.goneByNow()
	default:
		t.reply.Msg = fmt.Sprintf("instance %s is gone: somebody else deleted it", t.uuid)
	}
	if lost {
		t.reply.Warn("the delete got no certain answer; read back, the instance is gone: " + t.try.failure.Error())
	}
}

// look is what is seen of the server after the delete.
type look struct {
	attempt
	now    *compute.Server
	waited time.Duration
	late   bool // there is no time for another
}

// changed says that something has been written since.
func (l look) changed() bool { return l.traced || written(l.baseline, l.now) }

// written says that between two looks somebody has written the server.
func written(before, now *compute.Server) bool {
	return now.Updated != before.Updated || now.TaskState != before.TaskState || now.VMState != before.VMState
}

// idle says that whatever was done is over.
func (l look) idle() bool { return l.changed() && l.now.TaskState == "" }

// ignored says that Nova took the request, and has had the time to show it.
func (l look) ignored() bool { return l.sent && l.failure == nil && l.waited >= deleteTraceTimeout }

// ending is how a delete ended that did not delete the instance, and what to do next.
type ending struct {
	outcome string
	when    func(look) bool
	text    string // in which fill fills in what the look has
}

// endings has the first that is so. None is so as long as the delete may be at work.
var endings = []ending{
	{refused, func(l look) bool { return l.now.VMState == "soft-delete" && l.baseline.VMState != "soft-delete" },
		"Nova only marked it as deleted, since its reclaim_instance_interval is set; its owner can restore it until that is over. " +
			"Next: wait, or openstack server delete --force {id}, or allow_soft_deleted: true (another time methods: force_delete does not " +
			"even mark it)"},
	{stillThere, func(l look) bool { return l.idle() && l.now.VMState == "error" },
		"the delete ended in an error. Next: see the log of nova-compute on {host} for it; repair the cause and delete again, " +
			"or force the service down (nova_compute_service) and delete again"},
	{refused, func(l look) bool { return l.idle() && l.now.VMState != "deleted" },
		"somebody has set its state to {state} meanwhile. Next: ask them"},
	{stillThere, func(l look) bool {
		return l.ignored() && l.now.TaskState != "" && l.now.TaskState == l.baseline.TaskState
	},
		"Nova took the request and ignored it, as it does in the middle of a delete while the host is up. " +
			"Next: methods: reset_state, with unchanged_since: {updated}"},
	{refused, func(l look) bool { return l.ignored() && !l.changed() },
		"Nova took the request and ignored it, as it does when disable_terminate is set in its database. " +
			"Next: unset that there, if the instance may go"},
	{unknown, func(l look) bool { return l.late && !l.changed() && openstack.Uncertain(l.failure) },
		"no trace of the delete is seen: {failure}. Next: run the module again"},
	{stillThere, func(l look) bool { return l.late && !l.changed() && l.failure != nil }, // Nova has it, and says of it 404
		"no trace of the delete is seen: {failure}. Next: run the module again"},
	{refused, func(l look) bool { return l.late && !l.sent }, // somebody else's, who may have more patience
		"the delete that is under way was not over in time. " +
			"Next: run the module again when nothing was written since {updated} for min_age"},
	{unknown, func(l look) bool { return l.late && !l.changed() },
		"there was too little time to see a trace of the delete. Next: run the module again, with a longer timeout"},
	{stillThere, func(l look) bool { return l.late && l.now.Host == "" },
		"the delete was not over in time. Next: see the logs of nova-api and nova-conductor"},
	{stillThere, func(l look) bool { return l.late },
		"the delete was not over in time. Next: restart nova-compute on {host}, which takes it up again; or force its service " +
			"down (nova_compute_service) and delete again, with methods: reset_state, with unchanged_since: {updated}"},
}

func (l look) end() (ending, bool) {
	for _, end := range endings {
		if end.when(l) {
			return end, true
		}
	}
	return ending{}, false
}

func (l look) fill(text string) string {
	return strings.NewReplacer("{id}", l.now.ID, "{host}", cmp.Or(l.now.Host, "its host"), "{state}", l.now.VMState,
		"{updated}", l.now.Updated, "{failure}", fmt.Sprint(l.failure)).Replace(text)
}
