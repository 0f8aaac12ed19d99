package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/orphan"
)

// databases is what this module needs of Nova's databases.
type databases interface {
	Find(ctx context.Context, uuid string) (nova.Finding, error)
	SoftDelete(ctx context.Context, finding nova.Finding, deletion nova.Deletion, before func() error) (map[string]int64, error)
	FinishMapping(ctx context.Context, uuid string) (map[string]int64, error)
	Restore(ctx context.Context, finding nova.Finding, restoration nova.Restoration, before func() error) (map[string]int64, error)
	RestoreMapping(ctx context.Context, finding nova.Finding, restoration nova.Restoration, before func() error) (map[string]int64, error)
}

type answer struct {
	ansible.Result
	Instance        *nova.Instance   `json:"instance"`
	Mapped          bool             `json:"mapped"` // the API finds the instance
	QueuedForDelete bool             `json:"queued_for_delete"`
	RequestSpec     bool             `json:"request_spec"`
	RowsChanged     map[string]int64 `json:"rows_changed"`
	// Reap is what nova-compute will do with volumes and ports; nil where that was not asked.
	Reap *reap `json:"reap"`
}

// maxTries is how often Nova repeats instance_destroy on a deadlock (wrap_db_retry).
const maxTries = 5

// firstPause is how long retry waits after the first try, and so much longer after each of the next; tests make it shorter.
var firstPause = 100 * time.Millisecond

// run is what deleting and restoring have in common.
type run struct {
	call   *ansible.Call
	db     databases
	world  world
	p      parameters
	answer *answer
	// saved is what is in the backup.
	saved any
	// concurrentChange says what changed between judging and acting, nil if nothing did.
	concurrentChange error
	// unknownCommit is a commit whose outcome is not known, nil if there is none.
	unknownCommit *commit
}

// commit is what a transaction was to change.
type commit struct {
	api  bool // in the API database, not in the cell
	rows map[string]int64
}

// recordUnknownCommit remembers a commit whose outcome is to be found out by the next try.
func (r *run) recordUnknownCommit(err error, api bool, rows map[string]int64) {
	switch {
	case errors.Is(err, nova.ErrOutcome):
		r.unknownCommit = &commit{api, rows}
	case err == nil:
		r.unknownCommit = nil
	}
}

// resolveUnknownCommit takes a commit for done if a later try finds nothing of it left to do: the
// server may still be at work on it at the next one, which then meets its locks.
func (r *run) resolveUnknownCommit(cellLeft, apiLeft bool) {
	if d := r.unknownCommit; d != nil && (d.api && !apiLeft || !d.api && !cellLeft) {
		r.changed(d.rows)
		r.answer.Warnings = append(r.answer.Warnings, "the connection was lost at the commit; read back, it had happened")
		r.unknownCommit = nil
	}
}

// retry tries until nothing is left to do. Whatever makes a write uncertain
// leads back to the reading: the next try does what is still missing.
func (r *run) retry(ctx context.Context, try func(context.Context) error) error {
	// A write may have begun when it comes to another try: what became of it is to
	// be found out even if Ansible is gone by then.
	steady, cancel := r.call.WithoutInterrupt(ctx)
	defer cancel()
	err := try(ctx)
	for tries := 1; again(err) && tries < maxTries; tries++ {
		if errors.Is(err, nova.ErrChanged) {
			r.concurrentChange = err
		}
		if waitErr := pause(steady, time.Duration(tries)*firstPause); waitErr != nil {
			return fmt.Errorf("%w; %w", err, waitErr)
		}
		err = try(steady)
	}
	if again(err) {
		err = fmt.Errorf("not done after %d tries, run the module again: %w", maxTries, err)
	}
	if advice := nova.Advice(err); advice != "" {
		err = fmt.Errorf("%w: %s", err, advice)
	}
	return err
}

// refuseIfChanged refuses to change a cell's rows that somebody else is changing. It
// was read once more before, since the other may have done what was to be done.
func (r *run) refuseIfChanged() error {
	if r.concurrentChange == nil {
		return nil
	}
	r.answer.Verdict, r.answer.Reasons = string(orphan.Busy), []string{r.concurrentChange.Error()}
	// Not wrapped: it is not to be tried again.
	return errors.New("refused: instance " + r.p.InstanceUUID + " is busy: " + r.concurrentChange.Error())
}

// save writes the backup of what is there before the first change. Another try
// writes another one only if it found something else.
func (r *run) save(data map[string]any) error {
	if r.answer.Changed && r.saved != nil || reflect.DeepEqual(r.saved, data) {
		return nil
	}
	path, err := backup.Write(r.p.BackupDir, r.p.InstanceUUID, name, data)
	if err != nil {
		return err
	}
	r.answer.BackupFile, r.saved = path, data
	return nil
}

func (r *run) changed(rows map[string]int64) {
	r.answer.Changed = true
	maps.Copy(r.answer.RowsChanged, rows)
	r.call.Audit("instance %s was %s: state: %s changed rows %v, backup in %s", r.p.InstanceUUID, r.answer.Verdict, r.p.State, rows,
		r.answer.BackupFile)
}

func newRun(call *ansible.Call, db databases, w world, p parameters) run {
	return run{call: call, db: db, world: w, p: p, answer: &answer{RowsChanged: map[string]int64{}}}
}

func again(err error) bool {
	return nova.Retriable(err) || errors.Is(err, nova.ErrOutcome) || errors.Is(err, nova.ErrChanged)
}

func pause(ctx context.Context, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for another try: %w", ctx.Err())
	}
}
