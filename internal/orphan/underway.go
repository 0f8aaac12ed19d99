package orphan

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// underWay collects what must come to its end before a live row is judged, each with its age and with what ends it.
func underWay(e Evidence, cell Cell, abandoned []Migration) (reasons []string) {
	row := cell.Row
	fresh := e.Fresh(cell.Now, row.changed())
	if row.VMState == "building" {
		reasons = append(reasons, cell.fact("vm_state", row.VMState, "the instance is being built; "+cell.rowAge()+
			": if nobody builds it any more, it goes with: openstack server delete "+e.UUID))
	}
	// Conductor writes the failed instance before it removes the request
	// (conductor/manager.py _bury_in_cell0): an old ERROR row keeps it by accident only.
	if e.BuildRequest && row.Host == "" && (row.VMState != "error" || fresh) {
		reasons = append(reasons, fmt.Sprintf("nova_api: build_requests has a row, %s, and instances.host is empty: the instance is being built",
			writtenAgo(e.Now, e.RequestedAt)))
	}
	if row.TaskState != "" && !deleting(row.TaskState) {
		reasons = append(reasons, cell.fact("task_state", row.TaskState, e.taskWay(cell)))
	}
	if fresh && (deleting(row.TaskState) || row.VMState == "deleted") {
		reasons = append(reasons, fmt.Sprintf("%s: instances was %s: a deletion counts as abandoned only after min_age (%s), and "+
			"each one through the API writes the row again (unchanged_since takes that for no sign of life)", cell.Name,
			writtenAgo(cell.Now, row.changed()), e.MinAge))
	}
	for _, migration := range cell.Migrations {
		if !migration.Dead() && !slices.Contains(abandoned, migration) {
			reasons = append(reasons, e.migrating(cell, migration))
		}
	}
	return reasons
}

// taskWay: a reset leaves it to the operator what the instance then is. nova-compute itself ends most tasks when it starts
// (nova/compute/manager.py _init_instance), but that is no way for one instance.
func (e Evidence) taskWay(cell Cell) string {
	text := "an operation is under way; " + cell.rowAge() + ": if nobody works on it any more, reset it with: openstack server set " +
		"--state error " + e.UUID
	if cell.Row.VMState != "error" && cell.Row.VMState != "building" {
		text += " (--state active if its guest is to go on)"
	}
	return text
}

// MoveSilence is how long nothing must have been written at least, whatever min_age is: while nova-compute works on a
// live migration it writes both rows every five seconds (nova/virt/libvirt/driver.py _live_migration_monitor).
const MoveSilence = time.Minute

// MoveIsSilent says that nobody works on a migration any more, as far as its row shows.
func (p Policy) MoveIsSilent(now, at time.Time) bool {
	return idleFor(max(p.MinAge, MoveSilence), now, at)
}

// abandoned are the migrations that are not over and that nobody works on, as far as it shows: the caller consents, the
// instance is in ERROR with no task but a deletion, and neither it nor the migration was written for min_age. What the
// caller itself wrote excuses the row alone: a deletion writes no migration before the row is deleted.
func (e Evidence) abandoned(cell Cell) (abandoned []Migration) {
	if !e.AllowStuckMigration || !cell.Row.atRest() || e.Fresh(cell.Now, cell.Row.changed()) {
		return nil
	}
	for _, migration := range cell.Migrations {
		if !migration.Dead() && e.MoveIsSilent(cell.Now, migration.UpdatedAt) {
			abandoned = append(abandoned, migration)
		}
	}
	return abandoned
}

// atRest says that Nova gave the instance up, so that no move of it comes to an end. Whoever moves one sets its task, which
// only a reset takes away (nova/api/openstack/compute/admin_actions.py _reset_state).
func (r Row) atRest() bool {
	return (r.VMState == "error" || r.VMState == "deleted") && (r.TaskState == "" || deleting(r.TaskState))
}

// migrating says how old a migration is that is not over, and what ends it.
func (e Evidence) migrating(cell Cell, m Migration) string {
	row, text := cell.Row, cell.migration(m)
	if m.Status == "finished" {
		text += ": a resize waits for its confirmation"
	} else {
		text += ": a move is under way"
	}
	switch {
	case row == nil || row.Deleted != 0:
		return text + fmt.Sprintf("; it counts as over when nothing was written of it for min_age (%s)", e.MinAge)
	case m.Status == "finished" && row.VMState == "resized":
		return text + fmt.Sprintf(": openstack server resize confirm %s, or revert", e.UUID)
	case m.Status == "finished":
		// Both are for RESIZED alone (nova/compute/api.py confirm_resize, revert_resize), and a delete confirms nothing else
		// either (_delete, _confirm_resize_on_deleting).
		text += ", which Nova takes only in VERIFY_RESIZE, as it does a revert"
	case m.Type == "live-migration" && row.TaskState == "migrating":
		text += fmt.Sprintf("; one that runs ends with: openstack server migration abort %s %d", e.UUID, m.ID)
	}
	switch {
	case !row.atRest():
		return text + fmt.Sprintf("; if no host works on it any more: openstack server set --state error %s, and then "+
			"allow_stuck_migration: true", e.UUID)
	case e.AllowStuckMigration:
		return text + fmt.Sprintf("; allow_stuck_migration takes it for dead only when nothing was written of it, and of the instance, for "+
			"min_age (%s, at least %s)", e.MinAge, MoveSilence)
	}
	return text + fmt.Sprintf("; if no host works on it any more, allow_stuck_migration: true takes it for dead, once nothing was written of "+
		"it, and of the instance, for min_age (%s)", e.MinAge)
}

// migration says what it is, how old, and between which hosts, whose nova-compute may work on it.
func (c Cell) migration(m Migration) string {
	var details []string
	if m.Type != "" {
		details = append(details, m.Type)
	}
	if m.Source != "" || m.Destination != "" {
		details = append(details, "from "+orNull(m.Source)+" to "+orNull(m.Destination))
	}
	return fmt.Sprintf("%s: migrations.status = %s (%s), %s", c.Name, orNull(m.Status),
		strings.Join(append([]string{m.UUID}, details...), ", "), writtenAgo(c.Now, m.UpdatedAt))
}

// copiesWay: only the end of its move takes a copy away (nova/conductor/tasks/cross_cell_migrate.py).
func copiesWay(uuid string) string {
	return fmt.Sprintf("a move between cells ends with openstack server resize confirm %s, or revert. If it is over for good (openstack "+
		"server migration list --server %s), delete the instance, archive its row (nova-manage db archive_deleted_rows), and set hidden = 0 "+
		"in the copy that is left: then it is judged by itself", uuid, uuid)
}
