package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/reap"
	"nova-orphan/internal/shared"
	"nova-orphan/internal/step"
)

// databases is what this module needs of Nova's databases.
type databases interface {
	FindAll(ctx context.Context, uuids []string) (map[string]nova.Finding, error)
	Apply(ctx context.Context, change nova.Change, before func() error) error
}

type answer struct {
	ansible.Result
	Instances []*entry `json:"instances"`
}

// entry is the answer for one instance.
type entry struct {
	UUID string `json:"instance_uuid"`
	step.Answer
	Instance        *nova.Instance `json:"instance"`
	Mapped          bool           `json:"mapped"` // the API finds the instance
	QueuedForDelete bool           `json:"queued_for_delete"`
	RequestSpec     bool           `json:"request_spec"`
	RowsChanged     map[string]int `json:"rows_changed"`
	// Reap is what nova-compute will do with volumes and ports; nil where that was not asked.
	Reap *reap.Reap `json:"reap"`
}

// Name implements step.Entry.
func (e *entry) Name(instance string) { e.UUID, e.RowsChanged = instance, map[string]int{} }

// maxTries is how often Nova repeats instance_destroy on a deadlock (wrap_db_retry).
const maxTries = 5

// work is what all instances of a call have in common.
type work struct {
	parameters
	call  *ansible.Call
	db    databases
	reaps *reap.Cloud
	// first is what was found of all at once, unread why that could not be read.
	first  map[string]nova.Finding
	unread error
	// again reads together those that are looked at anew at the same time.
	again shared.Questions[string, nova.Finding]
	// begunAt and readAt are when that reading began, and when it ended.
	begunAt, readAt time.Time
}

// freshFor is how long what was found of all is judged: one whose turn comes later is read again.
const freshFor = 5 * time.Second

// stale says whether the instance is to be read again. For one that may be written its age
// counts from when the reading of all began: one that has to be looked for in the shadow tables,
// or a slow cell, makes that long.
func (t *task) stale() bool {
	since := t.readAt
	if workable(orphan.Judge(t.first[t.instance].Evidence(t.Judging(t.instance)))) {
		since = t.begunAt
	}
	return time.Since(since) > freshFor
}

// task is what is done for one instance.
type task struct {
	*work
	instance string
	reply    *entry
	backup   step.Backup
	looked   bool
	// at is the time that a deletion writes: one for all tries, so that the backup tells it.
	at time.Time
	// earlier is what a purge saved that this one goes on with; nil if there is none.
	earlier *nova.Saved
	// from is the backup to restore.
	from  record
	cells int // that there are
	// done are the databases that were changed.
	done map[string]bool
	// unknown is a change whose commit was not answered, and concurrent says what changed
	// between judging and acting; nil if there is no such thing.
	unknown    *nova.Change
	concurrent error
}

// record is what a backup holds.
type record struct {
	nova.Saved
	State    string         `json:"state"`
	Verdict  orphan.Verdict `json:"verdict"`
	Reasons  []string       `json:"reasons"`
	Plan     []string       `json:"plan"`
	Restores string         `json:"restores,omitempty"`
}

// found is all that is judged, and what is to be done.
type found struct {
	nova.Finding
	evidence  orphan.Evidence
	judgement orphan.Judgement
	instance  *nova.Instance
	changes   nova.Changes
	// conflicts speak against a restore, notes say what it does not put back.
	conflicts, notes []string
	reap             *reap.Reap
	// unseen is why it cannot be told what the reap would do, or whose the volumes and ports are.
	unseen error
}

// all is the call: each instance for itself.
func (w *work) all(ctx context.Context) (ansible.Answer, error) {
	reply := &answer{}
	w.begunAt = time.Now()
	w.first, w.unread = w.find(ctx, w.Instances)
	w.readAt = time.Now()
	var err error
	reply.Instances, err = step.Each(ctx, &reply.Result, "instances", w.Instances, step.AtOnce, w.one)
	return reply, err
}

// find tries again where the connection was lost.
func (w *work) find(ctx context.Context, uuids []string) (map[string]nova.Finding, error) {
	findings, err := w.db.FindAll(ctx, uuids)
	for tries := uint(1); tries < maxTries && nova.Retriable(err) && openstack.Pause(ctx, tries) == nil; tries++ {
		findings, err = w.db.FindAll(ctx, uuids)
	}
	return findings, err
}

