package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nova-orphan/internal/orphan"
)

// verifyStillGone asks Nova once more when all is taken. A consumer's generation guards
// its allocation, but not the instance: one that comes back to life between the
// question and the write (its row restored, by hand or from a dump) would be found
// without its allocation by nobody. It gets it back, unless somebody has written
// since.
func (t *task) verifyStillGone(ctx context.Context, reply *answer, steps []step) orphan.Refusal {
	taken := slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return !s.written || !s.takes() })
	if !t.VerifyConsumer || len(taken) == 0 {
		return nil
	}
	said := t.askForServers(ctx, taken)
	var against orphan.Refusal
	for i := range steps {
		s := &steps[i]
		if !s.written || !s.takes() {
			continue
		}
		switch verdict, reason := judge(s.before.Consumer, said[s.before.Consumer]); verdict {
		case live:
			reply.Verdict = verdict
			against = append(against, fmt.Sprintf("it came to life while its allocation was removed: %s; %s", reason, t.revert(ctx, reply, s)))
		case unknown:
			reply.Warnings = append(reply.Warnings, "what was removed was judged before, but not after: "+reason)
		}
	}
	reply.Changed = slices.ContainsFunc(steps, func(s step) bool { return s.written })
	return against
}

// revert undoes a step, and says what came of it.
func (t *task) revert(ctx context.Context, reply *answer, s *step) string {
	now, err := t.placement.Allocation(ctx, s.before.Consumer)
	if err != nil {
		return fmt.Sprintf("whether it still has one could not be read (%v): restore it with backup_file: %s", err,
			strings.Join(reply.BackupFiles, " "))
	}
	if !now.Equal(s.after) {
		return "somebody has given it another one, which stays"
	}
	back := s.before
	back.Generation = now.Generation
	err = t.placement.Replace(ctx, back)
	then, readErr := t.placement.Allocation(ctx, s.before.Consumer)
	if readErr != nil || !then.Equal(s.before) {
		why := cmp.Or(err, readErr, errors.New("somebody has written it again"))
		return fmt.Sprintf("it could not be put back (%v): restore it with backup_file: %s", why, strings.Join(reply.BackupFiles, " "))
	}
	s.written = false
	for i := range reply.Allocations {
		if reply.Allocations[i].Consumer == then.Consumer {
			reply.Allocations[i] = t.listed(then)
		}
	}
	t.call.Audit("put back the allocation of %s, which came to life", then.Consumer)
	return "it was put back"
}
