package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nova-orphan/internal/backup"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/placement"
	"nova-orphan/internal/step"
)

// maxWrites bounds the writes for one consumer, each judged anew. Nova itself
// tries four times (nova/scheduler/client/report.py retries).
const maxWrites = 5

// atOnce is how many consumers are worked on at a time: each asks a dozen short questions, one after the other.
const atOnce = 2 * step.AtOnce

// show only reads.
func (c *cloud) show(ctx context.Context, consumer string, reply *entry) error {
	now, err := c.read(ctx, consumer)
	if err != nil {
		reply.Verdict = orphan.Unknown
		return err
	}
	c.fill(reply, now)
	return nil
}

// save backs up what a consumer holds, and does nothing else. Nova is not asked: nothing is
// taken from anybody.
func (c *cloud) save(ctx context.Context, consumer string, reply *entry) error {
	reply.Msg = "nothing to write down"
	if err := c.show(ctx, consumer, reply); err != nil || len(reply.Held) == 0 {
		return err
	}
	reply.Msg = fmt.Sprintf("write down what %s holds", consumer)
	reply.Plan = []string{reply.Msg}
	if c.call.Check {
		return nil
	}
	return c.backup(reply).Save(record{consumer: reply.consumer, State: saved})
}

func (c *cloud) backup(reply *entry) *step.Backup {
	kind := map[string]backup.Kind{absent: backup.Purge, saved: backup.Saved, present: backup.Restoring}[c.State]
	return &step.Backup{Dir: c.BackupDir, UUID: reply.Consumer, Module: name, Instance: c.Instances.Of(reply.Consumer), Kind: kind,
		Answer: &reply.Answer}
}

// task is what is done for one consumer.
type task struct {
	*cloud
	reply  *entry
	backup *step.Backup
	// of is the instance of which the caller says that the consumer is a migration, or the instance itself; empty: it says nothing.
	of string
	// tried is what was last written, or tried to.
	tried change
}

// sight is what is to be done to a consumer, and what Nova knows of it if that takes something.
type sight struct {
	change
	refused error
	nova    *novaEvidence
}

// change brings a consumer to the goal.
func (c *cloud) change(ctx context.Context, consumer string, reply *entry) error {
	t := &task{cloud: c, reply: reply, backup: c.backup(reply), of: c.Instances.Of(consumer)}
	loop := step.Loop[sight]{
		Call: c.call, Answer: &reply.Answer, Subject: "consumer " + consumer, Tries: maxWrites,
		Read: t.look, Plan: t.plan, Save: t.save, Uncertain: openstack.Uncertain, Again: raced, Pause: openstack.Pause,
	}
	err := loop.Run(ctx)
	switch {
	case err != nil || reply.Changed:
	case t.tried.needed():
		reply.Plan, reply.Msg = nil, "nothing to change: someone else did it meanwhile"
	default:
		reply.Msg = "nothing to change"
	}
	if err = t.verifyStillGone(ctx, err); err == nil && t.State == present {
		t.backup.Restored()
	}
	if against := (orphan.Refusal{}); errors.As(err, &against) {
		reply.Reasons = against
	}
	if !reply.Changed {
		reply.Diff = nil
	}
	return err
}

func (t *task) look(ctx context.Context) (sight, error) {
	if b := t.backups[t.reply.Consumer]; b != nil && b.wrong != nil {
		return sight{}, b.wrong
	}
	now, err := t.read(ctx, t.reply.Consumer)
	if err != nil {
		return sight{}, err
	}
	s := sight{change: change{before: now}}
	if s.after, s.refused = t.goal(now); s.refused == nil && t.VerifyConsumer && s.takes() {
		s.nova = t.lookup(ctx, s.change)
	}
	return s, nil
}

func (t *task) plan(s sight) ([]step.Action, error) {
	t.fill(t.reply, s.before)
	if s.refused != nil {
		return nil, s.refused
	}
	if s.nova != nil {
		verdict, reason, refused := judge(s.before.Consumer, *s.nova)
		t.reply.Verdict, t.reply.Reasons = verdict, []string{reason}
		if refused {
			return nil, orphan.Refusal{reason}
		}
	}
	if !s.needed() {
		return nil, nil
	}
	t.fillPlan(t.reply, s.change)
	return []step.Action{{Key: "allocation", Text: strings.Join(t.describe(s.change), "; "), Do: func(ctx context.Context) (bool, error) {
		t.tried = s.change
		err := t.placement.Replace(ctx, s.after)
		if err == nil || openstack.Uncertain(err) {
			t.reply.Held = nil // until it is read again
		}
		return err == nil, t.explain(err, s.after)
	}}}, nil
}

