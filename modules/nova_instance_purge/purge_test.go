package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/openstack"
)

const uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f"

// fake is databases with one stuck instance.
type fake struct {
	deleted, queued bool
	host            string // "" is compute1
	// answers are what SoftDelete says, one after the other; nil deletes.
	answers []func(*fake) error
	// findErr and mappingErr are what Find and FinishMapping say.
	findErr, mappingErr error
	writes              int
	mappings            []nova.Row // of block_device_mapping
}

func (f *fake) Find(context.Context, string) (nova.Finding, error) {
	if f.findErr != nil {
		return nova.Finding{UUID: uuid}, f.findErr
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	row := nova.Row{"uuid": {Text: uuid}, "id": {Text: "43"}, "deleted": {Text: "0"}, "vm_state": {Text: "error"},
		"host":       {Text: cmp.Or(f.host, "compute1")},
		"updated_at": {Text: now.Add(-time.Hour).Format(time.DateTime)}, "deleted_at": {Null: true}, "terminated_at": {Null: true},
		"task_state": {Null: true}, "power_state": {Text: "1"}, "progress": {Text: "0"}}
	tag := []nova.Row{{"tag": {Text: "x"}}}
	if f.deleted {
		at := nova.Value{Text: now.Format(time.DateTime)}
		maps.Copy(row, nova.Row{"deleted": {Text: "43"}, "vm_state": {Text: "deleted"}, "power_state": {Text: "0"}, "deleted_at": at,
			"terminated_at": at, "updated_at": at})
		tag = nil
	}
	queued := map[bool]string{true: "1", false: "0"}[f.queued]
	return nova.Finding{
		UUID:       uuid,
		MappedCell: nova.Value{Text: "2"},
		API: nova.Record{"instance_mappings": {Rows: []nova.Row{{"id": {Text: "3"}, "cell_id": {Text: "2"},
			"queued_for_delete": {Text: queued}}}}},
		Cells: []nova.Cell{{ID: "2", Name: "cell1", Now: now,
			Record: nova.Record{"instances": {Rows: []nova.Row{row}}, "tags": {Rows: tag},
				"block_device_mapping": {Rows: slices.Clone(f.mappings)}}}},
	}, nil
}

func (f *fake) SoftDelete(_ context.Context, _ nova.Finding, deletion nova.Deletion, before func() error) (map[string]int64, error) {
	if err := f.write(before); err != nil {
		return nil, err
	}
	f.deleted = true
	for i, row := range f.mappings {
		row = maps.Clone(row)
		if row["deleted"].Text == "0" {
			maps.Copy(row, nova.Row{"deleted": row["id"], "deleted_at": {Text: "2026-01-02 03:04:05"}})
		}
		if len(deletion.Disarm.Detached) > 0 {
			row["destination_type"] = nova.Value{Null: true}
		}
		if len(deletion.Disarm.Preserved) > 0 {
			row["delete_on_termination"] = nova.Value{Text: "0"}
		}
		f.mappings[i] = row
	}
	return map[string]int64{"instances": 1, "tags": 1}, nil
}

// write answers as the next of the answers says.
func (f *fake) write(before func() error) error {
	if err := before(); err != nil {
		return err
	}
	f.writes++
	if len(f.answers) == 0 {
		return nil
	}
	answer := f.answers[0]
	f.answers = f.answers[1:]
	return answer(f)
}

func (f *fake) FinishMapping(context.Context, string) (map[string]int64, error) {
	if f.mappingErr != nil {
		return nil, f.mappingErr
	}
	f.writes++
	f.queued = true
	return map[string]int64{"instance_mappings": 1}, nil
}

func (f *fake) Restore(_ context.Context, _ nova.Finding, r nova.Restoration, before func() error) (map[string]int64, error) {
	if err := f.write(before); err != nil {
		return nil, err
	}
	f.deleted = false
	for i, row := range f.mappings {
		f.mappings[i] = maps.Clone(row)
		f.mappings[i]["deleted"] = nova.Value{Text: "0"}
		delete(f.mappings[i], "deleted_at")
	}
	return r.CellRows, nil
}

func (f *fake) RestoreMapping(_ context.Context, _ nova.Finding, r nova.Restoration, before func() error) (map[string]int64, error) {
	if err := before(); err != nil {
		return nil, err
	}
	if f.mappingErr != nil {
		return nil, f.mappingErr
	}
	f.writes++
	f.queued = false
	return r.APIRows, nil
}

// callFake runs the module's purge on the fake, from the arguments to the answer.
func callFake(t *testing.T, f *fake, arguments map[string]any) gjson.Result {
	t.Helper()
	return callFakeIn(t, f, &cloud{}, arguments)
}

func callFakeIn(t *testing.T, f *fake, w world, arguments map[string]any) gjson.Result {
	t.Helper()
	all := map[string]any{"instance_uuid": uuid, "backup_dir": t.TempDir()}
	maps.Copy(all, arguments)
	faked := module
	faked.Run = func(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
		var p parameters
		if err := call.Decode(&p); err != nil {
			return nil, err
		}
		if p.State == statePresent {
			return restore(ctx, call, f, w, p)
		}
		return purge(ctx, call, f, w, p)
	}
	return ansibletest.Call(t, faked, all)
}

func says(err error) func(*fake) error { return func(*fake) error { return err } }

func TestWhatTheDatabasesAnswerDecidesWhatIsTold(t *testing.T) {
	deadlock := &mysql.MySQLError{Number: 1213, Message: "Deadlock found"}
	lost := errors.Join(nova.ErrOutcome, mysql.ErrInvalidConn)
	for _, test := range []struct {
		name            string
		fake            fake
		changed, failed bool
		verdict, msg    string
		writes          int
	}{
		{"all is well", fake{}, true, false, "stuck", "finished the deletion", 2},
		{"a deadlock, then not", fake{answers: []func(*fake) error{says(deadlock)}}, true, false, "stuck", "finished the deletion", 3},
		{"nothing but deadlocks", fake{answers: slices.Repeat([]func(*fake) error{says(deadlock)}, 5)}, false, true, "stuck", "Deadlock found",
			5},
		{"the commit was lost and had happened", fake{answers: []func(*fake) error{func(f *fake) error { f.deleted = true; return lost }}},
			true, false, "stuck", "finished the deletion", 2},
		{"the commit was lost and had not happened", fake{answers: []func(*fake) error{says(lost)}}, true, false, "stuck",
			"finished the deletion", 3},
		{"the commit was lost every time", fake{answers: slices.Repeat([]func(*fake) error{says(lost)}, 5)}, false, true, "stuck",
			"outcome of the commit is not known", 5},
		{"the instance changed meanwhile", fake{answers: []func(*fake) error{says(nova.ErrChanged)}}, false, true, "busy",
			"changed since it was judged", 1},
		{"the cell refuses", fake{answers: []func(*fake) error{says(&mysql.MySQLError{Number: 1142, Message: "denied"})}}, false, true, "stuck",
			"denied", 1},
		{"the API database cannot be read", fake{findErr: errors.New("no route")}, false, true, "unknown", "no route", 0},
		{"the API database cannot be written", fake{mappingErr: errors.New("read only")}, true, true, "stuck", "run the module again: read only",
			1},
		{"only the mapping is left", fake{deleted: true}, true, false, "deleted", "finished the deletion", 1},
		{"nothing is left", fake{deleted: true, queued: true}, false, false, "deleted", "nothing to do", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := callFake(t, &test.fake, nil)
			if got.Get("changed").Bool() != test.changed || got.Get("failed").Bool() != test.failed || got.Get("verdict").String() != test.verdict ||
				!strings.Contains(got.Get("msg").String(), test.msg) {
				t.Errorf("want changed %v, failed %v, %s, %q: %s", test.changed, test.failed, test.verdict, test.msg, got)
			}
			if test.fake.writes != test.writes {
				t.Errorf("%d writes, want %d", test.fake.writes, test.writes)
			}
			if hasBackup := got.Get("backup_file").String() != ""; hasBackup != (test.writes > 0) {
				t.Errorf("backup_file is %s", got.Get("backup_file"))
			}
		})
	}
}

