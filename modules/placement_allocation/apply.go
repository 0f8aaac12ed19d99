package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nova-orphan/internal/backup"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/placement"
)

// maxWrites bounds the writes for one consumer, each judged anew. Nova itself
// tries four times (nova/scheduler/client/report.py retries).
const maxWrites = 5

// apply carries the steps out, and keeps the answer true after each.
func (t *task) apply(ctx context.Context, reply *answer, steps []step, w wanted) error {
	ctx, cancel := t.call.WithoutInterrupt(ctx)
	defer cancel()
	err := t.carryOutAll(ctx, reply, steps, w)
	if against := t.verifyStillGone(ctx, reply, steps); len(against) > 0 {
		if err != nil {
			against = append(against, "the rest was not done: "+err.Error())
		}
		return against
	}
	if err == nil && !reply.Changed {
		reply.Plan, reply.Msg = nil, "nothing to change: someone else did it meanwhile"
	}
	return err
}

func (t *task) carryOutAll(ctx context.Context, reply *answer, steps []step, w wanted) error {
	for i := range steps {
		now, err := t.carryOut(ctx, reply, steps, i, w)
		reply.Allocations[i] = t.listed(now)
		if err != nil {
			return err
		}
	}
	return nil
}

// carryOut writes step i, reads it back and judges again: to be done is to have
// nothing left to do. It returns what the consumer then holds.
func (t *task) carryOut(ctx context.Context, reply *answer, steps []step, i int, w wanted) (placement.Allocation, error) {
	var saved *placement.Allocation
	next := steps[i]
	for writes := uint(1); next.changes(); writes++ {
		if writes > 1 {
			steps[i] = next
			t.fillAnswer(reply, steps)
			if err := t.verify(ctx, reply, []step{next}); err != nil {
				return next.before, err
			}
		}
		if before := next.before; saved == nil || !saved.Equal(before) {
			if err := t.save(reply, next); err != nil {
				return before, err
			}
			saved = &before
		}
		failure := t.write(ctx, reply, next)
		steps[i].written = failure == nil
		if failure != nil && !again(failure) {
			return next.before, t.explain(failure, next, w)
		}
		if failure != nil && writes < maxWrites && openstack.Pause(ctx, writes) != nil {
			return next.before, fmt.Errorf("%w (no time left to look whether it arrived, or to try again: run the module again)", failure)
		}
		now, err := t.read(ctx, next.before.Consumer)
		if err != nil {
			return next.before, unread(err, failure)
		}
		if openstack.Uncertain(failure) && now.Equal(next.after) {
			reply.Changed, steps[i].written = true, true // only the answer was lost
		}
		if next, err = plan(now, w); err != nil {
			return now, err
		}
		if writes == maxWrites && next.changes() {
			return now, givenUp(now.Consumer, failure)
		}
	}
	return next.before, nil
}

func (t *task) write(ctx context.Context, reply *answer, s step) error {
	if err := t.placement.Replace(ctx, s.after); err != nil {
		return err
	}
	reply.Changed = true
	t.call.Audit("%s; backups: %s", strings.Join(t.describe(s), "; "), strings.Join(reply.BackupFiles, " "))
	return nil
}

// unread says that what came of a write could not be read back.
func unread(err, failure error) error {
	if failure != nil {
		return fmt.Errorf("read back: %w (after: %w; run the module again to see what came of it)", err, failure)
	}
	return fmt.Errorf("it was written, but could not be read back: %w", err)
}

func givenUp(consumer string, last error) error {
	if last == nil {
		last = errors.New("what was written did not stay")
	}
	return fmt.Errorf("change the allocation of %s: given up after %d tries: %w (run the module again)", consumer, maxWrites, last)
}

// again says that after this failure it makes sense to read and judge again.
func again(err error) bool {
	var conflict *placement.ConflictError
	return errors.As(err, &conflict) && conflict.Concurrent || openstack.Uncertain(err)
}

// explain adds what Placement's own words leave out.
func (t *task) explain(err error, s step, w wanted) error {
	var conflict *placement.ConflictError
	if !errors.As(err, &conflict) || conflict.Concurrent {
		return err
	}
	if w.restoring != nil {
		return fmt.Errorf("%w: someone else has taken the room by now, or the inventory has shrunk: make room, or raise the provider's "+
			"allocation_ratio for the moment", err)
	}
	if t.State == present {
		return fmt.Errorf("%w: see the inventory of %s: total, reserved, allocation_ratio, min_unit, max_unit, step_size", err,
			t.nameOf(w.provider))
	}
	var kept []string
	for _, uuid := range slices.Sorted(maps.Keys(s.after.Providers)) {
		kept = append(kept, t.nameOf(uuid))
	}
	return fmt.Errorf("%w: placement before 14.0 (2025.2) also checks the capacity of the providers that stay: one of %s is "+
		"over-committed. Raise its allocation_ratio for the moment, or leave resource_provider out to remove the whole allocation",
		err, strings.Join(kept, ", "))
}

// save writes down what the consumer holds, and what the step makes of it. A
// consumer that holds nothing has nothing to lose.
func (t *task) save(reply *answer, s step) error {
	if s.before.Empty() {
		return nil
	}
	after := t.listed(s.after)
	return t.saveAs(reply, record{consumer: t.listed(s.before), ChangedTo: &after})
}

func (t *task) saveAs(reply *answer, content record) error {
	path, err := backup.Write(t.BackupDir, content.Consumer, name, content)
	if err != nil {
		return err
	}
	reply.BackupFiles = append(reply.BackupFiles, path)
	reply.BackupFile = ""
	if len(reply.BackupFiles) == 1 {
		reply.BackupFile = path
	}
	return nil
}