func (w *work) one(ctx context.Context, instance string, reply *entry) error {
	t := &task{work: w, instance: instance, reply: reply, done: map[string]bool{},
		backup: step.Backup{Dir: w.BackupDir, UUID: instance, Module: name, Instance: instance, Answer: &reply.Answer}}
	if t.State == statePresent {
		if err := t.readBackup(); err != nil {
			reply.Verdict = orphan.Unknown
			return err
		}
	}
	loop := step.Loop[found]{
		Call: t.call, Answer: &reply.Answer, Subject: "instance " + instance, Tries: maxTries, Read: t.read, Plan: t.plan,
		Uncertain: func(err error) bool { return errors.Is(err, nova.ErrOutcome) },
		Again:     func(err error) bool { return nova.Retriable(err) || errors.Is(err, nova.ErrChanged) },
		Pause:     openstack.Pause,
	}
	err := loop.Run(ctx)
	if advice := nova.Advice(err); advice != "" {
		err = fmt.Errorf("%w: %s", err, advice)
	}
	if err == nil && t.State == statePresent {
		t.backup.Restored()
	}
	reply.Msg = t.message()
	return err
}

func (t *task) read(ctx context.Context) (f found, err error) {
	findings, err := t.first, t.unread
	if t.looked || err == nil && t.stale() {
		var again nova.Finding
		again, err = t.again.Ask(ctx, t.instance, t.find)
		findings = map[string]nova.Finding{t.instance: again}
	}
	if t.looked = true; err != nil {
		return f, err
	}
	f.Finding = findings[t.instance]
	f.evidence = f.Evidence(t.Judging(t.instance))
	f.judgement = orphan.Judge(f.evidence)
	f.instance = f.Instance(f.judgement)
	if t.State == statePresent {
		t.compare(ctx, &f)
	} else if workable(f.judgement) {
		t.foresee(ctx, &f)
	}
	return f, nil
}

// plan judges, and says in the answer what was found, until something was changed: from
// then on it tells of the state before.
func (t *task) plan(f found) (actions []step.Action, _ error) {
	changes := f.changes.All()
	t.cells = len(f.Cells)
	refusal := t.refuse(&f, changes)
	// A commit that was not answered has happened once nothing of it is left to do.
	if t.unknown != nil && refusal == nil && !slices.ContainsFunc(changes, t.isUnknown) {
		t.changed(*t.unknown)
	}
	if len(t.done) == 0 {
		t.describe(f, changes, refusal)
	}
	t.reply.QueuedForDelete = f.evidence.Mapping != nil && f.evidence.Mapping.QueuedForDelete
	again := slices.IndexFunc(changes, func(c nova.Change) bool { return t.done[c.Where()] })
	switch {
	case refusal != nil && len(t.done) > 0:
		return nil, fmt.Errorf("read back: %w", refusal)
	case refusal != nil:
		return nil, refusal
	case again >= 0:
		return nil, fmt.Errorf("read back: instance %s is %s, and not as it was left: there is more to do, run the module again: %v",
			t.instance, f.judgement.Verdict, changes[again].Steps())
	}
	for _, change := range changes {
		actions = append(actions, step.Action{Key: change.Where(), Text: change.String(), Do: func(ctx context.Context) (bool, error) {
			return t.apply(ctx, f, change)
		}})
	}
	return actions, nil
}

// refuse gives all that speaks against it, nil if nothing does.
func (t *task) refuse(f *found, changes []nova.Change) error {
	var against orphan.Refusal
	if t.State == statePresent {
		t.refuseRestore(*f, &against)
	} else {
		t.refuseDeletion(f, changes, &against)
	}
	if t.Host != "" && f.instance != nil && f.instance.Host != t.Host {
		against.Add("host is %q, but instances.host of instance %s is %q: names are compared exactly, since a short name and a full one "+
			"are two hosts to Nova", t.Host, t.instance, f.instance.Host)
	}
	if f.unseen != nil {
		against.Add("instance %s: %v", t.instance, f.unseen)
	}
	if len(against) == 0 && t.concurrent != nil && slices.ContainsFunc(changes, nova.Change.InCell) {
		// It was read once more before, since the other may have done what was to be done.
		f.judgement = orphan.Judgement{Verdict: orphan.Busy, Reasons: []string{t.concurrent.Error()}}
		against = orphan.Refusal{fmt.Sprintf("instance %s is busy", t.instance), t.concurrent.Error()}
	}
	if len(against) == 0 {
		return nil
	}
	return against
}

