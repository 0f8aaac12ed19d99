package orphan

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// base is an instance in ERROR that has been left alone for an hour: stuck.
func base() Evidence {
	return Evidence{
		UUID: "6695eb01-f6a4-8304-79aa-97f2502e193f", Policy: Policy{MinAge: 5 * time.Minute},
		Mapping: &Mapping{HasCell: true, CellKnown: true},
		Cells: []Cell{{Name: "cell0", Now: now}, {Name: "cell1", Now: now, Row: &Row{
			ID: 43, Host: "compute1", VMState: "error", CreatedAt: now.Add(-48 * time.Hour), UpdatedAt: now.Add(-time.Hour),
		}}},
	}
}

// The helpers below each change one fact.
func row(change func(*Row)) func(*Evidence) { return func(e *Evidence) { change(e.Cells[1].Row) } }

func vmState(state string) func(*Evidence) { return row(func(r *Row) { r.VMState = state }) }

func locked(reason string) func(*Evidence) {
	return row(func(r *Row) { r.Locked, r.LockedReason = true, reason })
}

func task(state string) func(*Evidence) { return row(func(r *Row) { r.TaskState = state }) }

func updated(ago time.Duration) func(*Evidence) {
	return row(func(r *Row) { r.UpdatedAt = now.Add(-ago) })
}

func deleted(value int64) func(*Evidence) {
	return row(func(r *Row) { r.Deleted, r.DeletedAt = value, now.Add(-time.Hour) })
}

func migration(status string, ago time.Duration) func(*Evidence) {
	return func(e *Evidence) {
		e.Cells[1].Migrations = append(e.Cells[1].Migrations, Migration{UUID: "m", ID: 1, Status: status, UpdatedAt: now.Add(-ago)})
	}
}

// consented are all consents that the judge knows.
func consented(e *Evidence) {
	e.AllowLocked, e.AllowStuckMigration, e.AllowSoftDeleted = true, true, true
}

func evacuatedFrom(host string) func(*Evidence) {
	return func(e *Evidence) {
		migration("done", time.Hour)(e)
		e.Cells[1].Migrations[0].EvacuatedFrom = host
	}
}

func noRow(e *Evidence) { e.Cells[1].Row = nil }

func archived(e *Evidence) { e.Cells[1].Row, e.Cells[1].Archived = nil, true }

func noMapping(e *Evidence) { e.Mapping = nil }

func requestSpec(e *Evidence) { e.RequestSpec = true }

func buildRequest(e *Evidence) { e.BuildRequest = true }

func unchangedSince(ago time.Duration) func(*Evidence) {
	return func(e *Evidence) { e.UnchangedSince = now.Add(-ago) }
}

func requested(ago time.Duration) func(*Evidence) {
	return func(e *Evidence) { e.Now, e.RequestedAt = now, now.Add(-ago) }
}

func noHost(e *Evidence) { e.Cells[1].Row.Host = "" }

