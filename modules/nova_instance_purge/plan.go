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

// subject is what is known about the instance, and what its reap would do.
type subject struct {
	evidence  orphan.Evidence
	judgement orphan.Judgement
	instance  *nova.Instance
	reap      *reap
	// unseen is why it cannot be told what the reap would do.
	unseen error
	// rewritten says what somebody changed since the caller judged.
	rewritten []string
}

// verdict is busy for an instance that somebody wrote since the caller judged it.
func (s subject) verdict() orphan.Verdict {
	if len(s.rewritten) > 0 && !s.judgement.Verdict.Refuses() {
		return orphan.Busy
	}
	return s.judgement.Verdict
}

func (s subject) reasons() []string { return slices.Concat(s.judgement.Reasons, s.rewritten) }

// workable says that the verdict allows a change.
func workable(judgement orphan.Judgement) bool {
	return !judgement.Refuses() && slices.Contains([]orphan.Verdict{orphan.Stuck, orphan.Zombie, orphan.Deleted}, judgement.Verdict)
}

// decide gives the plan, or the refusal with all its reasons.
func decide(s subject, p parameters) (plan, error) {
	var refusals []string
	if s.judgement.Refuses() || len(s.rewritten) > 0 {
		refusals = append(refusals, fmt.Sprintf("refused: instance %s is %s", s.evidence.UUID, s.verdict()))
		refusals = append(refusals, s.reasons()...)
	}
	if p.Host != "" && s.instance != nil && s.instance.Host != p.Host {
		refusals = append(refusals, otherHost(p.Host, s.instance))
	}
	if s.unseen != nil {
		refusals = append(refusals, fmt.Sprintf("refused: instance %s: %v", s.evidence.UUID, s.unseen))
	}
	if len(refusals) > 0 {
		return plan{}, refusalOf(refusals)
	}
	if !workable(s.judgement) {
		return plan{}, nil
	}
	return buildPlan(s, p), nil
}

func otherHost(host string, instance *nova.Instance) string {
	return fmt.Sprintf("host is %q, but instances.host of instance %s is %q: "+
		"names are compared exactly, since a short name and a full one are two hosts to Nova", host, instance.UUID, instance.Host)
}

func buildPlan(s subject, options parameters) plan {
	p := plan{before: map[string]any{}, after: map[string]any{}, cellRows: map[string]int64{}, apiRows: map[string]int64{}}
	for _, cell := range s.evidence.Cells {
		if cell.Row == nil {
			continue
		}
		p.addCell(cell, s.judgement)
		p.addDisarming(cell, s.reap)
		if shares := s.shares(); shares > 0 && options.RemoveShareMappings {
			p.cell, p.cellRows["share_mapping"] = true, int64(shares)
			p.before["share_mapping"], p.after["share_mapping"] = shares, 0
			p.steps = append(p.steps, fmt.Sprintf("%s: share_mapping: remove %s", cell.Name, rows(shares)))
		}
	}
	if mapping := s.evidence.Mapping; mapping != nil {
		p.before["instance_mappings"] = map[string]any{"queued_for_delete": mapping.QueuedForDelete}
		p.after["instance_mappings"] = map[string]any{"queued_for_delete": true}
		if !mapping.QueuedForDelete {
			p.api = true
			p.apiRows["instance_mappings"] = 1
			p.steps = append(p.steps, "nova_api: instance_mappings: set queued_for_delete = 1")
		}
	}
	if s.evidence.BuildRequest {
		p.api = true
		p.apiRows["build_requests"] = 1
		p.before["build_requests"], p.after["build_requests"] = 1, 0
		p.steps = append(p.steps, "nova_api: build_requests: remove 1 row")
	}
	if p.cell && s.instance != nil {
		p.steps = append(p.steps, sideEffects(s, options)...)
	}
	return p
}

func (s subject) shares() int {
	if s.instance == nil {
		return 0
	}
	return len(s.instance.Shares)
}

// addDisarming adds what keeps nova-compute off what is not the instance's any more.
func (p *plan) addDisarming(cell orphan.Cell, reap *reap) {
	if reap == nil || reap.disarm.Empty() {
		return
	}
	p.cell = true
	p.steps = append(p.steps, reap.disarming(cell.Name)...)
	for table, count := range reap.rows(cell.Leftovers["instance_info_caches"] == 0) {
		p.cellRows[table] += count
	}
	before, after := map[string]any{}, map[string]any{}
	for _, v := range reap.Volumes {
		if v.Disarmed {
			key := fmt.Sprint("block_device_mapping ", v.MappingID)
			before[key], after[key] = "armed for volume "+v.VolumeID, "disarmed: "+v.Why
		}
	}
	for _, port := range reap.disarm.Ports {
		before["port "+port], after["port "+port] = "in the info cache", "not in the info cache"
	}
	p.before["reap"], p.after["reap"] = before, after
}

func (p *plan) addCell(cell orphan.Cell, judgement orphan.Judgement) {
	row := cell.Row
	before := map[string]any{"deleted": row.Deleted, "vm_state": row.VMState, "task_state": row.TaskState, "deleted_at": cellTime(row)}
	after := maps.Clone(before)
	switch {
	case judgement.Verdict != orphan.Deleted:
		p.cell, p.cellRows["instances"] = true, 1
		p.steps = append(p.steps, fmt.Sprintf("%s: instances: set deleted = %d (the row's id), vm_state = deleted, task_state = NULL", cell.Name,
			row.ID))
		after["deleted"], after["vm_state"], after["task_state"] = row.ID, "deleted", ""
		if row.NeedsDeletedAt(cell.Now) {
			after["deleted_at"] = now
		}
	case row.NeedsDeletedAt(cell.Now):
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

// sideEffects says what nova-compute then does by itself, since some of it cannot be undone.
func sideEffects(s subject, options parameters) (steps []string) {
	if host := s.instance.Host; host != "" {
		steps = append(steps, "afterwards nova-compute on "+host+" removes the allocation and reaps the domain, "+
			"at its next start or in at most half an hour")
	}
	if s.reap != nil {
		steps = append(steps, s.reap.sideEffects()...)
	}
	if shares := s.shares(); shares > 0 && !options.RemoveShareMappings {
		steps = append(steps, fmt.Sprintf("afterwards nova-compute unmounts %d shares and removes their %s of share_mapping, "+
			"which stay until then (it does so from 2025.1 on)", shares, rows(shares)))
	}
	if secret := s.instance.VTPMSecret; secret != "" {
		steps = append(steps, "afterwards the secret "+secret+" of its vTPM stays in the key manager "+
			"(up to 2024.2 nova-compute deletes it with the domain): openstack secret delete it")
	}
	return steps
}

// refusalOf is all that speaks against it, in one line.
func refusalOf(reasons []string) error { return errors.New(strings.Join(reasons, "; ")) }
