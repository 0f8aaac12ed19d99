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
func purge(ctx context.Context, call *ansible.Call, db databases, p parameters) (ansible.Answer, error) {
	r := &purging{run: newRun(call, db, p)}
	err := r.insist(ctx, r.try)
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
	evidence := finding.Evidence(r.p.Judging())
	judgement := orphan.Judge(evidence)
	if left := draw(evidence, judgement, nil); judgement.Verdict == orphan.Deleted {
		r.settle(left.cell, left.api)
	}
	work, refused := decide(evidence, judgement, finding.Instance(judgement.Verdict), r.p.Host)
	r.describe(finding, evidence, judgement, work)
	if refused != nil {
		return refused
	}
	if !work.cell && !work.api {
		r.conclude(evidence, judgement)
		return nil
	}
	if r.call.Check {
		r.answer.Changed = true
		r.answer.Msg = fmt.Sprintf("would finish the deletion of instance %s, which is %s", uuid, judgement.Verdict)
		return nil
	}
	steady, cancel := r.call.Steadfast(ctx)
	defer cancel()
	if err := r.write(steady, finding, judgement, work); err != nil {
		return err
	}
	return r.readBack(steady)
}

// describe fills the answer with what was found, until something was changed:
// from then on it tells of the state before.
func (r *purging) describe(finding nova.Finding, evidence orphan.Evidence, judgement orphan.Judgement, work plan) {
	if r.answer.Changed {
		return
	}
	r.answer.Verdict, r.answer.Reasons = string(judgement.Verdict), judgement.Reasons
	r.answer.Instance = finding.Instance(judgement.Verdict)
	r.answer.Mapped = evidence.Mapping != nil && evidence.Mapping.CellKnown
	r.answer.QueuedForDelete = evidence.Mapping != nil && evidence.Mapping.QueuedForDelete
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

func (r *purging) write(ctx context.Context, finding nova.Finding, judgement orphan.Judgement, work plan) error {
	if cell := finding.Cell(); cell != nil && r.at.IsZero() {
		r.at = cell.Now
	}
	save := func() error {
		data := backupOf(finding, judgement, work.steps)
		data["state"], data["at"] = stateAbsent, r.at
		return r.save(data)
	}
	if work.cell {
		if err := r.stepAside(); err != nil {
			return err
		}
		rows, err := r.db.SoftDelete(ctx, finding, r.at, save)
		r.doubt(err, false, work.cellRows)
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
	r.doubt(err, true, work.apiRows)
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
	}
	return data
}

// readBack makes sure from the databases that the deletion is finished.
func (r *purging) readBack(ctx context.Context) error {
	finding, err := r.db.Find(ctx, r.p.InstanceUUID)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	evidence := finding.Evidence(r.p.Judging())
	judgement := orphan.Judge(evidence)
	if judgement.Verdict != orphan.Deleted || !orphan.Finished(evidence) {
		return fmt.Errorf("read back: instance %s is %s after the deletion: %v", r.p.InstanceUUID, judgement.Verdict, judgement.Reasons)
	}
	r.answer.QueuedForDelete = evidence.Mapping != nil
	r.done()
	return nil
}
