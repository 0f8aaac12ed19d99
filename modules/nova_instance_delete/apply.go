package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"nova-orphan/internal/backup"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
)

// delete reads, judges and applies.
func (t *task) delete(ctx context.Context) error {
	before, next, err := t.evaluate(ctx)
	t.reply.ServerBefore, t.reply.Server = shown(before.server), shown(before.server)
	if err != nil {
		return err
	}
	t.fillAnswer(before, next)
	switch {
	case before.server == nil:
		t.reply.Outcome = gone
		t.reply.Msg = fmt.Sprintf("instance %s is gone already: nothing to do", t.InstanceUUID)
		return nil
	case t.call.Check:
		t.reply.Changed = next.delete
		t.reply.Msg = fmt.Sprintf("instance %s (%s): %s", t.InstanceUUID, described(before.server), strings.Join(next.steps, "; "))
		return nil
	case !next.delete:
		return t.await(ctx, attempt{baseline: before.server})
	}
	return t.apply(ctx, before, next)
}

// evaluate looks, and judges what it saw.
func (t *task) evaluate(ctx context.Context) (evidence, plan, error) {
	s, err := t.read(ctx)
	if err != nil {
		t.reply.Verdict, t.reply.Reasons = string(orphan.Unknown), []string{err.Error()}
		return s, plan{}, fmt.Errorf("cannot tell what instance %s is: %w", t.InstanceUUID, err)
	}
	judgement := judge(s, t.parameters)
	next, err := decide(s, judgement, t.parameters)
	t.reply.Verdict, t.reply.Reasons = string(judgement.Verdict), judgement.Reasons
	if against := (*refusal)(nil); errors.As(err, &against) {
		t.reply.Reasons = against.reasons
		if against.what == "" {
			told := func(reason string) bool { return slices.Contains(judgement.Reasons, reason) }
			t.reply.Reasons = slices.Concat(judgement.Reasons, slices.DeleteFunc(slices.Clone(against.reasons), told))
		}
	}
	return s, next, err
}

// saved is what the backup holds.
type saved struct {
	Server     json.RawMessage     `json:"server"`
	Migrations []compute.Migration `json:"migrations"`
	Plan       []string            `json:"plan"`
}

func (t *task) apply(ctx context.Context, before evidence, next plan) error {
	steady, cancel := t.call.WithoutInterrupt(ctx)
	defer cancel()
	path, err := backup.Write(t.BackupDir, t.InstanceUUID, name,
		saved{Server: before.server.Raw, Migrations: before.migrations, Plan: next.steps})
	if err != nil {
		return err
	}
	t.reply.BackupFile = path
	if err = t.keepVolumes(steady, next); err != nil {
		return err
	}
	if next.reset {
		if err = t.resetState(steady); err != nil {
			return err
		}
	}
	now, err := t.judgeAgain(steady)
	if err != nil || now.server == nil {
		return err
	}
	try := attempt{baseline: now.server, sent: true, failure: t.send(steady)}
	if rejected(try.failure) {
		return fmt.Errorf("%w: instance %s is still there (%s)", try.failure, t.InstanceUUID, described(now.server))
	}
	return t.await(ctx, try)
}

// keepVolumes takes delete_on_termination from the volumes, and reads back that it is gone.
func (t *task) keepVolumes(ctx context.Context, next plan) error {
	for _, volume := range next.keep {
		// Whether a request that got no answer arrived is seen in what is read back.
		if err := t.nova.KeepVolume(ctx, t.InstanceUUID, volume); err != nil && !openstack.Uncertain(err) {
			return fmt.Errorf("keep volume %s, so nothing was deleted: %w", volume, err)
		}
	}
	if len(next.keep) == 0 {
		return nil
	}
	now, err := t.nova.Server(ctx, t.InstanceUUID)
	if err != nil {
		return fmt.Errorf("read back whether the volumes are kept, so nothing was deleted: %w", err)
	}
	if now == nil {
		return nil // which is judged next
	}
	t.reply.Server = shown(now)
	for _, volume := range now.Volumes {
		switch {
		case volume.DeleteOnTermination:
			return fmt.Errorf("keep volume %s, so nothing was deleted: delete_on_termination is still set (run the module again)", volume.ID)
		case slices.Contains(next.keep, volume.ID):
			t.reply.Changed = true
			t.call.Audit("instance %s: delete_on_termination of volume %s set to false, backup in %s", t.InstanceUUID, volume.ID, t.reply.BackupFile)
		}
	}
	return nil
}