func TestALostCommitThatHappenedIsCountedAndTold(t *testing.T) {
	f := &fake{answers: []func(*fake) error{func(f *fake) error { f.deleted = true; return nova.ErrOutcome }}}
	got := callFake(t, f, nil)
	if got.Get("rows_changed.instances").Int() != 1 || got.Get("rows_changed.tags").Int() != 1 ||
		!strings.Contains(got.Get("warnings").String(), "lost at the commit") {
		t.Errorf("got %s", got)
	}
}

// The server was still at work on the commit when the next try came.
func TestALostCommitThatHappenedOnlyLaterIsCountedAndToldToo(t *testing.T) {
	for name, meanwhile := range map[string]error{"locked": &mysql.MySQLError{Number: 1205}, "written": nova.ErrChanged} {
		t.Run(name, func(t *testing.T) {
			f := &fake{answers: []func(*fake) error{
				says(errors.Join(nova.ErrOutcome, mysql.ErrInvalidConn)),
				func(f *fake) error { f.deleted = true; return meanwhile },
			}}
			got := callFake(t, f, nil)
			content, err := os.ReadFile(got.Get("backup_file").String())
			if !got.Get("changed").Bool() || got.Get("verdict").String() != "stuck" || got.Get("rows_changed.instances").Int() != 1 ||
				!strings.Contains(got.Get("warnings").String(), "lost at the commit") {
				t.Errorf("got %s", got)
			}
			if err != nil || gjson.GetBytes(content, "data.verdict").String() != "stuck" {
				t.Errorf("the backup is not of what was changed: %s (%v)", content, err)
			}
		})
	}
}