func TestTheVerdict(t *testing.T) {
	for _, test := range []struct {
		name    string
		facts   []func(*Evidence)
		want    Verdict
		reasons string // matches the reasons, joined by line breaks
	}{
		{"vm_state error", nil, Stuck, `^cell1: instances\.vm_state = error: .*`},
		{"vm_state error a moment ago", []func(*Evidence){updated(time.Second)}, Stuck, `error`},
		{"deleting for an hour, which the API ignores", []func(*Evidence){vmState("active"), task("deleting")}, Stuck,
			`instances\.task_state = deleting`},
		{"deleting for an hour and in error: both are said", []func(*Evidence){task("deleting")}, Stuck,
			`vm_state = error.*\n.*task_state = deleting`},
		{"soft-deleting for an hour", []func(*Evidence){vmState("active"), task("soft-deleting")}, Stuck, `soft-deleting`},
		{"deleted as a state only", []func(*Evidence){vmState("deleted")}, Stuck, `vm_state = deleted: deleted is 0`},
		{"exactly min_age old", []func(*Evidence){task("deleting"), updated(5 * time.Minute)}, Stuck, `deleting`},
		{"never updated, but created long ago", []func(*Evidence){task("deleting"), row(func(r *Row) { r.UpdatedAt = time.Time{} })}, Stuck,
			`deleting`},
		{"min_age 0", []func(*Evidence){task("deleting"), updated(0), func(e *Evidence) { e.MinAge = 0 }}, Stuck, `deleting`},
		{"failed to be scheduled, in cell0", []func(*Evidence){noHost}, Stuck, `error`},
		{"a build request forgotten by a failed build", []func(*Evidence){noHost, buildRequest}, Stuck, `error`},
		{"a build request of an instance that has a host", []func(*Evidence){buildRequest}, Stuck, `error`},
		{"a failed migration", []func(*Evidence){migration("error", 0)}, Stuck, `error`},

		{"D4 active", []func(*Evidence){vmState("active")}, Live, `vm_state = active`},
		{"D4 stopped", []func(*Evidence){vmState("stopped")}, Live, `stopped`},
		{"D4 paused", []func(*Evidence){vmState("paused")}, Live, `paused`},
		{"D4 suspended", []func(*Evidence){vmState("suspended")}, Live, `suspended`},
		{"D4 rescued", []func(*Evidence){vmState("rescued")}, Live, `rescued`},
		{"D4 resized", []func(*Evidence){vmState("resized")}, Live, `resized`},
		{"D4 shelved", []func(*Evidence){vmState("shelved")}, Live, `shelved`},
		{"D4 shelved and offloaded", []func(*Evidence){vmState("shelved_offloaded"), noHost}, Live, `shelved_offloaded`},
		{"D4 soft-deleted, so that its owner can restore it", []func(*Evidence){vmState("soft-delete")}, Live,
			`openstack server restore 6695eb01.* 1h0m0s ago: .*openstack server delete --force 6695eb01.*allow_soft_deleted: true`},
		{"D4 locked", []func(*Evidence){vmState("active"), row(func(r *Row) { r.Locked = true })}, Live, `active.*\n.*locked = true`},
		{"D4 a state that no release has yet", []func(*Evidence){vmState("levitating")}, Live, `levitating`},
		{"D4 no state at all", []func(*Evidence){vmState("")}, Live, `vm_state = NULL`},

		{"D4 a task on an active instance", []func(*Evidence){vmState("active"), task("rebooting")}, Busy,
			`task_state = rebooting.*openstack server set --state error 6695eb01-\S* \(--state active if its guest is to go on\)`},
		{"D4 a task on one in error", []func(*Evidence){task("rebuilding")}, Busy,
			`rebuilding.* 1h0m0s ago: .*openstack server set --state error 6695eb01-\S*$`},
		{"D4 a task that no release has yet", []func(*Evidence){task("levitating")}, Busy, `levitating`},
		{"D4 restoring", []func(*Evidence){vmState("soft-delete"), task("restoring")}, Busy, `restoring`},
		{"D5 deleting since a minute", []func(*Evidence){task("deleting"), updated(time.Minute)}, Busy,
			`written at 2026-01-02 03:03:05, 1m0s ago: .*min_age \(5m0s\).*unchanged_since`},
		{"D5 deleted as a state since a second: destroy comes next", []func(*Evidence){vmState("deleted"), updated(time.Second)}, Busy,
			`min_age`},
		{"D10 deleting since the future", []func(*Evidence){task("deleting"), updated(-3 * time.Hour)}, Busy, `min_age`},
		{"D10 deleting, without any time", []func(*Evidence){task("deleting"),
			row(func(r *Row) { r.UpdatedAt, r.CreatedAt = time.Time{}, time.Time{} })}, Busy, `written at NULL`},
		{"P2 being built", []func(*Evidence){vmState("building"), task("spawning")}, Busy, `vm_state = building.*\n.*spawning`},
		{"P2 being built, with its request", []func(*Evidence){vmState("building"), noHost, buildRequest}, Busy, `building.*\n.*build_requests`},
		{"P2 failed a moment ago, the request still there", []func(*Evidence){noHost, buildRequest, updated(time.Second)}, Busy,
			`build_requests`},
		{"P2 not in any cell yet", []func(*Evidence){noRow, buildRequest}, Busy, `about to be built`},
		{"P2 not in any cell for 3 minutes", []func(*Evidence){noRow, buildRequest, requested(3 * time.Minute)}, Busy,
			`written at 2026-01-02 03:01:05, 3m0s ago, .*about to be built; after min_age \(5m0s\)`},
		{"P2 not in any cell for 20 days, and no mapping", []func(*Evidence){noRow, noMapping, buildRequest, requested(480 * time.Hour)}, Lost,
			`build_requests has a row, written at .*, 480h0m0s ago: .*forgotten`},
		{"P3 a migration under way", []func(*Evidence){migration("migrating", time.Hour)}, Busy,
			`migrations\.status = migrating \(m\), written at 2026-01-02 02:04:05, 1h0m0s ago: a move .*allow_stuck_migration: true`},
		{"P3 VERIFY_RESIZE", []func(*Evidence){vmState("resized"), migration("finished", 48*time.Hour)}, Busy,
			`status = finished .*, 48h0m0s ago: .*confirmation: openstack server resize confirm 6695eb01-\S*, or revert$`},
		{"P3 a dead and a living migration", []func(*Evidence){migration("error", 0), migration("queued", 0)}, Busy, `queued`},
		{"P3 a status that no release has yet", []func(*Evidence){migration("levitating", 0)}, Busy, `levitating`},
		{"P3 no status at all", []func(*Evidence){migration("", 0)}, Busy, `status = NULL`},
		{"P8 hidden", []func(*Evidence){row(func(r *Row) { r.Hidden = true })}, Busy,
			`hidden = true.*, 1h0m0s ago\n.*openstack server resize confirm 6695eb01.*set hidden = 0`},
		{"P8 hidden and deleted", []func(*Evidence){deleted(43), row(func(r *Row) { r.Hidden = true })}, Busy, `hidden`},
		{"P8 in two cells", []func(*Evidence){func(e *Evidence) { e.Cells[0].Row = &Row{ID: 7, Hidden: true} }}, Busy,
			`cell0: instances\.id = 7.*\ncell1: instances\.id = 43.*, 1h0m0s ago: .*\n.*openstack server resize confirm 6695eb01`},
		{"two reasons to wait", []func(*Evidence){task("rebuilding"), migration("running", 0)}, Busy, `rebuilding.*\n.*running`},

		{"D1 deleted = 1", []func(*Evidence){deleted(1), vmState("deleted")}, Zombie, `instances\.deleted = 1: neither 0 nor the row's id 43`},
		{"D1 deleted = 1 on an active row", []func(*Evidence){deleted(1), vmState("active")}, Zombie, `deleted = 1`},
		{"D1 deleted = -1", []func(*Evidence){deleted(-1)}, Zombie, `deleted = -1`},
		{"D1 with a task", []func(*Evidence){deleted(1), task("deleting"), updated(0)}, Zombie, `deleted = 1`},
		{"D1 with a migration from long ago", []func(*Evidence){deleted(1), migration("migrating", time.Hour)}, Zombie, `deleted = 1`},
		{"D1 P3 with a migration that goes on", []func(*Evidence){deleted(1), migration("migrating", time.Second)}, Busy, `migrating`},
		{"D1 another id's value", []func(*Evidence){deleted(42)}, Zombie, `deleted = 42`},

		{"deleted = id", []func(*Evidence){deleted(43), vmState("deleted")}, Deleted, `deleted = 43: it is the row's id`},
		{"D1 the row with id 1", []func(*Evidence){row(func(r *Row) { r.ID = 1 }), deleted(1)}, Deleted, `deleted = 1`},
		{"D2 with living children", []func(*Evidence){deleted(43),
			func(e *Evidence) { e.Cells[1].Leftovers = map[string]int{"tags": 1, "migrations": 2} }}, Deleted, `left: migrations 2, tags 1`},
		{"D6 not queued for delete", []func(*Evidence){deleted(43)}, Deleted, `queued_for_delete = 0`},
		{"D10 in the future", []func(*Evidence){deleted(43), row(func(r *Row) { r.DeletedAt = now.Add(time.Hour) })}, Deleted,
			`deleted_at = 2026-01-02 04:04:05`},

		{"archived", []func(*Evidence){archived}, Archived, `shadow_instances has the row`},
		{"archived, the mapping forgotten", []func(*Evidence){archived, func(e *Evidence) { e.Mapping = nil }}, Archived, `shadow_instances`},
		{"absent", []func(*Evidence){noRow, noMapping}, Absent, `any of 2 cells$`},
		{"lost, the mapping is left", []func(*Evidence){noRow}, Lost, `any of 2 cells\nnova_api: instance_mappings still has a row$`},
		{"lost, the request spec is left", []func(*Evidence){noRow, noMapping, requestSpec}, Lost,
			`any of 2 cells\nnova_api: request_specs still has a row$`},
		{"lost, a migration is left", []func(*Evidence){noRow, noMapping, migration("done", time.Hour)}, Lost,
			`any of 2 cells\ncell1: migrations still has rows: 1$`},
		{"lost, a member of a server group is left", []func(*Evidence){noRow, noMapping, func(e *Evidence) { e.GroupMember = true }}, Lost,
			`any of 2 cells\nnova_api: instance_group_member still has a row$`},
		{"lost, rows beside its own are left", []func(*Evidence){noRow, noMapping,
			func(e *Evidence) { e.Cells[1].Leftovers = map[string]int{"tags": 2} }}, Lost, `cell1: rows are left beside no row of the instance: tags 2$`},
		{"lost, and a migration goes on", []func(*Evidence){noRow, migration("migrating", time.Second)}, Busy, `migrating`},
		{"K13 a build request of long ago", []func(*Evidence){noRow, noMapping, buildRequest, requested(20 * 24 * time.Hour)}, Lost,
			`build_requests has a row, written at 2025-12-13 03:04:05`},
		{"K13 a build request that is not older than what the caller wrote",
			[]func(*Evidence){noRow, noMapping, buildRequest, requested(time.Minute), unchangedSince(0)}, Busy, `about to be built`},
		{"a mapping of a moment ago without a cell: its build request was taken by a delete, while conductor is at work", []func(*Evidence){noRow,
			func(e *Evidence) { e.Now, e.Mapping = now, &Mapping{CreatedAt: now.Add(-time.Second)} }}, Busy,
			`instance_mappings has a row, written at 2026-01-02 03:04:04, .*about to be built`},
		{"a mapping without a cell from long ago", []func(*Evidence){noRow,
			func(e *Evidence) { e.Now, e.Mapping = now, &Mapping{CreatedAt: now.Add(-time.Hour)} }}, Lost, `instance_mappings still has a row`},
		{"a mapping of a moment ago with a cell: that had the row before", []func(*Evidence){noRow,
			func(e *Evidence) { e.Now, e.Mapping.CreatedAt = now, now.Add(-time.Second) }}, Lost, `instance_mappings still has a row`},
		{"lost, a migration is left that was never finished", []func(*Evidence){noRow, noMapping, migration("migrating", time.Hour)}, Lost,
			`migrations still has rows`},
		{"archived, and what else is left is told", []func(*Evidence){archived, requestSpec, migration("done", time.Hour)}, Archived,
			`^cell1: shadow_instances has the row, instances has none\nnova_api: instance_mappings .*\nnova_api: request_specs .*\ncell1: migrations `},
		{"a request spec that an archived instance would have lost", []func(*Evidence){requestSpec}, Stuck, `error`},

		{"D7 no mapping", []func(*Evidence){func(e *Evidence) { e.Mapping = nil }}, Stuck, `instance_mappings has no row`},
		{"D7 a mapping without a cell", []func(*Evidence){func(e *Evidence) { e.Mapping = &Mapping{} }}, Stuck, `cell_id = NULL.*cell1`},
		{"D7 an active one without a mapping", []func(*Evidence){vmState("active"), func(e *Evidence) { e.Mapping = nil }}, Live,
			`active.*\n.*map_instances`},
		{"P4 an evacuated one", []func(*Evidence){vmState("active"), evacuatedFrom("compute2")}, Live,
			`status = done \(m\): evacuated from compute2, where the next start`},
		{"P4 an evacuated one that is deleted", []func(*Evidence){deleted(43), evacuatedFrom("compute2")}, Deleted,
			`as Nova deletes\n[^\n]*queued_for_delete = 0$`},
		{"X14 locked and stuck", []func(*Evidence){row(func(r *Row) { r.Locked = true })}, Stuck,
			`locked = true: somebody locked the instance: .*unlock.*allow_locked`},
		{"X14 locked with a reason, and deleted by hand", []func(*Evidence){deleted(1), locked("legal\nhold")}, Zombie,
			`\(locked_reason: "legal\\nhold"\): ask them`},
		{"protected and stuck", []func(*Evidence){row(func(r *Row) { r.DisableTerminate = true })}, Stuck, `disable_terminate = true`},

		{"P1 a cell is down", []func(*Evidence){func(e *Evidence) { e.Cells[0].Failure = "connection refused" }}, Unknown,
			`cell0: the cell could not be read: connection refused`},
		{"P1 the instance's own cell is down", []func(*Evidence){noRow, func(e *Evidence) { e.Cells[1].Failure = "timeout" }}, Unknown,
			`cell1.*timeout`},
		{"P1 both are down: both are said", []func(*Evidence){noRow, func(e *Evidence) { e.Cells[0].Failure, e.Cells[1].Failure = "a", "b" }},
			Unknown, `cell0.*a\ncell1.*b`},
		{"P1 T7 there are no cells", []func(*Evidence){func(e *Evidence) { e.Cells = nil }}, Unknown, `cell_mappings has no rows`},
		{"the mapping's cell does not exist", []func(*Evidence){noRow, func(e *Evidence) { e.Mapping.CellKnown = false }}, Unknown,
			`cell_id names a cell`},
	} {
		t.Run(test.name, func(t *testing.T) {
			evidence := base()
			for _, fact := range test.facts {
				fact(&evidence)
			}
			got := Judge(evidence)
			if got.Verdict != test.want {
				t.Errorf("got %s, want %s: %v", got.Verdict, test.want, got.Reasons)
			}
			if reasons := strings.Join(got.Reasons, "\n"); !regexp.MustCompile(test.reasons).MatchString(reasons) {
				t.Errorf("reasons %q do not match %q", reasons, test.reasons)
			}
		})
	}
}

