// Package orphan judges an instance: evidence in, verdict out. It does no I/O
// and knows no client library, so that every decision that could harm a live
// instance is one row of a table in its tests.
package orphan

import (
	"fmt"
	"slices"
	"time"
)

// Verdict is what the evidence proves about an instance.
type Verdict string

// The verdicts. Live, Busy, Foreign and Unknown are refusals: nothing may be changed.
const (
	Live     Verdict = "live"     // Nova looks after it
	Busy     Verdict = "busy"     // something is under way, or was a moment ago
	Stuck    Verdict = "stuck"    // the row is live, but the instance is broken or half deleted
	Zombie   Verdict = "zombie"   // deleted is neither 0 nor the row's id: Nova sees it neither alive nor deleted
	Deleted  Verdict = "deleted"  // soft-deleted as Nova does it; remains may exist
	Archived Verdict = "archived" // only rows in shadow tables
	Lost     Verdict = "lost"     // no row in any cell, but something else proves that Nova knew it
	Absent   Verdict = "absent"   // no trace at all, and every cell was read
	Foreign  Verdict = "foreign"  // a consumer or a domain that is not Nova's: never touched
	Unknown  Verdict = "unknown"  // a source could not be read in full
)

// Refuses says whether the verdict alone forbids every step; see Judgement.Refuses.
func (v Verdict) Refuses() bool { return v == Live || v == Busy || v == Foreign || v == Unknown }

// Gone says whether Nova no longer has the instance among the living, so that
// whatever its migrations hold is left over, too.
func (v Verdict) Gone() bool { return v == Zombie || v == Deleted || v == Archived }

// Judgement is a verdict with the facts that prove it, each with its source.
type Judgement struct {
	Verdict Verdict
	Reasons []string
	// Stops are those of the reasons that forbid every step, whatever the verdict: somebody
	// has said no. Each names its way out.
	Stops []string
	// Abandoned are the uuids of the migrations that are not over, and that the judge takes for dead; see Policy.AllowStuckMigration.
	Abandoned []string
}

// Over says whether a migration of the instance holds nothing that anybody needs: what is gone for Nova moves no more.
func (j Judgement) Over(m Migration) bool {
	return m.Dead() || j.Verdict.Gone() || slices.Contains(j.Abandoned, m.UUID)
}

// Refuses says whether a step must leave the instance alone.
func (j Judgement) Refuses() bool { return j.Verdict.Refuses() || len(j.Stops) > 0 }

// Policy is what the caller has decided about the judging.
type Policy struct {
	// MinAge is for how long nobody must have written the row of an instance, a build request or a migration before it is taken
	// for left over, as a deletion that was abandoned. A zombie, and what has no row, does not wait.
	MinAge time.Duration
	// UnchangedSince is when the caller itself wrote the row, by the database's clock: a
	// row that is no newer is not fresh, whatever MinAge is. Zero if it did not.
	UnchangedSince time.Time
	// AllowLocked is the consent to do away with an instance that somebody locked.
	AllowLocked bool
	// AllowStuckMigration is the consent to take a migration for dead of which nothing was written for MinAge, of an
	// instance in ERROR.
	AllowStuckMigration bool
	// AllowSoftDeleted is the consent to do away with an instance that its owner deleted and can still restore, if nothing
	// was written of it for MinAge.
	AllowSoftDeleted bool
}

// Fresh says whether something was written so lately that somebody may still be at work on it.
func (p Policy) Fresh(now, at time.Time) bool {
	if !p.UnchangedSince.IsZero() && !at.IsZero() && !at.After(p.UnchangedSince) {
		return false
	}
	idle, known := age(now, at)
	return !known || idle < p.MinAge
}

// Evidence is what was read about one instance.
type Evidence struct {
	UUID string
	// Cells are all cells of nova_api.cell_mappings, whether or not they could be read.
	Cells []Cell
	// Mapping is the row of nova_api.instance_mappings, nil if there is none.
	Mapping *Mapping
	// BuildRequest, RequestSpec and GroupMember say whether nova_api has a row in build_requests, request_specs and
	// instance_group_member, which is not looked at where a cell has a row.
	BuildRequest, RequestSpec, GroupMember bool
	// RequestedAt is when the build request was written, and Now the API database's clock.
	RequestedAt, Now time.Time
	Policy
}

// Cell is what one cell's database knows.
type Cell struct {
	Name string
	// Failure says why the cell could not be read; "" if it was read in full.
	Failure string
	// Row is the row of instances, nil if there is none.
	Row *Row
	// Archived says whether shadow_instances has a row.
	Archived bool
	// Migrations are the rows of migrations, also where there is no row of the instance.
	Migrations []Migration
	// Leftovers counts the rows beside the instance's own, also where that is gone, that a
	// deletion as Nova does it would still change, by table.
	Leftovers map[string]int
	// Now is the database's own clock in UTC, which is what Nova's times are compared with.
	Now time.Time
}

// Mapping is a row of nova_api.instance_mappings.
type Mapping struct {
	// HasCell is false while cell_id is NULL.
	HasCell bool
	// CellKnown is false when cell_mappings has no row for cell_id.
	CellKnown       bool
	QueuedForDelete bool
	CreatedAt       time.Time
}

// Row is a row of a cell's instances table. A time that is NULL or no date is zero.
type Row struct {
	ID, Deleted                     int64
	Host, Node, VMState, TaskState  string
	Hidden                          bool
	Locked, DisableTerminate        bool
	LockedReason                    string // "" if none was given
	CreatedAt, UpdatedAt, DeletedAt time.Time
}

// clockSkew is how far Nova's hosts may be ahead of the database, since it is
// their clocks that deleted_at comes from.
const clockSkew = time.Minute

// NeedsDeletedAt says whether a deleted row needs another deleted_at: without one,
// db purge --before never removes it, and until one in the future is past,
// nova-compute does not reap the domain (manager.py _deleted_old_enough).
func (r Row) NeedsDeletedAt(now time.Time) bool {
	return r.DeletedAt.IsZero() || r.DeletedAt.After(now.Add(clockSkew))
}

// changed is when the row was last written; zero if it has no time.
func (r Row) changed() time.Time { return latest(r.UpdatedAt, r.CreatedAt) }

// Deleting says whether the row is in the middle of a deletion.
func (r Row) Deleting() bool { return deleting(r.TaskState) || r.VMState == "deleted" }

func (r Row) lockedReason() string {
	if r.LockedReason == "" {
		return ""
	}
	return fmt.Sprintf(" (locked_reason: %q)", r.LockedReason)
}

// Migration is a row of a cell's migrations table.
type Migration struct {
	UUID, Status, Type  string
	Source, Destination string // hosts, by Nova's names
	ID, Deleted         int64
	UpdatedAt           time.Time // when it was last written: its creation, if never since
	// EvacuatedFrom is the host of an evacuation that has not cleaned up after it: its
	// nova-compute has not been started since (nova/compute/manager.py _destroy_evacuated_instances).
	EvacuatedFrom string
}

// DeadStatuses are those of migrations that are over. "finished" is not: it waits for its
// confirmation (VERIFY_RESIZE). They are what migration_get_in_progress_and_error_by_host_and_node
// and its siblings leave out (nova/db/main/api.py), and "error".
var DeadStatuses = [...]string{"error", "failed", "cancelled", "completed", "done", "confirmed", "reverted"}

// Dead says whether the migration is over and holds nothing any more.
func (m Migration) Dead() bool {
	return slices.Contains(DeadStatuses[:], m.Status) || m.Deleted != 0 && m.Deleted == m.ID
}