func TestAnotherTryBacksUpAgainOnlyWhatIsNotTheSame(t *testing.T) {
	deadlock := &mysql.MySQLError{Number: 1213}
	for want, host := range map[int]string{1: "compute1", 2: "compute2"} {
		dir := t.TempDir()
		f := &fake{answers: []func(*fake) error{func(f *fake) error { f.host = host; return deadlock }}}
		got := callFake(t, f, map[string]any{"backup_dir": dir})
		files, err := filepath.Glob(filepath.Join(dir, uuid, "*.json"))
		if err != nil || len(files) != want {
			t.Fatalf("%s: %d backups, want %d: %s", host, len(files), want, got)
		}
		content, err := os.ReadFile(got.Get("backup_file").String())
		if err != nil || gjson.GetBytes(content, "data.cell_tables.instances.rows.0.host").String() != host {
			t.Errorf("the backup is not of what was changed: %s (%v)", content, err)
		}
	}
}

func TestWithoutABackupNothingIsWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*fake{{}, {deleted: true}} {
		got := callFake(t, f, map[string]any{"backup_dir": file})
		if !got.Get("failed").Bool() || got.Get("changed").Bool() || f.writes > 0 ||
			!strings.Contains(got.Get("msg").String(), "write the backup") {
			t.Errorf("%d writes: %s", f.writes, got)
		}
	}
}

func TestCheckModeAndRefusalsWriteNothing(t *testing.T) {
	for name, arguments := range map[string]map[string]any{
		"check": {"_ansible_check_mode": true},
		"host":  {"host": "compute1.example.com"},
	} {
		f := &fake{}
		got := callFake(t, f, arguments)
		if f.writes > 0 || got.Get("instance.host").String() != "compute1" || got.Get("backup_file").Exists() {
			t.Errorf("%s: %d writes: %s", name, f.writes, got)
		}
	}
}

func TestTheConfigurationIsFound(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "nova.conf")
	if err := os.WriteFile(conf, []byte("[api_database]\nconnection = mysql://nova@db/nova_api\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, standard string
		p              parameters
		want           string
	}{
		{"the default", conf, parameters{}, ""},
		{"nova_conf", "/no/nova.conf", parameters{Auth: openstack.Auth{NovaConf: conf}}, ""},
		{"login", "/no/nova.conf", parameters{Login: nova.Login{Host: "db"}}, ""},
		{"none", "/no/nova.conf", parameters{}, "one of the following is required: nova_conf, login_host"},
	} {
		_, err := test.p.access(test.standard, func(...string) {})
		if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}
