package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/nova"
)

// remainder are databases with one instance of which no cell has a row.
type remainder struct {
	api      nova.Record
	left     map[string]nova.Record // by cell
	archived bool
	failure  error // of the second cell
	returned bool  // its row, into the first cell
	later    time.Duration
	// answers are what changes are answered with, one after the other; nil makes them.
	answers []func(nova.Change) error
	writes  []string
}

func row(values ...string) nova.Row {
	row := nova.Row{}
	for i := 0; i < len(values); i += 2 {
		row[values[i]] = nova.Value{Text: values[i+1]}
	}
	return row
}

func table(rows ...nova.Row) nova.Table { return nova.Table{Rows: rows} }

// lost has all that can be left.
func lost() *remainder {
	return &remainder{
		api: nova.Record{
			"instance_mappings":     table(row("id", "3", "instance_uuid", uuid, "cell_id", "2", "queued_for_delete", "0")),
			"build_requests":        table(row("id", "4", "instance_uuid", uuid, "created_at", "2026-01-01 03:04:05")),
			"request_specs":         table(row("id", "5", "instance_uuid", uuid, "spec", "{}")),
			"instance_group_member": table(row("id", "6", "instance_uuid", uuid, "group_id", "1")),
		},
		left: map[string]nova.Record{"one": {
			"instances":            table(),
			"block_device_mapping": table(row("id", "7", "instance_uuid", uuid, "deleted", "0", "volume_id", "v")),
			"migrations": table(row("id", "8", "instance_uuid", uuid, "deleted", "8", "deleted_at", "2020-01-01 00:00:00",
				"status", "done")),
			"tags":             table(row("resource_id", uuid, "tag", "x")),
			"instance_actions": table(row("id", "9", "instance_uuid", uuid, "deleted", "0")),
		}, "two": {"instances": table(), "tags": table(row("resource_id", uuid, "tag", "y"))}},
	}
}

func (r *remainder) FindAll(_ context.Context, uuids []string) (map[string]nova.Finding, error) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(r.later)
	finding := nova.Finding{UUID: uuids[0], API: maps.Clone(r.api), MappedCell: nova.Value{Null: true}, Now: now,
		RequestSpec: len(r.api["request_specs"].Rows) > 0}
	for _, mapping := range r.api["instance_mappings"].Rows {
		finding.MappedCell = mapping["cell_id"]
	}
	for i, name := range []string{"one", "two"} {
		cell := nova.Cell{ID: strconv.Itoa(i + 1), UUID: name, Name: name, Now: now}
		if left := r.left[name]; left != nil {
			cell.Left = maps.Clone(left)
		}
		if name == "two" {
			cell.Failure = r.failure
		}
		if name == "one" && r.archived {
			cell.Archived, cell.Record = true, nova.Record{"instances": table(row("id", "43", "uuid", uuid, "deleted", "43"))}
		}
		if name == "one" && r.returned {
			cell.Left, cell.Record = nil, (&fake{}).finding().Cells[0].Record
		}
		finding.Cells = append(finding.Cells, cell)
	}
	return map[string]nova.Finding{uuids[0]: finding}, nil
}

func (r *remainder) Apply(_ context.Context, change nova.Change, before func() error) error {
	if err := before(); err != nil {
		return err
	}
	r.writes = append(r.writes, change.Where())
	var answer error
	if len(r.answers) > 0 {
		next := r.answers[0]
		r.answers = r.answers[1:]
		if answer = next(change); answer != nil && !errors.Is(answer, nova.ErrOutcome) {
			return answer
		}
	}
	into := r.api
	if change.InCell() {
		into = r.left[change.Where()]
	}
	maps.Copy(into, change.Target)
	return answer
}

// plainly are the rows, without what a JSON file does not keep.
func plainly(r *remainder) map[string]any {
	plain := map[string]any{}
	for where, record := range map[string]nova.Record{"api": r.api, "one": r.left["one"], "two": r.left["two"]} {
		for name, table := range record {
			plain[where+" "+name] = slices.Clone(append([]nova.Row{}, table.Rows...))
		}
	}
	return plain
}

