package main

import (
	"context"
	"fmt"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/orphan"
)

// saved is what a run of this module wrote down.
type saved struct {
	nova.Saved
	State   string         `json:"state"`
	Verdict orphan.Verdict `json:"verdict"`
}

// restore puts back what a purge saved.
func restore(ctx context.Context, call *ansible.Call, db databases, w world, p parameters) (ansible.Answer, error) {
	r := &restoring{run: newRun(call, db, w, p)}
	if err := p.Backup.Read(name, p.InstanceUUID, &r.from); err != nil {
		return r.answer, err
	}
	if r.from.State != stateAbsent {
		return r.answer, fmt.Errorf("restore instance %s: %s is not of a run with state: absent; to undo a restore, run the module with "+
			"state: absent", p.InstanceUUID, p.Backup)
	}
	err := r.retry(ctx, r.try)
	return r.answer, err
}

// restoring is a run that puts back.
type restoring struct {
	run
	from saved
}

func (r *restoring) try(ctx context.Context) error {
	finding, err := r.db.Find(ctx, r.p.InstanceUUID)
	if err != nil {
		if !r.answer.Changed {
			r.answer.Verdict = string(orphan.Unknown)
		}
		return err
	}
	judgement := orphan.Judge(finding.Evidence(r.p.Judging()))
	restoration, unseen := r.compare(ctx, finding)
	if judgement.Verdict != orphan.Unknown && len(restoration.Conflicts) == 0 {
		r.resolveUnknownCommit(len(restoration.Cell) > 0, len(restoration.API) > 0)
	}
	refused := refuseRestore(judgement, restoration, finding, unseen, r.p)
	r.describe(finding, judgement, restoration, refused)
	if refused != nil {
		return refused
	}
	switch {
	case len(restoration.Cell)+len(restoration.API) == 0 && r.answer.Changed:
		r.done()
		return nil
	case len(restoration.Cell)+len(restoration.API) == 0:
		r.answer.Msg = fmt.Sprintf("instance %s is as it was saved already: nothing to do", r.p.InstanceUUID)
		return nil
	case r.call.Check:
		r.answer.Changed = true
		r.answer.Msg = fmt.Sprintf("would put back the rows of instance %s", r.p.InstanceUUID)
		return nil
	}
	steady, cancel := r.call.WithoutInterrupt(ctx)
	defer cancel()
	if err := r.write(steady, finding, judgement, restoration); err != nil {
		return err
	}
	return r.readBack(steady)
}

// compare asks what is somebody else's by now, where anything is to be put back.
func (r *restoring) compare(ctx context.Context, finding nova.Finding) (restoration nova.Restoration, unseen error) {
	restoration = finding.Restoration(r.from.Saved, nova.Elsewhere{})
	if len(restoration.Cell)+len(restoration.Conflicts) == 0 {
		return restoration, nil
	}
	strangers, unseen := r.strangers(ctx, r.from.Saved)
	return finding.Restoration(r.from.Saved, strangers), unseen
}

// refuseRestore gives all that speaks against it.
func refuseRestore(judgement orphan.Judgement, restoration nova.Restoration, finding nova.Finding, unseen error, p parameters) error {
	var reasons []string
	if judgement.Verdict == orphan.Unknown {
		reasons = append(reasons, fmt.Sprintf("refused: instance %s is unknown", p.InstanceUUID))
		return refusalOf(append(reasons, judgement.Reasons...))
	}
	if len(restoration.Conflicts) > 0 {
		reasons = append(reasons, fmt.Sprintf("refused: instance %s is %s, and is not any more as the purge left it", p.InstanceUUID,
			judgement.Verdict))
		reasons = append(reasons, restoration.Conflicts...)
	}
	if instance := finding.Instance(judgement.Verdict); p.Host != "" && instance != nil && instance.Host != p.Host {
		reasons = append(reasons, otherHost(p.Host, instance))
	}
	if unseen != nil {
		reasons = append(reasons, fmt.Sprintf("refused: instance %s: %v", p.InstanceUUID, unseen))
	}
	if len(reasons) == 0 {
		return nil
	}
	return refusalOf(reasons)
}

func (r *restoring) describe(finding nova.Finding, judgement orphan.Judgement, restoration nova.Restoration, refused error) {
	if r.answer.Changed {
		return
	}
	r.answer.Verdict, r.answer.Reasons = string(judgement.Verdict), judgement.Reasons
	r.answer.Instance = finding.Instance(judgement.Verdict)
	r.answer.RequestSpec = finding.RequestSpec
	if mapping := finding.Evidence(orphan.Policy{}).Mapping; mapping != nil {
		r.answer.Mapped, r.answer.QueuedForDelete = mapping.CellKnown, mapping.QueuedForDelete
	}
	r.answer.Plan, r.answer.Diff = nil, nil
	if refused != nil || len(restoration.Cell)+len(restoration.API) == 0 {
		return
	}
	r.answer.Plan = append(append(append([]string{}, restoration.Cell...), restoration.API...), restoration.Notes...)
	r.answer.Warnings = append([]string{}, restoration.Notes...)
	if r.from.Verdict == orphan.Deleted {
		r.answer.Warnings = append(r.answer.Warnings, "the backup is of a run that found the instance deleted already, and puts back only "+
			"what that run changed: if an earlier run deleted it, restore what that one saved instead")
	}
	r.answer.Diff = &ansible.Diff{BeforeHeader: r.p.InstanceUUID, AfterHeader: r.p.InstanceUUID, Before: restoration.Before,
		After: restoration.After}
}

func (r *restoring) write(ctx context.Context, finding nova.Finding, judgement orphan.Judgement, restoration nova.Restoration) error {
	save := func() error {
		data := backupOf(finding, judgement, r.answer.Plan)
		data["state"], data["restores"] = statePresent, r.p.Backup.String()
		return r.save(data)
	}
	if len(restoration.Cell) > 0 {
		if err := r.refuseIfChanged(); err != nil {
			return err
		}
		rows, err := r.db.Restore(ctx, finding, restoration, save)
		r.recordUnknownCommit(err, false, restoration.CellRows)
		if err != nil {
			return err
		}
		r.changed(rows)
	}
	if len(restoration.API) == 0 {
		return nil
	}
	rows, err := r.db.RestoreMapping(ctx, finding, restoration, save)
	r.recordUnknownCommit(err, true, restoration.APIRows)
	if err != nil && r.answer.Changed {
		return fmt.Errorf("the cell is done, the API database is not, run the module again: %w", err)
	}
	if err != nil {
		return err
	}
	r.changed(rows)
	return nil
}

// readBack makes sure from the databases that all rows are as they were saved.
func (r *restoring) readBack(ctx context.Context) error {
	finding, err := r.db.Find(ctx, r.p.InstanceUUID)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	restoration, unseen := r.compare(ctx, finding)
	if unseen != nil {
		return fmt.Errorf("read back: %w", unseen)
	}
	if left := append(append(restoration.Conflicts, restoration.Cell...), restoration.API...); len(left) > 0 {
		return fmt.Errorf("read back: instance %s is not as it was saved: %v", r.p.InstanceUUID, left)
	}
	mapping := finding.Evidence(orphan.Policy{}).Mapping
	r.answer.QueuedForDelete = mapping != nil && mapping.QueuedForDelete
	r.done()
	return nil
}

func (r *restoring) done() {
	r.answer.Msg = fmt.Sprintf("put back the rows of instance %s as they were saved", r.p.InstanceUUID)
}