// save writes down what the consumer holds, and what is made of it. One that holds
// nothing has nothing to lose.
func (t *task) save(s sight) error {
	if s.before.Empty() {
		return nil
	}
	after := t.listed(s.after)
	return t.backup.Save(record{consumer: t.listed(s.before), ChangedTo: &after})
}

// raced says that someone else wrote at the same time, so that it makes sense to look and judge again.
func raced(err error) bool {
	var conflict *placement.ConflictError
	return errors.As(err, &conflict) && conflict.Concurrent
}

// explain adds what Placement's own words leave out.
func (t *task) explain(err error, after placement.Allocation) error {
	var conflict *placement.ConflictError
	if !errors.As(err, &conflict) || conflict.Concurrent {
		return err
	}
	var on []string
	for _, uuid := range slices.Sorted(maps.Keys(after.Providers)) {
		on = append(on, t.providers.described(uuid))
	}
	switch {
	case t.Backup.Given():
		return fmt.Errorf("%w: someone else has taken the room by now, or the inventory has shrunk: make room, or raise the provider's "+
			"allocation_ratio for the moment", err)
	case t.State == present:
		return fmt.Errorf("%w: see the inventory of %s: total, reserved, allocation_ratio, min_unit, max_unit, step_size", err,
			strings.Join(on, ", "))
	}
	return fmt.Errorf("%w: placement before 14.0 (2025.2) also checks the capacity of the providers that stay: one of %s is "+
		"over-committed. Raise its allocation_ratio for the moment, or leave resource_provider out to remove the whole allocation",
		err, strings.Join(on, ", "))
}

// verifyStillGone asks Nova once more when something was taken. A consumer's generation guards
// its allocation, but not the instance: one that comes back to life between the
// question and the write (its row restored, by hand or from a dump) would be found
// without its allocation by nobody. It gets it back, unless somebody has written
// since. failure is what the change ended with.
func (t *task) verifyStillGone(ctx context.Context, failure error) error {
	if !t.VerifyConsumer || !t.reply.Changed || !t.tried.takes() {
		return failure
	}
	ctx, cancel := t.call.WithoutInterrupt(ctx)
	defer cancel()
	verdict, reason, refused := judge(t.reply.Consumer, *t.askForServer(ctx, t.tried))
	switch {
	case !refused:
		return failure
	case verdict == orphan.Unknown:
		t.reply.Warn("what was removed was judged before, but not after: " + reason)
		return failure
	}
	t.reply.Verdict = verdict
	against := refuse("it came to life while its allocation was removed: %s; %s", reason, t.revert(ctx))
	if failure != nil {
		return fmt.Errorf("%w (after: %w)", against, failure)
	}
	return against
}

// revert undoes what was done, and says what came of it.
func (t *task) revert(ctx context.Context) string {
	now, err := t.placement.Allocation(ctx, t.reply.Consumer)
	if err != nil {
		return fmt.Sprintf("whether it still has one could not be read (%v): restore it with backup_file: %s", err, t.reply.BackupFile)
	}
	if !now.Equal(t.tried.after) {
		return "somebody has given it another one, which stays"
	}
	back := t.tried.before
	back.Generation = now.Generation
	err = t.placement.Replace(ctx, back)
	then, readErr := t.placement.Allocation(ctx, t.reply.Consumer)
	if readErr != nil || !then.Equal(back) {
		why := cmp.Or(err, readErr, errors.New("somebody has written it again"))
		return fmt.Sprintf("it could not be put back (%v): restore it with backup_file: %s", why, t.reply.BackupFile)
	}
	t.reply.Changed = false
	t.fill(t.reply, then)
	t.call.Audit("put back the allocation of %s, which came to life", then.Consumer)
	return "it was put back"
}
