package orphan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Judge says what the evidence proves. It collects all the reasons for a
// refusal rather than the first, and it reads a missing fact as "cannot tell".
func Judge(e Evidence) Judgement {
	if reasons := unread(e); len(reasons) > 0 {
		return Judgement{Verdict: Unknown, Reasons: reasons}
	}
	var found []Cell
	for _, cell := range e.Cells {
		if cell.Row != nil {
			found = append(found, cell)
		}
	}
	switch len(found) {
	case 0:
		return judgeTraces(e)
	case 1:
		judgement := judgeRow(e, found[0])
		judgement.Stops = stops(e, found[0], judgement.Verdict)
		judgement.Reasons = slices.Concat(judgement.Reasons, judgement.Stops, remarks(e, found[0], judgement.Stops))
		return judgement
	}
	reasons := make([]string, len(found))
	for i, cell := range found {
		// A cross-cell resize copies the row (conductor/tasks/cross_cell_migrate.py).
		reasons[i] = fmt.Sprintf("%s: instances.id = %d, hidden = %t, %s: the instance has a row in %d cells, as during a move between cells",
			cell.Name, cell.Row.ID, cell.Row.Hidden, writtenAgo(cell.Now, cell.Row.changed()), len(found))
	}
	return Judgement{Verdict: Busy, Reasons: append(reasons, copiesWay(e.UUID))}
}

func unread(e Evidence) (reasons []string) {
	if len(e.Cells) == 0 {
		reasons = append(reasons, "nova_api: cell_mappings has no rows: without a cell there is nothing to read")
	}
	for _, cell := range e.Cells {
		if cell.Failure != "" {
			reasons = append(reasons, fmt.Sprintf("%s: the cell could not be read: %s", cell.Name, cell.Failure))
		}
	}
	if e.Mapping != nil && e.Mapping.HasCell && !e.Mapping.CellKnown {
		reasons = append(reasons, "nova_api: instance_mappings.cell_id names a cell that cell_mappings does not have: "+
			"set it to that of the cell which has the instance (nova-manage cell_v2 list_cells)")
	}
	return reasons
}

// judgeTraces judges an instance that has no row in any cell.
func judgeTraces(e Evidence) Judgement {
	reasons := traces(e)
	for _, cell := range e.Cells {
		if cell.Archived {
			shadow := fmt.Sprintf("%s: shadow_instances has the row, instances has none", cell.Name)
			return Judgement{Verdict: Archived, Reasons: append([]string{shadow}, reasons...)}
		}
	}
	var busy []string
	if building := aboutToBeBuilt(e); building != "" {
		busy = append(busy, building)
	}
	for _, cell := range e.Cells {
		busy = append(busy, moving(e, cell)...)
	}
	nowhere := fmt.Sprintf("instances and shadow_instances have no row in any of %d cells", len(e.Cells))
	switch {
	case len(busy) > 0:
		return Judgement{Verdict: Busy, Reasons: busy}
	case len(reasons) > 0:
		return Judgement{Verdict: Lost, Reasons: append([]string{nowhere}, reasons...)}
	}
	return Judgement{Verdict: Absent, Reasons: []string{nowhere}}
}

// traces are what proves that Nova knew an instance of which no cell has the row.
func traces(e Evidence) (reasons []string) {
	if e.Mapping != nil {
		reasons = append(reasons, "nova_api: instance_mappings still has a row")
	}
	if e.RequestSpec {
		reasons = append(reasons, "nova_api: request_specs still has a row")
	}
	if e.BuildRequest {
		reasons = append(reasons, fmt.Sprintf("nova_api: build_requests has a row, %s: whoever was to build the instance has forgotten it, "+
			"and it is listed as BUILD for ever", writtenAgo(e.Now, e.RequestedAt)))
	}
	if e.GroupMember {
		reasons = append(reasons, "nova_api: instance_group_member still has a row")
	}
	for _, cell := range e.Cells {
		if len(cell.Migrations) > 0 {
			reasons = append(reasons, fmt.Sprintf("%s: migrations still has rows: %d", cell.Name, len(cell.Migrations)))
		}
		if len(cell.Leftovers) > 0 {
			reasons = append(reasons, cell.Name+": rows are left beside no row of the instance: "+counted(cell.Leftovers))
		}
	}
	return reasons
}