func TestOfALostInstanceAllGoesThatIsLeftAndComesBackToTheByte(t *testing.T) {
	r, dir := lost(), t.TempDir()
	before := plainly(r)
	options := map[string]any{"backup_dir": dir, "_ansible_diff": true}
	checked := maps.Clone(options)
	checked["_ansible_check_mode"] = true
	check := callFake(t, r, checked)
	if diff := cmp.Diff(before, plainly(r)); diff != "" || len(r.writes) > 0 {
		t.Fatalf("check mode wrote: %v, %s", r.writes, diff)
	}
	got := callFake(t, r, options)
	want := []string{
		"one: block_device_mapping: delete 1 row as Nova does", "one: tags: delete 1 row as Nova does", "two: tags: delete 1 row as Nova does",
		"nova_api: build_requests: remove 1 row", "nova_api: instance_group_member: remove 1 row", "nova_api: instance_mappings: remove 1 row",
		"nova_api: request_specs: remove 1 row",
	}
	if diff := cmp.Diff(want, texts(got.Get("plan"))); diff != "" || check.Get("plan").Raw != got.Get("plan").Raw ||
		check.Get("diff").Raw != got.Get("diff").Raw {
		t.Errorf("the plan: %s; check: %s", diff, check)
	}
	if got.Get("failed").Bool() || !got.Get("changed").Bool() || got.Get("verdict").String() != "lost" || got.Get("reap").Raw != "null" ||
		got.Get("msg").String() != "finished the deletion of instance "+uuid+", which was lost" ||
		got.Get("rows_changed.instance_mappings").Int() != 1 || got.Get("rows_changed.tags").Int() != 2 ||
		r.writes[len(r.writes)-1] != "nova_api" {
		t.Errorf("%v: %s", r.writes, got)
	}
	for _, name := range []string{"instance_mappings", "build_requests", "request_specs", "instance_group_member"} {
		if rows := r.api[name].Rows; len(rows) > 0 {
			t.Errorf("%s has %v", name, rows)
		}
	}
	if rows := r.left["one"]; rows["block_device_mapping"].Rows[0]["deleted"].Text != "7" || len(rows["tags"].Rows) > 0 ||
		rows["migrations"].Rows[0]["deleted_at"].Text != "2020-01-01 00:00:00" || rows["instance_actions"].Rows[0]["deleted"].Text != "0" {
		t.Errorf("left in the cell: %v", rows)
	}
	writes := len(r.writes)
	if again := callFake(t, r, options); again.Get("changed").Bool() || again.Get("failed").Bool() || len(r.writes) > writes {
		t.Errorf("again: %s", again)
	}
	file := map[string]any{"state": "present", "backup_file": got.Get("backup_file").String()}
	back := callFake(t, r, file)
	if diff := cmp.Diff(before, plainly(r)); diff != "" || back.Get("failed").Bool() || !back.Get("changed").Bool() {
		t.Errorf("restored: %s: %s", diff, back)
	}
	if again := callFake(t, r, file); again.Get("changed").Bool() || again.Get("failed").Bool() {
		t.Errorf("restored again: %s", again)
	}
}

func TestWhatARunThatCameToNoEndHasDeletedComesBackWithTheBackupOfTheNext(t *testing.T) {
	made := func(nova.Change) error { return nil }
	killed := func(nova.Change) error { return errors.New("killed") }
	for _, test := range []struct {
		name    string
		answers []func(nova.Change) error
		twice   bool
	}{
		{"before the first cell", []func(nova.Change) error{killed}, false},
		{"between two cells", []func(nova.Change) error{made, killed}, false},
		{"between the cells and the API database", []func(nova.Change) error{made, made, killed}, false},
		{"after each", []func(nova.Change) error{made, killed, made, killed}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, options := lost(), map[string]any{"backup_dir": t.TempDir()}
			before := plainly(r)
			restore := func(from gjson.Result) {
				t.Helper()
				back := callFake(t, r, map[string]any{"state": "present", "backup_file": from.Get("backup_file").String(),
					"backup_dir": options["backup_dir"]})
				if diff := cmp.Diff(before, plainly(r)); diff != "" || back.Get("failed").Bool() {
					t.Errorf("restored: %s: %s", diff, back)
				}
			}
			r.answers = test.answers
			for range map[bool]int{false: 1, true: 2}[test.twice] {
				if got := callFake(t, r, options); !got.Get("failed").Bool() {
					t.Fatalf("got %s", got)
				}
				r.later += time.Hour
			}
			got := callFake(t, r, options)
			if got.Get("failed").Bool() || !got.Get("changed").Bool() {
				t.Fatalf("got %s", got)
			}
			restore(got)
			// What was put back is nothing to go on with.
			r.later += time.Hour
			again := callFake(t, r, options)
			if at := r.left["one"]["block_device_mapping"].Rows[0]["deleted_at"].Text; again.Get("failed").Bool() ||
				at != time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(r.later).Format(time.DateTime) {
				t.Errorf("again, deleted at %s: %s", at, again)
			}
			restore(again)
		})
	}
}

