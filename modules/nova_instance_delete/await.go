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

// patience is how long Nova's databases are given to show a trace of a delete that
// Nova took: the task is written before the answer is sent (nova/compute/api.py
// _delete), but may be read from another node. A fake Nova has one, so that tests
// against it are less patient.
var patience = 10 * time.Second

// maxPause bounds the pauses between two looks: 0.2 s at first, 3.2 s from the fifth on.
const maxPause = 5

// await looks until the instance is gone, until it is clear that it stays, or until
// the time is up.
func (t *task) await(ctx context.Context, try attempt) error {
	since := time.Now()
	for looks := uint(1); ; looks++ {
		now, _, err := t.nova.Find(ctx, t.InstanceUUID)
		if err != nil {
			if ctx.Err() == nil && openstack.Pause(ctx, min(looks, maxPause)) == nil {
				continue // a passing failure must not hide how it ends
			}
			t.reply.Verdict, t.reply.Reasons = string(orphan.Unknown), []string{err.Error()}
			return fmt.Errorf("cannot tell whether instance %s is gone (run the module again): %w", t.InstanceUUID, err)
		}
		t.reply.Server = shown(now)
		if now == nil {
			t.conclude(try)
			return nil
		}
		t.reply.Changed = t.reply.Changed || try.sent && try.took(now)
		why := try.ended(now, time.Since(since))
		if why == "" && openstack.Pause(ctx, min(looks, maxPause)) != nil {
			why = try.unfinished(now)
		}
		if why != "" {
			t.reply.Outcome = stillThere
			return fmt.Errorf("instance %s is still there (%s): %s", t.InstanceUUID, described(now), why)
		}
	}
}

func (t *task) conclude(try attempt) {
	t.reply.Outcome = gone
	t.reply.Msg = fmt.Sprintf("instance %s is gone: somebody else deleted it", t.InstanceUUID)
	if try.sent && (try.failure == nil || uncertain(try.failure)) {
		t.reply.Changed = true
		t.reply.Msg = fmt.Sprintf("deleted instance %s, which was %s", t.InstanceUUID, t.reply.Verdict)
	}
	if try.failure != nil && uncertain(try.failure) {
		t.reply.Warnings = append(t.reply.Warnings, "the delete got no certain answer; read back, the instance is gone: "+try.failure.Error())
	}
}

// took says that something has been written since.
func (a attempt) took(now *compute.Server) bool {
	before := a.baseline
	return now.Updated != before.Updated || now.TaskState != before.TaskState || now.VMState != before.VMState
}

// ended says why it makes no sense to wait any longer, and what to do instead; it is
// empty as long as the delete may be at work.
func (a attempt) ended(now *compute.Server, waited time.Duration) string {
	switch {
	case now.VMState == "soft-delete":
		return "Nova only marked it as deleted, since its reclaim_instance_interval is set; it goes when that is over. Next: wait, or openstack server delete --force (force: true does not even mark it)"
	case a.took(now) && now.TaskState == "" && now.VMState == "error":
		return fmt.Sprintf("the delete ended in an error. Next: see the log of %s for it; repair the cause and delete again, or force the service down (nova_compute_service) and delete again", logOf(now))
	case a.took(now) && now.TaskState == "" && now.VMState != "deleted":
		return "somebody has set its state to " + now.VMState + " meanwhile. Next: ask them"
	case a.sent && a.failure == nil && now.TaskState != "" && now.TaskState == a.baseline.TaskState && waited >= patience:
		return "Nova took the request and ignored it, as it does in the middle of a delete while the host is up. Next: reset_state: true, with min_age: 0 since it has written the row"
	case a.sent && a.failure == nil && !a.took(now) && waited >= patience:
		return "Nova took the request and ignored it, as it does when disable_terminate is set in its database. Next: unset that there, if the instance may go"
	}
	return ""
}

// unfinished says what is known when the time is up.
func (a attempt) unfinished(now *compute.Server) string {
	switch {
	case a.failure != nil && !a.took(now):
		return "no trace of the delete is seen: " + a.failure.Error() + ". Next: run the module again"
	case !a.sent:
		return fmt.Sprintf("the delete that is under way was not over in time. Next: run the module again when nothing was written since %s for min_age", now.Updated)
	case !a.took(now):
		return "there was too little time to see a trace of the delete. Next: run the module again, with a longer timeout"
	case now.Host == "":
		return "the delete was not over in time. Next: see the logs of nova-api and nova-conductor"
	}
	return fmt.Sprintf("the delete was not over in time. Next: restart nova-compute on %s, which takes it up again; or force its service down (nova_compute_service) and delete again, with reset_state: true and min_age: 0 since this delete has written the row", now.Host)
}

func logOf(server *compute.Server) string {
	return "nova-compute on " + cmp.Or(server.Host, "its host")
}