func (t *task) describe(f found, changes []nova.Change, refusal error) {
	r := t.reply
	r.Verdict, r.Reasons, r.Instance, r.Reap, r.RequestSpec = f.judgement.Verdict, f.judgement.Reasons, f.instance, f.reap, f.RequestSpec
	r.Mapped = f.evidence.Mapping != nil && f.evidence.Mapping.CellKnown
	r.Plan, r.Diff, r.Warnings = nil, nil, nil
	if refusal != nil || len(changes) == 0 {
		return
	}
	r.Diff = &ansible.Diff{Before: map[string]any{}, After: map[string]any{}}
	for _, change := range changes {
		change.AddTo(r.Diff.Before, r.Diff.After)
		r.Plan = append(r.Plan, change.Steps()...)
		if change.InCell() && f.reap != nil {
			r.Plan = append(r.Plan, f.reap.Disarming(change.Where())...)
		}
	}
	if t.State == statePresent {
		r.Plan, r.Warnings = append(r.Plan, f.notes...), t.warnings(f)
	} else if !f.changes.Cell.Empty() {
		r.Plan = append(r.Plan, t.sideEffects(f)...)
	}
}

func (t *task) apply(ctx context.Context, f found, change nova.Change) (bool, error) {
	err := t.db.Apply(ctx, change, func() error { return t.save(f) })
	switch {
	case err == nil:
		t.changed(change)
		return true, nil
	case errors.Is(err, nova.ErrChanged):
		t.concurrent = err
	case errors.Is(err, nova.ErrOutcome):
		t.unknown = &change
	}
	if len(t.done) > 0 {
		err = fmt.Errorf("the cell is done, the API database is not, run the module again: %w", err)
	}
	return false, err
}

func (t *task) changed(change nova.Change) {
	t.done[change.Where()], t.unknown = true, nil
	for table, rows := range change.Rows() {
		t.reply.RowsChanged[table] += rows
	}
}

// isUnknown says whether the change is that whose commit was not answered.
func (t *task) isUnknown(change nova.Change) bool { return change.Where() == t.unknown.Where() }

// save writes down what is there before the first change.
func (t *task) save(f found) error {
	if len(t.done) > 0 {
		return nil
	}
	saved := f.Saved(t.at)
	if t.earlier != nil {
		saved = saved.GoingOn(*t.earlier)
	}
	content := record{saved, t.State, f.judgement.Verdict, f.judgement.Reasons, t.reply.Plan, ""}
	switch {
	case t.State == statePresent:
		t.backup.Kind, content.Restores = backup.Restoring, t.Backup.String()
	case f.judgement.Verdict == orphan.Deleted:
		t.backup.Kind = backup.Deleted
	default:
		t.backup.Kind = backup.Purge
	}
	return t.backup.Save(content)
}

// message says how it ended.
func (t *task) message() string {
	form := map[string][3]string{ // nothing to do, would be done, done
		stateAbsent: {"instance %s is %s already: nothing to do", "would finish the deletion of instance %s, which is %s",
			"finished the deletion of instance %s, which was %s"},
		statePresent: {"instance %[1]s is as it was saved already: nothing to do", "would put back the rows of instance %[1]s",
			"put back the rows of instance %[1]s as they were saved"},
	}[t.State]
	verdict := t.reply.Verdict
	switch {
	case t.reply.Changed && t.call.Check:
		return fmt.Sprintf(form[1], t.instance, verdict)
	case t.reply.Changed:
		return fmt.Sprintf(form[2], t.instance, verdict)
	case verdict == orphan.Absent && t.State == stateAbsent:
		return fmt.Sprintf("instance %s: nova's databases have no trace of it (%d cells, nova_api): nothing to do", t.instance, t.cells)
	case verdict == orphan.Lost && t.State == stateAbsent:
		return "instance " + t.instance + " is lost: no cell has a row of it: nothing to do"
	}
	return fmt.Sprintf(form[0], t.instance, verdict)
}