// aboutToBeBuilt says why a cell may get the instance at any moment, "" if none will. Nova writes the build request and a
// mapping without a cell together (nova/compute/api.py _create_reqspec_buildreq_instmapping), and a delete meanwhile
// takes but the request, while conductor may be at work on it. It is min_age alone that counts: no caller writes these.
func aboutToBeBuilt(e Evidence) string {
	table, at := "build_requests", e.RequestedAt
	if !e.BuildRequest {
		if e.Mapping == nil || e.Mapping.HasCell || e.Mapping.CreatedAt.IsZero() {
			return ""
		}
		table, at = "instance_mappings", e.Mapping.CreatedAt
	}
	if !(Policy{MinAge: e.MinAge}).Fresh(e.Now, at) {
		return ""
	}
	return fmt.Sprintf("nova_api: %s has a row, %s, and no cell has the instance: it is about to be built; after min_age (%s) "+
		"it counts as forgotten", table, writtenAgo(e.Now, at), e.MinAge)
}

func judgeRow(e Evidence, cell Cell) Judgement {
	row := cell.Row
	if row.Hidden {
		return Judgement{Verdict: Busy, Reasons: []string{cell.fact("hidden", true, "it is the copy of a move between cells; "+
			cell.rowAge()), copiesWay(e.UUID)}}
	}
	switch row.Deleted {
	case 0:
		return judgeLiveRow(e, cell)
	case row.ID:
		return Judgement{Verdict: Deleted, Reasons: []string{cell.fact("deleted", row.Deleted, "it is the row's id, as Nova deletes")}}
	}
	if moving := moving(e, cell); len(moving) > 0 {
		return Judgement{Verdict: Busy, Reasons: moving}
	}
	return Judgement{Verdict: Zombie, Reasons: []string{cell.fact("deleted", row.Deleted,
		fmt.Sprintf("neither 0 nor the row's id %d: Nova sees the instance neither alive nor deleted", row.ID))}}
}

// moving are the migrations in flight of an instance that Nova no longer sees, so that one only counts if something still
// works on it.
func moving(e Evidence, cell Cell) (reasons []string) {
	for _, migration := range cell.Migrations {
		if !migration.Dead() && !idleFor(e.MinAge, cell.Now, migration.UpdatedAt) {
			reasons = append(reasons, e.migrating(cell, migration))
		}
	}
	return reasons
}

// judgeLiveRow judges a row with deleted = 0.
func judgeLiveRow(e Evidence, cell Cell) Judgement {
	abandoned := e.abandoned(cell)
	if busy := underWay(e, cell, abandoned); len(busy) > 0 {
		return Judgement{Verdict: Busy, Reasons: busy}
	}
	row, fresh := cell.Row, e.Fresh(cell.Now, cell.Row.changed())
	var stuck []string
	if row.VMState == "error" {
		stuck = append(stuck, cell.fact("vm_state", row.VMState, "deleted is 0, and Nova gave the instance up"))
	}
	if row.VMState == "deleted" {
		stuck = append(stuck, cell.fact("vm_state", row.VMState, "deleted is 0: the deletion was not finished"))
	}
	if deleting(row.TaskState) {
		stuck = append(stuck, cell.fact("task_state", row.TaskState, "the deletion was not finished"))
	}
	if row.VMState == softDeleted && e.AllowSoftDeleted && !fresh {
		stuck = append(stuck, cell.fact("vm_state", row.VMState, "its owner deleted it, "+cell.rowAge()+
			", and allow_soft_deleted is given"))
	}
	if len(stuck) > 0 {
		judgement := Judgement{Verdict: Stuck, Reasons: stuck}
		for _, migration := range abandoned {
			judgement.Abandoned = append(judgement.Abandoned, migration.UUID)
			judgement.Reasons = append(judgement.Reasons, cell.migration(migration)+": taken for dead, since allow_stuck_migration is given")
		}
		return judgement
	}
	reason := "deleted is 0: Nova looks after the instance"
	if row.VMState == softDeleted {
		reason = fmt.Sprintf("deleted is 0: the owner can still restore the instance (openstack server restore %s); %s: if nobody wants it "+
			"back, it goes with openstack server delete --force %s, or with allow_soft_deleted: true once nothing was written of it for "+
			"min_age (%s)", e.UUID, cell.rowAge(), e.UUID, e.MinAge)
	}
	if !slices.Contains(states, row.VMState) {
		reason = fmt.Sprintf("deleted is 0, and no state that Nova is known to have, so that somebody may look after the instance; %s: if "+
			"nobody does, and it is to go: openstack server set --state error %s", cell.rowAge(), e.UUID)
	}
	return Judgement{Verdict: Live, Reasons: []string{cell.fact("vm_state", row.VMState, reason)}}
}

// states are Nova's (nova/compute/vm_states.py).
var states = []string{
	"active", "building", "paused", "suspended", "stopped", "rescued", "resized", softDeleted, "deleted", "error", "shelved",
	"shelved_offloaded",
}

// softDeleted is the vm_state that Nova calls SOFT_DELETED (nova/compute/vm_states.py).
const softDeleted = "soft-delete"

