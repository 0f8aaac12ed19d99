package nova

import (
	"slices"

	"nova-orphan/internal/orphan"
)

// Evidence is the finding in the judge's terms.
func (f Finding) Evidence(policy orphan.Policy) orphan.Evidence {
	evidence := orphan.Evidence{UUID: f.UUID, Policy: policy, RequestSpec: f.RequestSpec, Now: f.Now,
		GroupMember: len(f.API["instance_group_member"].Rows) > 0}
	if rows := f.API["build_requests"].Rows; len(rows) > 0 {
		evidence.BuildRequest, evidence.RequestedAt = true, rows[0].time("created_at")
	}
	if rows := f.API["instance_mappings"].Rows; len(rows) > 0 {
		evidence.Mapping = &orphan.Mapping{HasCell: !f.MappedCell.Null, QueuedForDelete: rows[0].flag("queued_for_delete"),
			CreatedAt: rows[0].time("created_at")}
	}
	for _, cell := range f.Cells {
		if evidence.Mapping != nil && cell.ID == f.MappedCell.Text {
			evidence.Mapping.CellKnown = true
		}
		evidence.Cells = append(evidence.Cells, cell.evidence())
	}
	return evidence
}

func (c Cell) evidence() orphan.Cell {
	evidence := orphan.Cell{Name: c.String(), Now: c.Now, Archived: c.Archived}
	if c.Failure != nil {
		evidence.Failure = c.Failure.Error()
	}
	row := c.row()
	if row == nil || c.Archived {
		for _, migration := range c.Left["migrations"].Rows {
			evidence.Migrations = append(evidence.Migrations, judged(migration))
		}
		evidence.Leftovers = c.Left.unfinished()
		return evidence
	}
	evidence.Row = &orphan.Row{
		ID: row.number("id"), Deleted: row.number("deleted"),
		Host: row.text("host"), Node: row.text("node"), VMState: row.text("vm_state"), TaskState: row.text("task_state"),
		Hidden: row.flag("hidden"), Locked: row.flag("locked"), DisableTerminate: row.flag("disable_terminate"),
		CreatedAt: row.time("created_at"), UpdatedAt: row.time("updated_at"), DeletedAt: row.time("deleted_at"),
	}
	for _, metadata := range c.Record["instance_system_metadata"].Rows {
		if metadata.text("key") == "locked_reason" { // nova/compute/api.py lock
			evidence.Row.LockedReason = metadata.text("value")
		}
	}
	for _, migration := range c.Record["migrations"].Rows {
		evidence.Migrations = append(evidence.Migrations, judged(migration))
	}
	evidence.Leftovers = c.Record.unfinished()
	return evidence
}

func judged(migration Row) orphan.Migration {
	judged := orphan.Migration{
		UUID: migration.text("uuid"), Status: migration.text("status"),
		ID: migration.number("id"), Deleted: migration.number("deleted"), UpdatedAt: migration.written(),
		Type: migration.text("migration_type"), Source: migration.text("source_compute"), Destination: migration.text("dest_compute"),
	}
	if judged.Type == "evacuation" && slices.Contains(leftByEvacuation, judged.Status) {
		judged.EvacuatedFrom = judged.Source
	}
	return judged
}