func TestAConsentTakesAStuckMigrationForDeadAndNoOther(t *testing.T) {
	const days = 72 * time.Hour
	with := func(facts ...func(*Evidence)) []func(*Evidence) { return append(facts, consented) }
	anyAge := func(e *Evidence) { e.MinAge = 0 }
	ours := func(e *Evidence) { e.UnchangedSince = now }
	for _, test := range []struct {
		name    string
		facts   []func(*Evidence)
		want    Verdict
		reasons string
	}{
		{"without consent", []func(*Evidence){migration("running", days)}, Busy, `72h0m0s ago: .*allow_stuck_migration: true takes it for dead`},
		{"a running one", with(migration("running", days)), Stuck, `running \(m\), .* 72h0m0s ago: taken for dead`},
		{"a queued one", with(migration("queued", days)), Stuck, `queued`},
		{"one that prepares", with(migration("preparing", days)), Stuck, `preparing`},
		{"one in a status that no release has yet", with(migration("levitating", days)), Stuck, `levitating`},
		{"a resize that waits for a confirmation which Nova would not take", with(migration("finished", days)), Stuck, `finished`},
		{"one that is exactly min_age old", with(migration("running", 5*time.Minute)), Stuck, `running`},
		{"its delete got stuck as well", with(migration("running", days), task("deleting")), Stuck, `running`},
		{"deleted as a state", with(migration("running", days), vmState("deleted")), Stuck, `running`},
		{"our own delete wrote the row", with(migration("running", days), task("deleting"), updated(time.Second), ours), Stuck, `running`},
		{"two of them", with(migration("running", days), migration("queued", days)), Stuck, `running.*\n.*queued`},

		{"one that was written a minute ago", with(migration("running", time.Minute)), Busy, `1m0s ago: .*only when nothing was written`},
		{"one of two was", with(migration("running", days), migration("running", time.Minute)), Busy, `^[^\n]*1m0s ago[^\n]*$`},
		{"one that was written in the future", with(migration("running", -days)), Busy, `running`},
		{"one without a time", with(func(e *Evidence) { e.Cells[1].Migrations = []Migration{{UUID: "m", ID: 1, Status: "running"}} }), Busy,
			`written at NULL`},
		{"the database tells no time", with(migration("running", days), func(e *Evidence) { e.Cells[1].Now = time.Time{} }), Busy, `running`},
		{"min_age 0, as it runs", with(migration("running", 5*time.Second), anyAge), Busy, `at least 1m0s`},
		{"min_age 0, long ago", with(migration("running", days), updated(time.Hour), anyAge), Stuck, `running`},
		{"its row was written a moment ago, as by a reset or by who migrates it", with(migration("running", days), updated(time.Second)), Busy,
			`running`},
		{"what we wrote excuses our row, and no migration", with(migration("running", time.Second), ours), Busy, `running`},
		{"of an active instance", with(migration("running", days), vmState("active")), Busy,
			`openstack server set --state error 6695eb01-\S*, and then allow_stuck_migration: true`},
		{"of an active one in its task", with(liveMigration("running", days), vmState("active"), task("migrating")), Busy,
			`openstack server migration abort 6695eb01-\S* 1;`},
		{"of one in ERROR with a task", with(migration("running", days), task("migrating")), Busy, `running`},
		{"of a paused one", with(migration("running", days), vmState("paused")), Busy, `running`},
		{"VERIFY_RESIZE, for long", with(migration("finished", days), vmState("resized")), Busy, `resize confirm`},
		{"ERROR since it was in VERIFY_RESIZE, in another task", with(migration("finished", days), task("rebuilding")), Busy,
			`only in VERIFY_RESIZE, as it does a revert; if no host works on it any more: openstack server set --state error`},
		{"being built", with(migration("running", days), vmState("building")), Busy, `being built`},
		{"of one that is hidden", with(migration("running", days), row(func(r *Row) { r.Hidden = true })), Busy, `hidden`},
		{"of one that was deleted by hand a moment after it began", with(migration("running", time.Second), deleted(1), ours), Busy,
			`counts as over when nothing was written`},
	} {
		t.Run(test.name, func(t *testing.T) {
			evidence := base()
			for _, fact := range test.facts {
				fact(&evidence)
			}
			got := Judge(evidence)
			if reasons := strings.Join(got.Reasons, "\n"); got.Verdict != test.want || !regexp.MustCompile(test.reasons).MatchString(reasons) {
				t.Errorf("got %s, want %s: %q does not match %q", got.Verdict, test.want, reasons, test.reasons)
			}
			for _, migration := range evidence.Cells[1].Migrations {
				if got.Over(migration) != (test.want == Stuck) {
					t.Errorf("over is %t: %+v", got.Over(migration), migration)
				}
			}
		})
	}
}

