package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/step"
)

// task is what is done for one instance.
type task struct {
	parameters
	call  *ansible.Call
	nova  *compute.Client
	uuid  string
	reply *entry
	// seen is the last evidence, and next what was decided by it.
	seen evidence
	next plan
	// reset says that a reset was sent of which no look has shown that it is done.
	reset bool
	own   *compute.Server // see evidence.own
	// sent says that a method before has sent a delete, and before how many requests they all have sent.
	sent   bool
	before int
	// try is nil until the method sends the delete, or is to wait for another's; told says that the plan has it, and until
	// is when its time is up.
	try   *attempt
	told  bool
	until time.Time
}

// maxTries bounds the rounds: one each for the backup, the volumes, the reset and the
// delete, and two more for answers that are lost.
const maxTries = 6

// do tries one method after the other, as long as the instance is still there.
func (t *task) do(ctx context.Context) error {
	t.reply.Tries = newLadder(t.Methods)
	for {
		err := t.once(ctx)
		msg := t.reply.Msg
		if err != nil {
			msg = err.Error()
		}
		if goOn := t.reply.Tries.note(cmp.Or(t.reply.Outcome, planned), msg); !goOn {
			return err
		}
		if why := t.ended(ctx); why != "" {
			err = fmt.Errorf("%w (%s was not tried: %s)", err, t.reply.Tries.method(), why)
			t.reply.Tries.rest(skipped, "it was stopped: "+why)
			return err
		}
		t.sent, t.before = t.sent || t.try != nil && t.try.sent, len(t.nova.Sent())
		t.try, t.told, t.reply.Outcome = nil, false, ""
	}
}

// ended says why no other method is begun; empty if one is. Of one that is begun with little time it would not be seen what came of it.
func (t *task) ended(ctx context.Context) string {
	deadline, bounded := ctx.Deadline()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx).Error()
	case bounded && time.Until(deadline) < t.call.Turn/2:
		return "there is too little time left"
	}
	return ""
}

// once tries one method. It changes one thing a round, so that each write is judged by what was read just before
// it: Nova offers no way to delete a server only if it is still as it was read.
func (t *task) once(ctx context.Context) error {
	t.until = time.Now().Add(t.call.Turn)
	loop := step.Loop[evidence]{
		Call: t.call, Answer: &t.reply.Answer, Subject: "instance " + t.uuid, Tries: maxTries, Read: t.read, Plan: t.plan,
		Uncertain: openstack.Uncertain, Pause: t.pause,
		Again: func(err error) bool { return statusOf(err) == http.StatusNotFound }, // it may be gone by now
	}
	err := loop.Run(ctx)
	switch {
	case err != nil && t.reply.Outcome == "":
		t.reply.Outcome = outcomeOf(err)
	case err == nil && t.seen.server == nil:
		t.vanished()
	case err == nil && t.call.Check:
		t.reply.Msg = fmt.Sprintf("instance %s (%s): %s", t.uuid, described(t.seen.server), strings.Join(t.reply.Plan, "; "))
	case err == nil:
		if t.begun() { // which is finished, even if Ansible goes away
			var cancel context.CancelFunc
			ctx, cancel = t.call.WithoutInterrupt(ctx)
			defer cancel()
		}
		return t.await(ctx)
	}
	return err
}

// pause does not wait for what lies beyond the method's time. What it asks is not cut off then: that would be no answer.
func (t *task) pause(ctx context.Context, looks uint) error {
	ctx, cancel := context.WithDeadline(ctx, t.until)
	defer cancel()
	return openstack.Pause(ctx, looks)
}

// vanished says of an instance that is not there any more before the delete is sent how that may be.
func (t *task) vanished() {
	t.reply.Outcome = gone
	switch {
	case t.sent:
		t.reply.Msg = t.goneByNow()
	case t.begun():
		t.reply.Msg = fmt.Sprintf("instance %s is gone: somebody else deleted it meanwhile", t.uuid)
	default:
		t.reply.Msg = fmt.Sprintf("instance %s is gone already: nothing to do", t.uuid)
	}
	if len(t.nova.Sent()) == t.before {
		t.reply.Tries.rest(skipped, "it is gone")
	}
}

// goneByNow is said after a method that left the instance there: by whose delete it went is not known.
func (t *task) goneByNow() string {
	return fmt.Sprintf("instance %s is gone by now: its delete was slow, or somebody else deleted it", t.uuid)
}

// begun says that there is a backup, so that what was judged is judged again.
func (t *task) begun() bool { return t.reply.BackupFile != "" }

// read reads all that is judged. What is not read is an error, never absence.
func (t *task) read(ctx context.Context) (e evidence, err error) {
	if t.try != nil {
		return t.seen, nil // what becomes of the delete is seen while it is waited for
	}
	e.uuid = t.uuid
	e.server, e.unmapped, err = t.nova.Find(ctx, t.uuid)
	if err == nil && e.server != nil && e.server.Locked {
		e.server.LockedReason, err = t.nova.LockedReason(ctx, t.uuid)
	}
	if err == nil && e.server != nil {
		e.migrations, err = t.nova.Migrations(ctx, t.uuid)
	}
	if err == nil || e.server != nil { // else what was seen last stays told
		t.show(e.server)
	}
	if err != nil {
		t.cannotTell(err)
		return e, fmt.Errorf("cannot tell what instance %s is: %w", t.uuid, err)
	}
	return e, nil
}

