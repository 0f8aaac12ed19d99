package nova

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	columns = map[string]string{"id": "INT", "deleted": "INT", "deleted_at": "DATETIME", "vm_state": "VARCHAR", "host": "VARCHAR",
		"cleaned": "INT", "updated_at": "DATETIME"}
	purgedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// lived is what was saved of an instance in ERROR.
func lived() Saved {
	null := Value{Null: true}
	return Saved{
		At:   purgedAt,
		Cell: CellName{UUID: "cell-uuid", Name: "cell1"},
		Rows: Record{
			"instances": {columns, []Row{{"id": {Text: "43"}, "uuid": {Text: "u"}, "deleted": {Text: "0"}, "deleted_at": null,
				"vm_state": {Text: "error"},
				"host":     {Text: "compute1"}, "cleaned": {Text: "0"}, "updated_at": null}}},
			"instance_extra": {columns, []Row{
				{"id": {Text: "7"}, "deleted": {Text: "0"}, "deleted_at": null},
				{"id": {Text: "8"}, "deleted": {Text: "8"}, "deleted_at": {Text: "2020-01-01 00:00:00"}},
			}},
			"tags":             {map[string]string{"tag": "VARCHAR"}, []Row{{"tag": {Text: "x"}}}},
			"instance_actions": {columns, []Row{{"id": {Text: "5"}}}},
		},
		API: Record{"instance_mappings": {map[string]string{"id": "INT", "queued_for_delete": "INT", "updated_at": "DATETIME"},
			[]Row{{"id": {Text: "3"}, "queued_for_delete": {Text: "0"}, "updated_at": null}}}, "build_requests": {}},
	}
}

// found is the finding in which the cell has these rows, and the mapping is as a purge leaves it.
func found(rows Record) Finding {
	api := lived().API
	api["instance_mappings"].Rows[0]["queued_for_delete"] = Value{Text: "1"}
	return Finding{UUID: "u", API: api, Cells: []Cell{{UUID: "cell-uuid", Name: "cell1", Record: rows}}}
}

// afterPurge is what a purge leaves of the rows.
func afterPurge() Record {
	rows := lived().Rows.softDeleted(purgedAt)
	rows["instance_actions"] = lived().Rows["instance_actions"]
	return rows
}

func TestARestorationIsThePurgeTheOtherWayRound(t *testing.T) {
	r := found(afterPurge()).Restoration(lived(), Elsewhere{})
	if len(r.Conflicts) > 0 || len(r.Notes) != 2 { // its host has neither service nor node here
		t.Errorf("conflicts %q, notes %q", r.Conflicts, r.Notes)
	}
	want := []string{"cell1: instances: put back the values of 1 row", "cell1: instance_extra: put back the values of 1 row",
		"cell1: tags: insert 1 row again"}
	if diff := cmp.Diff(want, r.Cell.Steps()); diff != "" {
		t.Errorf("the cell's steps: %s", diff)
	}
	if diff := cmp.Diff([]string{"nova_api: instance_mappings: put back the values of 1 row"}, r.API.Steps()); diff != "" {
		t.Errorf("the API database's steps: %s", diff)
	}
	for table, rows := range r.Cell.Target {
		if left := changes(Record{table: lived().Rows[table]}, Record{table: rows}); len(left) > 0 {
			t.Errorf("%s would not be as it was: %+v", table, left)
		}
	}
	if diff := cmp.Diff(map[string]int{"instances": 1, "instance_extra": 1, "tags": 1}, r.Cell.Rows()); diff != "" {
		t.Errorf("rows: %s", diff)
	}
}

func TestWhatIsAsItWasNeedsNoRestoration(t *testing.T) {
	finding := found(lived().Rows)
	finding.API = lived().API
	if r := finding.Restoration(lived(), Elsewhere{}); len(r.Conflicts)+len(r.All()) > 0 {
		t.Errorf("got %+v", r)
	}
}