func untimed(r *Row) { r.UpdatedAt, r.CreatedAt = time.Time{}, time.Time{} }

// liveMigration is one of a guest that runs.
func liveMigration(status string, ago time.Duration) func(*Evidence) {
	return func(e *Evidence) {
		migration(status, ago)(e)
		e.Cells[1].Migrations[0].Type = "live-migration"
	}
}

func TestAConsentGivesUpASoftDeletedInstanceThatNobodyWrote(t *testing.T) {
	softDelete := vmState("soft-delete")
	for name, test := range map[string]struct {
		facts []func(*Evidence)
		want  Verdict
	}{
		"without consent":           {[]func(*Evidence){softDelete}, Live},
		"with consent":              {[]func(*Evidence){softDelete, consented}, Stuck},
		"deleted a moment ago":      {[]func(*Evidence){softDelete, consented, updated(time.Minute)}, Live},
		"its owner restores it":     {[]func(*Evidence){softDelete, consented, task("restoring")}, Busy},
		"it is restored":            {[]func(*Evidence){vmState("active"), consented}, Live},
		"it moves":                  {[]func(*Evidence){softDelete, consented, migration("running", time.Hour)}, Busy},
		"the database has no time":  {[]func(*Evidence){softDelete, consented, func(e *Evidence) { e.Cells[1].Now = time.Time{} }}, Live},
		"nothing tells its age":     {[]func(*Evidence){softDelete, consented, row(untimed)}, Live},
		"our own delete was no use": {[]func(*Evidence){softDelete, consented, updated(0), func(e *Evidence) { e.UnchangedSince = now }}, Stuck},
	} {
		t.Run(name, func(t *testing.T) {
			evidence := base()
			for _, fact := range test.facts {
				fact(&evidence)
			}
			if got := Judge(evidence); got.Verdict != test.want {
				t.Errorf("got %+v, want %s", got, test.want)
			}
		})
	}
	evidence := base()
	for _, fact := range []func(*Evidence){softDelete, consented, locked("")} {
		fact(&evidence)
	}
	if evidence.AllowLocked = false; !Judge(evidence).Refuses() {
		t.Error("one consent stands for another")
	}
}