func (t *task) show(s *compute.Server) {
	t.reply.Server = shown(s)
	if s != nil && !t.begun() {
		t.reply.ServerBefore = t.reply.Server
	}
}

func (t *task) cannotTell(err error) {
	t.reply.Verdict, t.reply.Reasons = orphan.Unknown, []string{err.Error()}
}

// plan judges, and gives what is to be done next. Of the answer's verdict, plan and diff
// those before the first change stay, unless a later look refuses.
func (t *task) plan(e evidence) (actions []step.Action, err error) {
	if t.try != nil {
		return nil, nil
	}
	if t.seen.server == nil { // the first look
		t.reply.Tries.leaveOut(e.server)
	}
	if t.reset && e.server != nil && e.server.VMState == "error" && e.server.TaskState == "" {
		t.own, t.reset = e.server, false
	}
	e.own, e.forced = t.own, t.next.force
	t.seen = e
	t.next, err = decide(e, t.parameters, t.reply.Tries.method())
	if err != nil || !t.begun() {
		t.reply.Verdict, t.reply.Reasons = t.next.Verdict, t.next.Reasons
	}
	switch {
	case err != nil:
		t.reply.Outcome = t.next.outcome
		if t.begun() {
			err = fmt.Errorf("nothing was deleted: %w", err)
		}
		return nil, err
	case e.server == nil:
		return nil, nil
	case !t.told:
		t.told, t.reply.Plan, t.reply.Diff = true, append(t.reply.Plan, t.next.lines...), cmp.Or(t.reply.Diff, diff(e.server))
	}
	switch {
	case t.next.wait:
		t.try = &attempt{baseline: e.server}
		return nil, nil
	case !t.begun():
		return []step.Action{{Key: "backup", Text: "write the backup", Do: t.save}}, nil
	case len(t.next.keep) > 0:
		for _, volume := range t.next.keep {
			actions = append(actions, step.Action{Key: "keep " + volume, Text: keeping(volume), Do: func(ctx context.Context) (bool, error) {
				return t.did(t.nova.KeepVolume(ctx, t.uuid, volume), "keep volume "+volume)
			}})
		}
		return actions, nil
	case t.next.reset:
		return []step.Action{{Key: "reset", Text: resetting(e.server), Do: func(ctx context.Context) (bool, error) {
			t.reset = true
			return t.did(t.nova.ResetState(ctx, t.uuid), "reset the state of instance "+t.uuid)
		}}}, nil
	}
	return []step.Action{{Key: "delete", Text: "delete " + t.uuid, Do: t.send}}, nil
}

func (t *task) did(err error, what string) (bool, error) {
	if err != nil {
		return false, fmt.Errorf("%s, so nothing was deleted: %w", what, err)
	}
	return true, nil
}

// saved is what the backup holds.
type saved struct {
	Server     json.RawMessage     `json:"server"`
	Migrations []compute.Migration `json:"migrations"`
	Plan       []string            `json:"plan"`
}

// save writes down what was read. It changes nothing of the instance.
func (t *task) save(context.Context) (bool, error) {
	file := step.Backup{Dir: t.BackupDir, UUID: t.uuid, Module: name, Instance: t.uuid, Kind: backup.Record, Answer: &t.reply.Answer}
	return false, file.Save(saved{Server: t.seen.server.Raw, Migrations: t.seen.migrations, Plan: t.next.lines})
}

// send sends the delete. Whether it has changed something is seen while it is waited for.
func (t *task) send(ctx context.Context) (bool, error) {
	how, err := "delete", error(nil)
	if t.next.force {
		how, err = "forced delete", t.nova.ForceDelete(ctx, t.uuid)
	} else {
		err = t.nova.Delete(ctx, t.uuid)
	}
	if err == nil || openstack.Uncertain(err) {
		t.call.Audit("instance %s was %s: %s sent, backup in %s", t.uuid, t.reply.Verdict, how, t.reply.BackupFile)
	} else if statusOf(err) != http.StatusNotFound { // that Nova does not find it is what was wanted, if it is true
		return false, fmt.Errorf("%w: instance %s is still there (%s)", err, t.uuid, described(t.seen.server))
	}
	t.try = &attempt{baseline: t.seen.server, sent: true, failure: err}
	return false, nil
}

// statusOf is 0 if Nova did not answer.
func statusOf(err error) int {
	if failure := (*openstack.Failure)(nil); errors.As(err, &failure) {
		return failure.Status
	}
	return 0
}

// outcomeOf is that of a call that failed. What is no clear "no" cannot be told.
func outcomeOf(err error) string {
	if statusOf(err)/100 == 4 {
		return refused
	}
	return unknown
}
