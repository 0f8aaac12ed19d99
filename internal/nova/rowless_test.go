package nova

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rowless is an instance of which two cells have something, and none a row.
func rowless() Finding {
	left := func(id string) Record {
		return Record{
			"instances": {Rows: []Row{}}, "tags": {Rows: []Row{text("resource_id", "u", "tag", id)}},
			"instance_extra":   {columns, []Row{text("id", id, "deleted", "0").with(Row{"deleted_at": {Null: true}})}},
			"instance_actions": {Rows: []Row{text("id", "1")}}, "share_mapping": {Rows: []Row{text("id", "8", "share_id", "s")}},
		}
	}
	return Finding{UUID: "u", Now: purgedAt, API: Record{
		"instance_mappings": {Rows: []Row{text("id", "3", "queued_for_delete", "0")}}, "build_requests": {Rows: []Row{}},
		"request_specs": {Rows: []Row{text("id", "4")}}, "instance_group_member": {Rows: []Row{text("id", "5")}},
	}, Cells: []Cell{{UUID: "c0", Name: "cell0"}, {UUID: "c1", Name: "cell1", Left: left("6")}, {UUID: "c2", Name: "cell2", Left: left("7")}}}
}

func steps(changes Changes) (steps []string) {
	for _, change := range changes.All() {
		steps = append(steps, change.Steps()...)
	}
	return steps
}

func TestWhereNoCellHasARowWhatIsLeftGoesAndThenWhatArchivingTakes(t *testing.T) {
	f := rowless()
	deletion := f.Deletion(Deletion{At: purgedAt, ShareMappings: true})
	var want []string
	for _, cell := range []string{"cell1", "cell2"} {
		want = append(want, cell+": instance_extra: delete 1 row as Nova does", cell+": share_mapping: remove 1 row",
			cell+": tags: delete 1 row as Nova does")
	}
	for _, table := range []string{"instance_group_member", "instance_mappings", "request_specs"} {
		want = append(want, "nova_api: "+table+": remove 1 row")
	}
	if diff := cmp.Diff(want, steps(deletion)); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(steps(f.Deletion(Deletion{At: purgedAt})), slices.DeleteFunc(want, func(step string) bool {
		return strings.Contains(step, "share_mapping")
	})) {
		t.Error("share_mapping goes unasked")
	}
	if diff := cmp.Diff(rowless(), f, cmp.AllowUnexported(Cell{})); diff != "" {
		t.Errorf("what was found is changed: %s", diff)
	}
}