// Whatever is consented to, what lives or is worked on is left alone.
func TestNoConsentMakesAnOrphanOfWhatIsAlive(t *testing.T) {
	for _, chapter := range chapters() {
		for _, line := range chapter.lines {
			before, after := base(), base()
			for _, fact := range line.facts {
				fact(&before)
				fact(&after)
			}
			consented(&after)
			was, is := Judge(before).Verdict, Judge(after).Verdict
			row := before.Cells
			mayChange := len(row) > 1 && row[1].Row != nil && (row[1].Row.VMState == "soft-delete" ||
				row[1].Row.VMState == "error" && row[1].Row.TaskState == "" && len(row[1].Migrations) > 0)
			if was != is && !mayChange {
				t.Errorf("%s: %s: was %s, and with all consents %s", chapter.title, line.state, was, is)
			}
		}
	}
}

func TestAMigrationIsDeadOnlyInItsLastStates(t *testing.T) {
	dead := map[string]bool{"error": true, "failed": true, "cancelled": true, "completed": true, "done": true, "confirmed": true,
		"reverted": true}
	for _, status := range []string{"error", "failed", "cancelled", "completed", "done", "confirmed", "reverted",
		"finished", "accepted", "queued", "preparing", "running", "pre-migrating", "migrating", "post-migrating", "confirming", "reverting",
		"Error", ""} {
		if got := (Migration{ID: 5, Status: status}).Dead(); got != dead[status] {
			t.Errorf("%q: got %v", status, got)
		}
	}
	for value, want := range map[int64]bool{0: false, 1: false, 5: true} {
		if got := (Migration{ID: 5, Deleted: value, Status: "migrating"}).Dead(); got != want {
			t.Errorf("deleted = %d: got %v", value, got)
		}
	}
}

