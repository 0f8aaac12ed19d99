package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nova-orphan/internal/nova"
	"nova-orphan/internal/orphan"
)

// plan is what there is to do in the databases.
type plan struct {
	cell, api bool // whether each of them has to be written
	steps     []string
	// cellRows and apiRows are how many rows change, by table.
	cellRows, apiRows map[string]int64
	before, after     map[string]any
}

// decide gives the plan, or the refusal with all its reasons.
func decide(evidence orphan.Evidence, judgement orphan.Judgement, instance *nova.Instance, host string) (plan, error) {
	var refusals []string
	if judgement.Refuses() {
		refusals = append(refusals, fmt.Sprintf("refused: instance %s is %s", evidence.UUID, judgement.Verdict))
		refusals = append(refusals, judgement.Reasons...)
	}
	if host != "" && instance != nil && instance.Host != host {
		refusals = append(refusals, otherHost(host, instance))
	}
	if len(refusals) > 0 {
		return plan{}, refusalOf(refusals)
	}
	switch judgement.Verdict {
	case orphan.Stuck, orphan.Zombie, orphan.Deleted:
		return draw(evidence, judgement, instance), nil
	}
	return plan{}, nil
}

func otherHost(host string, instance *nova.Instance) string {
	return fmt.Sprintf("host is %q, but instances.host of instance %s is %q: "+
		"names are compared exactly, since a short name and a full one are two hosts to Nova", host, instance.UUID, instance.Host)
}

func draw(evidence orphan.Evidence, judgement orphan.Judgement, instance *nova.Instance) plan {
	p := plan{before: map[string]any{}, after: map[string]any{}, cellRows: map[string]int64{}, apiRows: map[string]int64{}}
	for _, cell := range evidence.Cells {
		if cell.Row != nil {
			p.drawCell(cell, judgement)
		}
	}
	if mapping := evidence.Mapping; mapping != nil {
		p.before["instance_mappings"] = map[string]any{"queued_for_delete": mapping.QueuedForDelete}
		p.after["instance_mappings"] = map[string]any{"queued_for_delete": true}
		if !mapping.QueuedForDelete {
			p.api = true
			p.apiRows["instance_mappings"] = 1
			p.steps = append(p.steps, "nova_api: instance_mappings: set queued_for_delete = 1")
		}
	}
	if evidence.BuildRequest {
		p.api = true
		p.apiRows["build_requests"] = 1
		p.before["build_requests"], p.after["build_requests"] = 1, 0
		p.steps = append(p.steps, "nova_api: build_requests: remove 1 row")
	}
	if p.cell && instance != nil {
		p.steps = append(p.steps, foresee(instance)...)
	}
	return p
}

func (p *plan) drawCell(cell orphan.Cell, judgement orphan.Judgement) {
	row := cell.Row
	before := map[string]any{"deleted": row.Deleted, "vm_state": row.VMState, "task_state": row.TaskState, "deleted_at": cellTime(row)}
	after := maps.Clone(before)
	switch {
	case judgement.Verdict != orphan.Deleted:
		p.cell, p.cellRows["instances"] = true, 1
		p.steps = append(p.steps, fmt.Sprintf("%s: instances: set deleted = %d (the row's id), vm_state = deleted, task_state = NULL", cell.Name, row.ID))
		after["deleted"], after["vm_state"], after["task_state"] = row.ID, "deleted", ""
		if row.Undated(cell.Now) {
			after["deleted_at"] = now
		}
	case row.Undated(cell.Now):
		p.cell, p.cellRows["instances"] = true, 1
		p.steps = append(p.steps, cell.Name+": instances: set deleted_at to the current time")
		after["deleted_at"] = now
	}
	p.before["instances"], p.after["instances"] = before, after
	left := map[string]any{}
	for _, table := range slices.Sorted(maps.Keys(cell.Leftovers)) {
		p.cell, p.cellRows[table] = true, int64(cell.Leftovers[table])
		left[table] = cell.Leftovers[table]
		p.steps = append(p.steps, fmt.Sprintf("%s: %s: delete %s as Nova does", cell.Name, table, rows(cell.Leftovers[table])))
	}
	p.before["rows_left"], p.after["rows_left"] = left, map[string]any{}
}

// now stands in a diff for a time that the database is going to set.
const now = "now"

func cellTime(row *orphan.Row) string {
	if row.DeletedAt.IsZero() {
		return ""
	}
	return row.DeletedAt.Format("2006-01-02T15:04:05Z")
}

func rows(count int) string {
	if count == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", count)
}

// foresee says what nova-compute then does by itself, since some of it cannot be undone.
func foresee(instance *nova.Instance) []string {
	if instance.Host == "" {
		return nil
	}
	steps := []string{"afterwards nova-compute on " + instance.Host + " removes the allocation and reaps the domain, at its next start or in at most half an hour"}
	for _, volume := range instance.Volumes {
		if volume.DeleteOnTermination {
			steps = append(steps, "afterwards nova-compute DELETES volume "+volume.VolumeID+": its delete_on_termination is set")
		}
	}
	return steps
}

// refusalOf is all that speaks against it, in one line.
func refusalOf(reasons []string) error { return errors.New(strings.Join(reasons, "; ")) }
