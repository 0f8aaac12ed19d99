package main

import (
	"context"
	"fmt"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/orphan"
)

// purge finishes the deletion.
func purge(ctx context.Context, call *ansible.Call, db databases, w world, p parameters) (ansible.Answer, error) {
	r := &purging{run: newRun(call, db, w, p)}
	err := r.retry(ctx, r.try)
	return r.answer, err
}

// purging is a run that deletes.
type purging struct {
	run
	// at is the time that is written: one for all tries, so that the backup tells it.
	at time.Time
}

func (r *purging) try(ctx context.Context) error {
	uuid := r.p.InstanceUUID
	finding, err := r.db.Find(ctx, uuid)
	if err != nil {
		if !r.answer.Changed {
			r.answer.Verdict = string(orphan.Unknown)
		}
		return err
	}
	s := r.examine(ctx, finding)
	if left := buildPlan(s, r.p); s.judgement.Verdict == orphan.Deleted {
		r.resolveUnknownCommit(left.cell, left.api)
	}
	if !r.answer.Changed {
		s.rewritten = r.rewritten(s)
	}
	work, refused := decide(s, r.p)
	r.describe(finding, s, work)
	if refused != nil {
		return refused
	}
	if !work.cell && !work.api {
		r.conclude(s.evidence, s.judgement)
		return nil
	}
	if r.call.Check {
		r.answer.Changed = true
		r.answer.Msg = fmt.Sprintf("would finish the deletion of instance %s, which is %s", uuid, s.judgement.Verdict)
		return nil
	}
	steady, cancel := r.call.WithoutInterrupt(ctx)
	defer cancel()
	if err := r.write(steady, finding, s, work); err != nil {
		return err
	}
	return r.readBack(steady)
}

// examine judges what was found, and asks what its reap would do, where anything is to be done.
func (r *purging) examine(ctx context.Context, finding nova.Finding) subject {
	s := subject{evidence: finding.Evidence(r.p.Judging())}
	s.judgement = orphan.Judge(s.evidence)
	s.instance = finding.Instance(s.judgement.Verdict)
	if workable(s.judgement) {
		s.reap, s.unseen = r.readReap(ctx, finding)
	}
	return s
}

// rewritten says what somebody wrote since the caller judged. An instance that is gone as
// it was to be, with nothing left to do, is no matter of that.
func (r *purging) rewritten(s subject) []string {
	left := buildPlan(s, r.p)
	if s.judgement.Verdict == orphan.Archived || s.judgement.Verdict == orphan.Deleted && s.unseen == nil && !left.cell && !left.api {
		return nil
	}
	return rewritten(r.p.JudgedAs, s.instance)
}

// describe fills the answer with what was found, until something was changed:
// from then on it tells of the state before.
func (r *purging) describe(finding nova.Finding, s subject, work plan) {
	if r.answer.Changed {
		return
	}
	r.answer.Verdict, r.answer.Reasons = string(s.verdict()), s.reasons()
	r.answer.Instance, r.answer.Reap = s.instance, s.reap
	r.answer.Mapped = s.evidence.Mapping != nil && s.evidence.Mapping.CellKnown
	r.answer.QueuedForDelete = s.evidence.Mapping != nil && s.evidence.Mapping.QueuedForDelete
	r.answer.RequestSpec = finding.RequestSpec
	r.answer.Plan = work.steps
	if work.before == nil {
		r.answer.Diff = nil
		return
	}
	r.answer.Diff = &ansible.Diff{BeforeHeader: r.p.InstanceUUID, AfterHeader: r.p.InstanceUUID, Before: work.before, After: work.after}
}

func (r *purging) conclude(evidence orphan.Evidence, judgement orphan.Judgement) {
	switch {
	case r.answer.Changed:
		r.done()
	case judgement.Verdict == orphan.Absent:
		r.answer.Msg = fmt.Sprintf("instance %s: found nothing in %d cells", r.p.InstanceUUID, len(evidence.Cells))
	default:
		r.answer.Msg = fmt.Sprintf("instance %s is %s already: nothing to do", r.p.InstanceUUID, judgement.Verdict)
	}
}

func (r *purging) done() {
	r.answer.Msg = fmt.Sprintf("finished the deletion of instance %s, which was %s", r.p.InstanceUUID, r.answer.Verdict)
}

func (r *purging) write(ctx context.Context, finding nova.Finding, s subject, work plan) error {
	if cell := finding.Cell(); cell != nil && r.at.IsZero() {
		r.at = cell.Now
	}
	save := func() error {
		data := backupOf(finding, s.judgement, work.steps)
		data["state"], data["at"] = stateAbsent, r.at
		return r.save(data)
	}
	if work.cell {
		if err := r.refuseIfChanged(); err != nil {
			return err
		}
		deletion := nova.Deletion{At: r.at, ShareMappings: r.p.RemoveShareMappings}
		if s.reap != nil {
			deletion.Disarm = s.reap.disarm
		}
		rows, err := r.db.SoftDelete(ctx, finding, deletion, save)
		r.recordUnknownCommit(err, false, work.cellRows)
		if err != nil {
			return err
		}
		r.changed(rows)
	}
	if !work.api {
		return nil
	}
	if err := save(); err != nil {
		return err
	}
	rows, err := r.db.FinishMapping(ctx, r.p.InstanceUUID)
	r.recordUnknownCommit(err, true, work.apiRows)
	if err != nil {
		return fmt.Errorf("the cell is done, the API database is not, run the module again: %w", err)
	}
	r.changed(rows)
	return nil
}

// backupOf is what nova.Saved reads again, and what an operator wants to see of it.
func backupOf(finding nova.Finding, judgement orphan.Judgement, steps []string) map[string]any {
	data := map[string]any{
		"verdict": judgement.Verdict, "reasons": judgement.Reasons, "plan": steps, "api_tables": finding.API,
	}
	if cell := finding.Cell(); cell != nil {
		data["cell"] = nova.CellName{UUID: cell.UUID, Name: cell.Name}
		data["cell_tables"] = cell.Record
		if instance := finding.Instance(judgement.Verdict); instance != nil {
			data["compute_node"] = instance.ResourceProvider
		}
	}
	return data
}

// readBack makes sure from the databases that the deletion is finished.
func (r *purging) readBack(ctx context.Context) error {
	finding, err := r.db.Find(ctx, r.p.InstanceUUID)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	s := r.examine(ctx, finding)
	left := buildPlan(s, r.p)
	switch {
	case s.judgement.Verdict != orphan.Deleted || !orphan.Finished(s.evidence):
		return fmt.Errorf("read back: instance %s is %s after the deletion: %v", r.p.InstanceUUID, s.judgement.Verdict, s.judgement.Reasons)
	case s.unseen != nil:
		return fmt.Errorf("read back: the deletion is done, but %w", s.unseen)
	case left.cell:
		return fmt.Errorf("read back: the deletion is done, but there is more to disarm since, run the module again: %v", left.steps)
	}
	r.answer.QueuedForDelete = s.evidence.Mapping != nil
	r.done()
	return nil
}