// stops collects what somebody has put in the way of a deletion that the verdict would allow.
func stops(e Evidence, cell Cell, verdict Verdict) (stops []string) {
	if verdict != Stuck && verdict != Zombie {
		return nil
	}
	// Nova lets an administrator delete a locked server (nova/compute/api.py check_instance_lock),
	// but who locked it meant something by it.
	if cell.Row.Locked && !e.AllowLocked {
		stops = append(stops, cell.fact("locked", true,
			"somebody locked the instance"+cell.Row.lockedReason()+": ask them, then openstack server unlock it, or give allow_locked: true"))
	}
	if cell.Row.DisableTerminate {
		stops = append(stops, cell.fact("disable_terminate", true,
			"somebody protected the instance: Nova's API answers 204 to a delete and ignores it (nova/compute/api.py _delete): "+
				"if it may go, set disable_terminate = 0 in the row"))
	}
	return stops
}

// remarks are facts that decide nothing, but that an operator wants to know.
func remarks(e Evidence, cell Cell, stops []string) (remarks []string) {
	if cell.Row.Locked && len(stops) == 0 {
		remarks = append(remarks, cell.fact("locked", true,
			"somebody locked the instance"+cell.Row.lockedReason()+" (openstack server unlock undoes that)"))
	}
	if cell.Row.Deleted == 0 {
		remarks = append(remarks, leftElsewhere(cell)...)
		return append(remarks, unmapped(e, cell)...)
	}
	if cell.Row.NeedsDeletedAt(cell.Now) {
		remarks = append(remarks, cell.fact("deleted_at", written(cell.Row.DeletedAt), "no time in the past"))
	}
	if len(cell.Leftovers) > 0 {
		remarks = append(remarks, cell.Name+": rows that Nova would have deleted with it are left: "+counted(cell.Leftovers))
	}
	if e.Mapping != nil && !e.Mapping.QueuedForDelete {
		remarks = append(remarks, "nova_api: instance_mappings.queued_for_delete = 0")
	}
	return remarks
}

// leftElsewhere says on which hosts an evacuated instance has left a domain and an allocation.
func leftElsewhere(cell Cell) (remarks []string) {
	for _, migration := range cell.Migrations {
		if migration.EvacuatedFrom != "" {
			remarks = append(remarks, fmt.Sprintf("%s: migrations.status = %s (%s): evacuated from %s, where the next start of nova-compute "+
				"removes what was left",
				cell.Name, migration.Status, migration.UUID, migration.EvacuatedFrom))
		}
	}
	return remarks
}

// unmapped says why the API does not find an instance that is not deleted.
func unmapped(e Evidence, cell Cell) []string {
	switch {
	case e.Mapping == nil:
		return []string{"nova_api: instance_mappings has no row: the API cannot find the instance (nova-manage cell_v2 map_instances repairs " +
			"that)"}
	case !e.Mapping.HasCell:
		return []string{"nova_api: instance_mappings.cell_id = NULL: the API cannot find the instance, though it is in " + cell.Name}
	}
	return nil
}

// deleting says whether the task is one of those that end in a deletion
// (nova/compute/task_states.py).
func deleting(task string) bool {
	return task == "deleting" || task == "soft-deleting"
}

func (c Cell) fact(column string, value any, meaning string) string {
	if text, ok := value.(string); ok {
		value = orNull(text)
	}
	return fmt.Sprintf("%s: instances.%s = %v: %s", c.Name, column, value, meaning)
}

func orNull(text string) string {
	if text == "" {
		return "NULL"
	}
	return text
}

func written(at time.Time) string {
	if at.IsZero() {
		return "NULL"
	}
	return at.UTC().Format(time.DateTime)
}

// writtenAgo says when something was written, and how long ago.
func writtenAgo(now, at time.Time) string {
	text := "written at " + written(at)
	if idle, known := age(now, at); known {
		text += fmt.Sprintf(", %s ago", roughly(idle))
	}
	return text
}

// roughly drops what is small beside the rest, so that two looks at the same say the same.
func roughly(idle time.Duration) time.Duration {
	for _, unit := range []time.Duration{time.Hour, time.Minute} {
		if idle >= unit {
			return idle.Truncate(unit)
		}
	}
	return idle.Round(time.Second)
}

func (c Cell) rowAge() string { return "the row was " + writtenAgo(c.Now, c.Row.changed()) }

// idleFor says that something was written at least so long ago; what has no time was not.
func idleFor(least time.Duration, now, at time.Time) bool {
	idle, known := age(now, at)
	return known && idle >= least
}

// age is how long ago something was; it is not known for a time that is missing.
func age(now, at time.Time) (idle time.Duration, known bool) {
	return now.Sub(at), !at.IsZero() && !now.IsZero()
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// counted lists counts by name, as "migrations 2, tags 1".
func counted(counts map[string]int) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(list, ", ")
}