func TestWhichVerdictsRefuse(t *testing.T) {
	for verdict, want := range map[Verdict]string{
		Live: "true false", Busy: "true false", Unknown: "true false", Stuck: "false false", Absent: "false false", Lost: "false false",
		Zombie: "false true", Deleted: "false true", Archived: "false true",
	} {
		if got := fmt.Sprint(verdict.Refuses(), verdict.Gone()); got != want {
			t.Errorf("%s: refuses and gone are %s, want %s", verdict, got, want)
		}
	}
}

func TestWhatSomebodyForbadeStopsEveryStep(t *testing.T) {
	protected := row(func(r *Row) { r.DisableTerminate = true })
	allowed := func(e *Evidence) { e.AllowLocked = true }
	for name, test := range map[string]struct {
		facts   []func(*Evidence)
		refuses bool
	}{
		"stuck":                                 {nil, false},
		"locked":                                {[]func(*Evidence){locked("legal hold")}, true},
		"locked, with consent":                  {[]func(*Evidence){locked("legal hold"), allowed}, false},
		"locked, and deleted by hand":           {[]func(*Evidence){deleted(1), locked("")}, true},
		"locked, and deleted as Nova does":      {[]func(*Evidence){deleted(43), locked("")}, false},
		"protected":                             {[]func(*Evidence){protected}, true},
		"protected, with consent to the locked": {[]func(*Evidence){protected, locked(""), allowed}, true},
		"alive":                                 {[]func(*Evidence){vmState("active")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			evidence := base()
			for _, fact := range test.facts {
				fact(&evidence)
			}
			if got := Judge(evidence); got.Refuses() != test.refuses {
				t.Errorf("refuses: %t, want %t: %+v", got.Refuses(), test.refuses, got)
			}
		})
	}
}