func TestEachRowThatIsNeitherAsItWasNorAsThePurgeLeftItIsAConflict(t *testing.T) {
	set := func(table, column, value string) func(*Finding) {
		return func(f *Finding) { f.Cells[0].Record[table].Rows[0][column] = Value{Text: value} }
	}
	for _, test := range []struct {
		name   string
		change func(*Finding)
		want   string // the conflicts, joined; "" is none
		note   string
	}{
		{"the row lives again", set("instances", "deleted", "0"), `cell1: instances: row 43: deleted = "0", the purge left "43"`, ""},
		{"it moved", set("instances", "host", "compute2"), `host = "compute2", the purge left "compute1"`, ""},
		{"another deletion", set("instances", "deleted_at", "2026-02-02 00:00:00"), "another run deleted it, or Nova", ""},
		{"a child row changed", set("instance_extra", "deleted", "0"), `instance_extra: row 7: deleted = "0"`, ""},
		{"it was reaped", set("instances", "cleaned", "1"), "", "has reaped the instance since"},
		{"it was written", set("instances", "updated_at", "2026-02-02 00:00:00"), "", ""},
		{"what belongs to it was written as it was", set("instance_extra", "updated_at", "2026-02-02 00:00:00"), "", ""},
		{"actions were added", func(f *Finding) {
			f.Cells[0].Record["instance_actions"] = Table{columns, []Row{{"id": {Text: "5"}}, {"id": {Text: "6"}}}}
		}, "", "instance_actions changed since"},
		{"it was archived", func(f *Finding) { f.Cells[0].Archived = true }, "cell1: the instance was archived since", ""},
		{"no cell has it", func(f *Finding) { f.Cells[0].Record = nil }, "cell cell1: the instance's row is gone", ""},
		{"two cells have it", func(f *Finding) { f.Cells = append(f.Cells, f.Cells[0]) }, "more than one cell", ""},
		{"another cell has it", func(f *Finding) { f.Cells[0].UUID = "other" }, "it was saved from cell cell-uuid", ""},
		{"a table is gone", func(f *Finding) { delete(f.Cells[0].Record, "tags") }, "table tags is gone since", ""},
		{"a column is gone", func(f *Finding) {
			f.Cells[0].Record["tags"] = Table{map[string]string{"label": "VARCHAR"}, nil}
		}, "column tag is gone since", ""},
		{"the mapping is gone", func(f *Finding) { f.API["instance_mappings"] = Table{f.API["instance_mappings"].Types, nil} },
			"instance_mappings: row 3 is gone since", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			finding := found(afterPurge())
			test.change(&finding)
			r := finding.Restoration(lived(), Elsewhere{})
			// Of its host nothing was read here.
			r.Notes = slices.DeleteFunc(r.Notes, func(note string) bool { return strings.Contains(note, "any more):") })
			conflicts, notes := strings.Join(r.Conflicts, "; "), strings.Join(r.Notes, "; ")
			if (conflicts == "") != (test.want == "") || !strings.Contains(conflicts, test.want) {
				t.Errorf("conflicts %q, want %q", conflicts, test.want)
			}
			if (notes == "") != (test.note == "") || !strings.Contains(notes, test.note) {
				t.Errorf("notes %q, want %q", notes, test.note)
			}
		})
	}
}

func TestABackupWithoutItsRowRestoresNothing(t *testing.T) {
	for name, change := range map[string]func(*Saved){
		"no row":  func(s *Saved) { s.Rows = nil },
		"no time": func(s *Saved) { s.At = time.Time{} },
	} {
		saved := lived()
		change(&saved)
		if r := found(afterPurge()).Restoration(saved, Elsewhere{}); len(r.Conflicts) == 0 || !r.Cell.Empty() {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestRowsThatCrossMakeWayForEachOther(t *testing.T) {
	for want, deleted := range map[bool][2]string{false: {"0", "7"}, true: {"0", "8"}} {
		step := rowChange{table: "virtual_interfaces", columns: []string{"deleted"},
			from: Row{"id": {Text: "7"}, "deleted": {Text: deleted[0]}}, to: Row{"id": {Text: "7"}, "deleted": {Text: deleted[1]}}}
		if got := step.crosses(); got != want {
			t.Errorf("%v: got %v", deleted, got)
		}
	}
}

func TestAStatementWritesOneRowAndComparesIt(t *testing.T) {
	from := Row{"id": {Text: "7"}, "deleted": {Text: "0"}, "deleted_at": {Null: true}}
	to := from.with(Row{"deleted": {Text: "7"}, "deleted_at": {Text: "2026-01-02 03:04:05"}})
	for want, step := range map[string]rowChange{
		"UPDATE t SET `deleted` = ?, `deleted_at` = ?" +
			" WHERE `id` <=> ? AND `deleted` <=> ? AND `deleted_at` <=> ? [7 2026-01-02 03:04:05 7 0 <nil>]": {
			table: "t", from: from, to: to, columns: []string{"deleted", "deleted_at"}},
		"DELETE FROM t WHERE `id` <=> ? [7]":                                         {table: "t", from: from},
		"INSERT INTO t (`deleted`, `deleted_at`, `id`) VALUES (?, ?, ?) [0 <nil> 7]": {table: "t", to: from},
		"DELETE FROM t WHERE `resource` <=> ? AND `tag` <=> ? [r x]": {table: "t",
			from: Row{"tag": {Text: "x"}, "resource": {Text: "r"}}},
	} {
		statement, args := step.statement()
		if got := fmt.Sprint(statement, " ", args); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
