package orphan

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

const document = "../../docs/verdicts.md"

// chapter is a table of the document: each line is a state, made from base.
type chapter struct {
	title, column string
	lines         []line
}

type line struct {
	state string
	facts []func(*Evidence)
}

// each makes a line of each value.
func each(fact func(string) func(*Evidence), values ...string) (lines []line) {
	for _, value := range values {
		lines = append(lines, line{"`" + value + "`", []func(*Evidence){fact(value)}})
	}
	return lines
}

func chapters() []chapter {
	active := vmState("active")
	long := func(status string) func(*Evidence) { return migration(status, 48*time.Hour) }
	return []chapter{
		// nova/compute/vm_states.py
		{"The instance's state", "`vm_state`, with `deleted = 0`, no task and no migration", append(
			each(vmState, "active", "building", "paused", "suspended", "stopped", "rescued", "resized", "soft-delete", "shelved",
				"shelved_offloaded", "error", "deleted"),
			line{"`soft-delete`, with `allow_soft_deleted`", []func(*Evidence){vmState("soft-delete"), consented}},
			line{"`deleted`, since a moment", []func(*Evidence){vmState("deleted"), updated(time.Second)}},
			line{"`active`, and locked", []func(*Evidence){active, row(func(r *Row) { r.Locked = true })}},
			line{"`error`, and locked", []func(*Evidence){row(func(r *Row) { r.Locked = true })}},
			line{"`error`, and protected (`disable_terminate`)", []func(*Evidence){row(func(r *Row) { r.DisableTerminate = true })}},
			line{"one that no release has yet", []func(*Evidence){vmState("levitating")}},
		)},
		{"Its task", "`task_state`", append(
			append([]line{
				{"`deleting` for longer than `min_age`", []func(*Evidence){active, task("deleting")}},
				{"`deleting`, younger than `min_age`", []func(*Evidence){active, task("deleting"), updated(time.Minute)}},
				{"`soft-deleting` for longer than `min_age`", []func(*Evidence){active, task("soft-deleting")}},
			}, each(task, "scheduling", "networking", "block_device_mapping", "spawning", "image_snapshot", "resize_prep", "resize_migrating",
				"resize_finish", "resize_reverting",
				"resize_confirming", "rebooting", "rebuilding", "migrating", "powering-on", "powering-off", "rescuing", "suspending", "resuming",
				"pausing", "shelving",
				"shelving_offloading", "unshelving", "restoring")...),
			line{"one that no release has yet", []func(*Evidence){task("levitating")}},
		)},
		{"Its deletion", "`deleted`, `deleted_at`", []line{
			{"the row's id", []func(*Evidence){deleted(43)}},
			{"the row's id, and rows of other tables are left",
				[]func(*Evidence){deleted(43), func(e *Evidence) { e.Cells[1].Leftovers = map[string]int{"block_device_mapping": 1} }}},
			{"the row's id, without a date", []func(*Evidence){deleted(43), row(func(r *Row) { r.DeletedAt = time.Time{} })}},
			{"`1`, by hand", []func(*Evidence){deleted(1)}},
			{"`1`, by hand, on a row with `vm_state = active`", []func(*Evidence){deleted(1), active}},
			{"`1`, by hand, and a migration goes on", []func(*Evidence){deleted(1), migration("migrating", time.Second)}},
			{"`1`, by hand, and a migration stopped in its middle long ago", []func(*Evidence){deleted(1), long("migrating")}},
			{"archived (only in the shadow tables)", []func(*Evidence){archived}},
			{"hidden", []func(*Evidence){row(func(r *Row) { r.Hidden = true })}},
			{"hidden and deleted", []func(*Evidence){deleted(43), row(func(r *Row) { r.Hidden = true })}},
		}},
		// nova/objects/migration.py, nova/compute/manager.py
		{"Its migrations", "`migrations.status`, of an instance in `error`", append(
			each(long, "accepted", "queued", "preparing", "running", "pre-migrating", "migrating", "post-migrating", "finished", "confirming",
				"reverting",
				"confirmed", "reverted", "done", "completed", "cancelled", "failed", "error"),
			line{"one that no release has yet", []func(*Evidence){long("levitating")}},
			line{"`running`, with `allow_stuck_migration`", []func(*Evidence){long("running"), consented}},
			line{"`finished`, with `allow_stuck_migration`", []func(*Evidence){long("finished"), consented}},
			line{"`running`, written a minute ago, with `allow_stuck_migration`", []func(*Evidence){migration("running", time.Minute), consented}},
			line{"`finished`, of a resized instance (VERIFY_RESIZE)", []func(*Evidence){vmState("resized"), long("finished")}},
		)},
		{"The API database", "`build_requests`, `instance_mappings`, of an instance in `error`", []line{
			{"a build request, no row in any cell", []func(*Evidence){noRow, buildRequest, requested(time.Minute)}},
			{"a build request, no row in any cell, for 20 days", []func(*Evidence){noRow, buildRequest, requested(480 * time.Hour)}},
			{"a mapping without a cell, written a moment ago, no row in any cell", []func(*Evidence){noRow,
				func(e *Evidence) { e.Now, e.Mapping = now, &Mapping{CreatedAt: now.Add(-time.Second)} }}},
			{"a build request, no host, failed a moment ago", []func(*Evidence){noHost, buildRequest, updated(time.Second)}},
			{"a build request, no host, failed long ago", []func(*Evidence){noHost, buildRequest}},
			{"a build request, of an instance that has a host", []func(*Evidence){buildRequest}},
			{"no mapping", []func(*Evidence){func(e *Evidence) { e.Mapping = nil }}},
			{"a mapping without a cell", []func(*Evidence){func(e *Evidence) { e.Mapping = &Mapping{} }}},
			{"a mapping to a cell that there is not", []func(*Evidence){func(e *Evidence) { e.Mapping.CellKnown = false }}},
			{"a mapping, no row in any cell", []func(*Evidence){noRow}},
			{"a request spec, no mapping, no row in any cell", []func(*Evidence){noRow, noMapping, requestSpec}},
			{"a migration, no mapping, no row in any cell", []func(*Evidence){noRow, noMapping, long("done")}},
			{"a member of a server group, no mapping, no row in any cell",
				[]func(*Evidence){noRow, noMapping, func(e *Evidence) { e.GroupMember = true }}},
			{"rows of other tables, no mapping, no row in any cell", []func(*Evidence){noRow, noMapping,
				func(e *Evidence) { e.Cells[1].Leftovers = map[string]int{"block_device_mapping": 1} }}},
			{"nothing anywhere", []func(*Evidence){noRow, noMapping}},
		}},
		{"The cells", "what was read", []line{
			{"a cell does not answer, the instance is in another one",
				[]func(*Evidence){func(e *Evidence) { e.Cells[0].Failure = "no answer within 30s" }}},
			{"a cell does not answer, no other one has the instance",
				[]func(*Evidence){noRow, func(e *Evidence) { e.Cells[1].Failure = "no answer within 30s" }}},
			{"two cells have the instance", []func(*Evidence){func(e *Evidence) { e.Cells[0].Row = &Row{ID: 7, Hidden: true} }}},
			{"there are no cells", []func(*Evidence){func(e *Evidence) { e.Cells = nil }}},
		}},
	}
}

