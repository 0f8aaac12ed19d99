package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
)

// attempt is a delete that this call has sent, or another's that is under way.
type attempt struct {
	// baseline is the server as it was read just before.
	baseline *compute.Server
	sent     bool
	// failure is why it is not certain that the request arrived, or did anything.
	failure error
}

// deleteTraceTimeout is how long Nova's databases are given to show a trace of a delete that
// Nova took: the task is written before the answer is sent (nova/compute/api.py
// _delete), but may be read from another node. A fake Nova has one, so that tests
// against it are less patient.
var deleteTraceTimeout = 10 * time.Second

// await looks until the instance is gone, until it is clear that it stays, or until
// the time is up.
func (t *task) await(ctx context.Context, try attempt) error {
	since := time.Now()
	for looks := uint(1); ; looks++ {
		now, _, err := t.nova.Find(ctx, t.InstanceUUID)
		if err != nil {
			if ctx.Err() == nil && openstack.Pause(ctx, looks) == nil {
				continue // a passing failure must not hide how it ends
			}
			t.reply.Verdict, t.reply.Reasons = string(orphan.Unknown), []string{err.Error()}
			t.reply.Outcome = unknown
			return fmt.Errorf("cannot tell whether instance %s is gone (run the module again): %w", t.InstanceUUID, err)
		}
		t.reply.Server = shown(now)
		if now == nil {
			t.conclude(try)
			return nil
		}
		t.reply.Changed = t.reply.Changed || try.sent && try.hasChanged(now)
		end := try.terminalReason(now, time.Since(since))
		if end.outcome == "" && openstack.Pause(ctx, looks) != nil {
			end = try.timeoutReason(now)
		}
		if end.outcome != "" {
			t.reply.Outcome = end.outcome
			return fmt.Errorf("instance %s is still there (%s): %s", t.InstanceUUID, described(now), end.why)
		}
	}
}

func (t *task) conclude(try attempt) {
	t.reply.Outcome = gone
	t.reply.Msg = fmt.Sprintf("instance %s is gone: somebody else deleted it", t.InstanceUUID)
	if try.sent && (try.failure == nil || openstack.Uncertain(try.failure)) {
		t.reply.Changed = true
		t.reply.Msg = fmt.Sprintf("deleted instance %s, which was %s", t.InstanceUUID, t.reply.Verdict)
	}
	if try.failure != nil && openstack.Uncertain(try.failure) {
		t.reply.Warnings = append(t.reply.Warnings, "the delete got no certain answer; read back, the instance is gone: "+try.failure.Error())
	}
}

// hasChanged says that something has been written since.
func (a attempt) hasChanged(now *compute.Server) bool {
	before := a.baseline
	return now.Updated != before.Updated || now.TaskState != before.TaskState || now.VMState != before.VMState
}

// end is how an attempt ended that did not delete the instance, and what to do next;
// it has no outcome as long as the delete may be at work.
type end struct{ outcome, why string }

func (a attempt) terminalReason(now *compute.Server, waited time.Duration) end {
	switch {
	case now.VMState == "soft-delete":
		return end{refused, "Nova only marked it as deleted, since its reclaim_instance_interval is set; " +
			"its owner can restore it until that is over. " +
			"Next: wait, or openstack server delete --force " + now.ID + " (another time force: true does not even mark it)"}
	case a.hasChanged(now) && now.TaskState == "" && now.VMState == "error":
		return end{stillThere, fmt.Sprintf("the delete ended in an error. Next: see the log of %s for it; repair the cause and delete again, "+
			"or force the service down (nova_compute_service) and delete again", logOf(now))}
	case a.hasChanged(now) && now.TaskState == "" && now.VMState != "deleted":
		return end{refused, "somebody has set its state to " + now.VMState + " meanwhile. Next: ask them"}
	case a.sent && a.failure == nil && now.TaskState != "" && now.TaskState == a.baseline.TaskState && waited >= deleteTraceTimeout:
		return end{stillThere, "Nova took the request and ignored it, as it does in the middle of a delete while the host is up. " +
			"Next: reset_state: true, " + sinceThen(now)}
	case a.sent && a.failure == nil && !a.hasChanged(now) && waited >= deleteTraceTimeout:
		return end{refused, "Nova took the request and ignored it, as it does when disable_terminate is set in its database. " +
			"Next: unset that there, if the instance may go"}
	}
	return end{}
}

// sinceThen is the option by which the next call knows that this one's request has
// written the row, and that it is no sign of life.
func sinceThen(now *compute.Server) string { return "with unchanged_since: " + now.Updated }

// timeoutReason says what is known when the time is up.
func (a attempt) timeoutReason(now *compute.Server) end {
	switch {
	case a.failure != nil && !a.hasChanged(now):
		outcome := unknown
		if !openstack.Uncertain(a.failure) { // Nova has it, and says of it 404
			outcome = stillThere
		}
		return end{outcome, "no trace of the delete is seen: " + a.failure.Error() + ". Next: run the module again"}
	case !a.sent:
		// Somebody else's, who may have more patience.
		return end{refused, fmt.Sprintf("the delete that is under way was not over in time. "+
			"Next: run the module again when nothing was written since %s for min_age", now.Updated)}
	case !a.hasChanged(now):
		return end{unknown, "there was too little time to see a trace of the delete. Next: run the module again, with a longer timeout"}
	case now.Host == "":
		return end{stillThere, "the delete was not over in time. Next: see the logs of nova-api and nova-conductor"}
	}
	return end{stillThere, fmt.Sprintf("the delete was not over in time. Next: restart nova-compute on %s, which takes it up again; "+
		"or force its service down (nova_compute_service) and delete again, with reset_state: true, %s", now.Host, sinceThen(now))}
}

func logOf(server *compute.Server) string {
	return "nova-compute on " + cmp.Or(server.Host, "its host")
}