func TestWhatTheCallerItselfWroteIsNoSignOfLife(t *testing.T) {
	since := func(at time.Time) func(*Evidence) { return func(e *Evidence) { e.UnchangedSince = at } }
	for name, test := range map[string]struct {
		facts []func(*Evidence)
		want  Verdict
	}{
		"written by nobody knows whom":     {nil, Busy},
		"not written since the caller did": {[]func(*Evidence){since(now.Add(-time.Second))}, Stuck},
		"written after the caller did":     {[]func(*Evidence){since(now.Add(-2 * time.Second))}, Busy},
		"another's task begun since":       {[]func(*Evidence){since(now.Add(-time.Second)), task("rebuilding")}, Busy},
		"no time in the row, so nobody's word": {[]func(*Evidence){since(now),
			row(func(r *Row) { r.UpdatedAt, r.CreatedAt = time.Time{}, time.Time{} })}, Busy},
	} {
		t.Run(name, func(t *testing.T) {
			evidence := base()
			for _, fact := range append([]func(*Evidence){task("deleting"), updated(time.Second)}, test.facts...) {
				fact(&evidence)
			}
			if got := Judge(evidence); got.Verdict != test.want {
				t.Errorf("got %+v, want %s", got, test.want)
			}
		})
	}
}

func TestAnAgeIsToldInItsLargestUnit(t *testing.T) {
	for idle, want := range map[time.Duration]string{-time.Minute: "-1m0s", 900 * time.Millisecond: "1s", 59 * time.Second: "59s",
		179 * time.Second: "2m0s", 2*time.Hour + 57*time.Second: "2h0m0s", 500*time.Hour - time.Second: "499h0m0s"} {
		if got := roughly(idle).String(); got != want {
			t.Errorf("%s: got %s, want %s", idle, got, want)
		}
	}
}