const preface = `# The verdicts
What the modules make of an instance, by what Nova's databases say about it. The verdicts are the code's own:
a test compares this file with ` + "`internal/orphan`" + ` (` + "`go test ./internal/orphan -update`" + ` writes it again).

| verdict | what it means | what ` + "`nova_instance_purge`" + ` does |
|---|---|---|
| ` + "`live`" + ` | Nova looks after the instance | refuses |
| ` + "`busy`" + ` | something is under way, or was a moment ago | refuses |
| ` + "`unknown`" + ` | a database could not be read in full | refuses |
| ` + "`stuck`" + ` | broken or half deleted, as no API call repairs it | finishes the deletion |
| ` + "`zombie`" + ` | deleted by hand: Nova sees it neither alive nor deleted | finishes the deletion |
| ` + "`deleted`" + ` | deleted as Nova does it | finishes what was left out, or does nothing |
| ` + "`archived`" + ` | only in the shadow tables | removes what archiving left elsewhere |
| ` + "`lost`" + ` | no cell has it, but something that is left proves that Nova knew it | removes what is left |
| ` + "`absent`" + ` | no trace of it, and all were read | nothing |
`

func TestTheDocumentSaysWhatTheJudgeSays(t *testing.T) {
	var text strings.Builder
	text.WriteString(preface)
	states := 0
	for _, chapter := range chapters() {
		fmt.Fprintf(&text, "\n## %s\n| %s | verdict | reasons |\n|---|---|---|\n", chapter.title, chapter.column)
		for _, line := range chapter.lines {
			evidence := base()
			for _, fact := range line.facts {
				fact(&evidence)
			}
			judgement := Judge(evidence)
			fmt.Fprintf(&text, "| %s | `%s` | %s |\n", line.state, judgement.Verdict, strings.Join(judgement.Reasons, "<br>"))
			states++
		}
	}
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(document, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if string(content) != text.String() {
		t.Errorf("%s is not what the judge says: go test ./internal/orphan -update writes it again", document)
	}
	t.Logf("states with their verdict in the document: %d", states)
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write "+document)
	os.Exit(m.Run())
}