func (t *task) resetState(ctx context.Context) error {
	// A user may have acted since it was judged, and a reset cannot be taken back.
	s, next, err := t.evaluate(ctx)
	if err != nil || !next.reset {
		return err // what else there is to do is judged next
	}
	if err = t.nova.ResetState(ctx, t.InstanceUUID); err != nil && !openstack.Uncertain(err) {
		return fmt.Errorf("reset the state of instance %s, so nothing was deleted: %w", t.InstanceUUID, err)
	}
	now, readErr := t.nova.Server(ctx, t.InstanceUUID)
	switch {
	case readErr != nil:
		return fmt.Errorf("read back the state, so nothing was deleted: %w", readErr)
	case now == nil:
		return nil // which is judged next
	case now.TaskState != "":
		t.reply.Server = shown(now)
		return fmt.Errorf("reset the state of instance %s, so nothing was deleted: read back, the task is %s: %w", t.InstanceUUID, now.TaskState,
			orUnchanged(err))
	}
	t.reply.Server, t.reply.Changed = shown(now), true
	t.call.Audit("instance %s: state reset to error, task was %s, backup in %s", t.InstanceUUID, s.server.TaskState, t.reply.BackupFile)
	return nil
}

func orUnchanged(err error) error {
	if err == nil {
		return errors.New("somebody else has written, too (run the module again)")
	}
	return err
}

// judgeAgain is the last look before the delete: Nova offers no way to delete a server
// only if it is still as it was read. The verdict of before stays unless this one refuses.
func (t *task) judgeAgain(ctx context.Context) (evidence, error) {
	verdict, reasons := t.reply.Verdict, t.reply.Reasons
	now, next, err := t.evaluate(ctx)
	t.reply.Server = shown(now.server)
	if err != nil {
		return now, fmt.Errorf("nothing was deleted: %w", err)
	}
	t.reply.Verdict, t.reply.Reasons = verdict, reasons
	switch {
	case now.server == nil:
		t.reply.Outcome = gone
		t.reply.Msg = fmt.Sprintf("instance %s is gone: somebody else deleted it meanwhile", t.InstanceUUID)
	case !next.delete:
		return evidence{}, t.await(ctx, attempt{baseline: now.server})
	case len(next.keep) > 0 || next.reset:
		return now, fmt.Errorf("nothing was deleted: somebody else writes instance %s at the same time (run the module again)", t.InstanceUUID)
	}
	return now, nil
}

func (t *task) send(ctx context.Context) error {
	how, err := "delete", error(nil)
	if t.Force {
		how, err = "forced delete", t.nova.ForceDelete(ctx, t.InstanceUUID)
	} else {
		err = t.nova.Delete(ctx, t.InstanceUUID)
	}
	if err == nil || openstack.Uncertain(err) {
		t.call.Audit("instance %s was %s: %s sent, backup in %s", t.InstanceUUID, t.reply.Verdict, how, t.reply.BackupFile)
	}
	return err
}

// rejected says that the request was not carried out. That Nova does not find the
// server is no rejection, but what was wanted, if it is true.
func rejected(err error) bool {
	var failure *openstack.Failure
	if errors.As(err, &failure) && failure.Status == http.StatusNotFound {
		return false
	}
	return err != nil && !openstack.Uncertain(err)
}

// outcomeOf is that of a call that failed. What is no clear "no" cannot be told.
func outcomeOf(err error) string {
	var against *refusal
	var failure *openstack.Failure
	switch {
	case errors.As(err, &against):
		return against.outcome
	case errors.As(err, &failure) && failure.Status >= 400 && failure.Status < 500:
		return refused
	}
	return unknown
}