func TestABackupThatCannotBeReadIsNotGoneOnFrom(t *testing.T) {
	r, dir := lost(), t.TempDir()
	folder := filepath.Join(dir, uuid)
	file := filepath.Join(folder, "20260101T000000.000000Z-"+name+".json")
	err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(file, []byte("{"), 0o600))
	got := callFake(t, r, map[string]any{"backup_dir": dir})
	if err != nil || !got.Get("failed").Bool() || len(r.writes) > 0 || !strings.Contains(got.Get("msg").String(), "move it away") {
		t.Errorf("%v: %s", err, got)
	}
}

func TestWhatIsJudgedOfAnInstanceWithoutARowDecidesWhetherItsTracesGo(t *testing.T) {
	for _, test := range []struct {
		name         string
		prepare      func(*remainder)
		verdict, msg string
		writes       int
		failed       bool
	}{
		{"archived, and its mapping was left", func(r *remainder) { r.archived = true }, "archived", "which was archived", 3, false},
		{"archived, and nothing is left", func(r *remainder) { r.archived, r.api, r.left = true, nova.Record{}, nil }, "archived",
			"nothing to do", 0, false},
		{"no trace", func(r *remainder) { r.api, r.left = nova.Record{}, nil }, "absent",
			"instance " + uuid + ": nova's databases have no trace of it (2 cells, nova_api): nothing to do", 0, false},
		{"a cell could not be read", func(r *remainder) { r.failure = errors.New("no route") }, "unknown", "no route", 0, true},
		{"the mapping's cell is not there", func(r *remainder) {
			r.api["instance_mappings"].Rows[0]["cell_id"] = nova.Value{Text: "9"}
		}, "unknown", "cell_id names a cell that cell_mappings does not have", 0, true},
		{"K13 a build request of a moment ago", func(r *remainder) {
			r.api = nova.Record{"build_requests": table(row("id", "4", "instance_uuid", uuid, "created_at", "2026-01-02 03:04:00"))}
		}, "busy", "it is about to be built", 0, true},
		{"K13 a build request that nobody works on", func(r *remainder) {
			r.left = nil
			r.api = nova.Record{"build_requests": table(row("id", "4", "instance_uuid", uuid, "created_at", "2025-12-13 03:04:05"))}
		}, "lost", "finished the deletion", 1, false},
		{"the commit was lost and had happened, and left no trace", func(r *remainder) {
			r.left, r.answers = nil, []func(nova.Change) error{func(nova.Change) error { return nova.ErrOutcome }}
		}, "lost", "finished the deletion", 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := lost()
			test.prepare(r)
			got := callFake(t, r, nil)
			if got.Get("verdict").String() != test.verdict || got.Get("failed").Bool() != test.failed || len(r.writes) != test.writes ||
				got.Get("changed").Bool() != (test.writes > 0) || !strings.Contains(got.Get("msg").String(), test.msg) {
				t.Errorf("%v: %s", r.writes, got)
			}
		})
	}
}

func TestALostInstanceWhoseRowComesBackIsLeftAlone(t *testing.T) {
	r := lost()
	made := func(nova.Change) error { return nil }
	r.answers = []func(nova.Change) error{made, made, func(nova.Change) error { // at the API database
		r.returned = true
		return nova.ErrChanged
	}}
	got := callFake(t, r, nil)
	if !got.Get("failed").Bool() || len(r.api["instance_mappings"].Rows) != 1 || len(r.writes) != 3 ||
		!strings.Contains(got.Get("msg").String(), "the cell is done, the API database is not, run the module again") {
		t.Errorf("%v: %s", r.writes, got)
	}
	r = lost()
	r.left, r.answers = nil, []func(nova.Change) error{func(nova.Change) error { r.returned = true; return nova.ErrChanged }}
	got = callFake(t, r, nil)
	if !got.Get("failed").Bool() || got.Get("changed").Bool() || got.Get("verdict").String() != "busy" || len(r.writes) != 1 ||
		!strings.Contains(got.Get("msg").String(), "changed since it was judged") {
		t.Errorf("%v: %s", r.writes, got)
	}
	restored := callFake(t, r, map[string]any{"state": "present", "backup_file": got.Get("backup_file").String()})
	if !restored.Get("failed").Bool() || !strings.Contains(restored.Get("msg").String(), "instances has a row of the instance by now") {
		t.Errorf("restored beside its row: %s", restored)
	}
}

func texts(list gjson.Result) (texts []string) {
	for _, text := range list.Array() {
		texts = append(texts, text.String())
	}
	return texts
}