func TestNothingGoesOfAnInstanceThatMayHaveARow(t *testing.T) {
	for name, change := range map[string]func(*Finding){
		"a cell was not read": func(f *Finding) { f.Cells[0].Failure = errors.New("no route") },
		"two cells have one": func(f *Finding) {
			f.Cells[0].Record, f.Cells[1].Record = lived().Rows, lived().Rows
		},
		"there are no cells": func(f *Finding) { f.Cells = nil },
	} {
		f := rowless()
		change(&f)
		if got := steps(f.Deletion(Deletion{At: purgedAt})); len(got) > 0 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// purged is the instance as its deletion leaves it, and what was saved before.
func purged() (Finding, Saved) {
	f := rowless()
	saved, deletion := f.Saved(purgedAt), f.Deletion(Deletion{At: purgedAt})
	f.API = deletion.API.Target
	for _, change := range deletion.Left {
		at := slices.IndexFunc(f.Cells, func(c Cell) bool { return c.UUID == change.cell.UUID })
		f.Cells[at].Left = maps.Clone(f.Cells[at].Left)
		maps.Copy(f.Cells[at].Left, change.Target)
	}
	return f, saved
}

func TestWhatWentOfAnInstanceWithoutARowComesBack(t *testing.T) {
	f, saved := purged()
	r := f.Restoration(saved, Elsewhere{})
	want := []string{
		"cell1: instance_extra: put back the values of 1 row", "cell1: tags: insert 1 row again",
		"cell2: instance_extra: put back the values of 1 row", "cell2: tags: insert 1 row again",
		"nova_api: instance_group_member: insert 1 row again", "nova_api: instance_mappings: insert 1 row again",
		"nova_api: request_specs: insert 1 row again",
	}
	if diff := cmp.Diff(want, steps(r.Changes)); diff != "" || len(r.Conflicts)+len(r.Notes) > 0 {
		t.Errorf("%s; conflicts %q, notes %q", diff, r.Conflicts, r.Notes)
	}
	if r := rowless().Restoration(saved, Elsewhere{}); len(r.Conflicts)+len(r.All()) > 0 {
		t.Errorf("it is as it was: %q, %q", r.Conflicts, steps(r.Changes))
	}
}

func TestWhatHasBecomeOfAnInstanceWithoutARowSinceSpeaksAgainstItsRestoration(t *testing.T) {
	for name, test := range map[string]struct {
		change         func(*Finding)
		conflict, note string
	}{
		"it has a row again": {func(f *Finding) { f.Cells[2].Record = lived().Rows }, "cell2: instances has a row of the instance by now", ""},
		"it has a mapping again": {func(f *Finding) { f.API["instance_mappings"] = Table{Rows: []Row{text("id", "9")}} },
			"nova_api: instance_mappings: row 9 was added since", ""},
		"a child row is gone": {func(f *Finding) { f.Cells[1].Left["instance_extra"] = Table{columns, nil} },
			"cell1: instance_extra: row 6 is gone since", ""},
		"a child row is new": {func(f *Finding) { f.Cells[1].Left["tags"] = Table{Rows: []Row{text("resource_id", "u", "tag", "z")}} },
			"was added since", ""},
		"a cell is gone":   {func(f *Finding) { f.Cells = f.Cells[:2] }, "cell c2, which had rows of the instance, is gone since", ""},
		"shares are gone":  {func(f *Finding) { delete(f.Cells[1].Left, "share_mapping") }, "", "1 of 1 rows are gone since"},
		"nothing happened": {func(*Finding) {}, "", ""},
	} {
		f, saved := purged()
		test.change(&f)
		r := f.Restoration(saved, Elsewhere{})
		conflicts, notes := strings.Join(r.Conflicts, "; "), strings.Join(r.Notes, "; ")
		if (conflicts == "") != (test.conflict == "") || !strings.Contains(conflicts, test.conflict) ||
			(notes == "") != (test.note == "") || !strings.Contains(notes, test.note) {
			t.Errorf("%s: conflicts %q, notes %q", name, conflicts, notes)
		}
	}
}

// having is a database that has a row of the instance.
type having struct{ server }

func (h *having) Connect(context.Context) (driver.Conn, error) { return h, nil }

func (h *having) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	return &oneRow{}, nil
}

type oneRow struct {
	noRows
	read bool
}

func (*oneRow) Columns() []string                     { return []string{"id"} }
func (*oneRow) ColumnTypeDatabaseTypeName(int) string { return "INT" }

func (r *oneRow) Next(values []driver.Value) error {
	if r.read {
		return io.EOF
	}
	r.read, values[0] = true, "43"
	return nil
}

func TestTheTracesStayOfAnInstanceWhoseRowHasComeBackOrMayHave(t *testing.T) {
	has, hasNot, unread := Cell{Name: "has", db: sql.OpenDB(&having{})}, Cell{Name: "hasNot", db: sql.OpenDB(&server{})},
		Cell{Name: "unread", Failure: errors.New("no route")}
	for _, test := range []struct {
		cells []Cell
		want  error
		text  string
	}{
		{[]Cell{hasNot}, nil, ""},
		{[]Cell{hasNot, has}, ErrChanged, "has: instances has a row of it"},
		{[]Cell{hasNot, unread}, unread.Failure, "look whether unread has a row of it: no route"},
	} {
		api, saved := &server{}, false
		databases := Databases{api: sql.OpenDB(api), cells: test.cells}
		err := databases.Apply(t.Context(), Change{uuid: "u", verb: "delete", rowless: true}, func() error { saved = true; return nil })
		if !errors.Is(err, test.want) || test.want != nil && !strings.Contains(err.Error(), test.text) ||
			saved != (test.want == nil) || slices.Contains(api.statements, "COMMIT") != (test.want == nil) {
			t.Errorf("%v: %v, %q", test.cells, err, api.statements)
		}
	}
}
