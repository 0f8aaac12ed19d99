package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	"nova-orphan/internal/reap"
)

const uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f"

// fake is databases with one stuck instance.
type fake struct {
	deleted, queued bool
	uuid            string // "" is uuid
	host            string // "" is compute1
	vmState         string // "" is error
	// answers are what a change of the cell's rows is answered with, one after the other; nil makes it.
	answers []func(*fake) error
	// nowhere says that the mapping leads to no cell.
	nowhere bool
	// findErr and mappingErr are what FindAll and a change in the API database are answered with.
	findErr, mappingErr error
	writes              int
	mappings            []nova.Row // of block_device_mapping
}

func (f *fake) FindAll(context.Context, []string) (map[string]nova.Finding, error) {
	if f.findErr != nil {
		return nil, f.findErr
	}
	return map[string]nova.Finding{cmp.Or(f.uuid, uuid): f.finding()}, nil
}

func (f *fake) finding() nova.Finding {
	uuid := cmp.Or(f.uuid, uuid)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	row := nova.Row{"uuid": {Text: uuid}, "id": {Text: "43"}, "deleted": {Text: "0"}, "vm_state": {Text: cmp.Or(f.vmState, "error")},
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
		MappedCell: nova.Value{Text: map[bool]string{true: "9", false: "2"}[f.nowhere]},
		API: nova.Record{"instance_mappings": {Rows: []nova.Row{{"id": {Text: "3"}, "instance_uuid": {Text: uuid}, "cell_id": {Text: "2"},
			"queued_for_delete": {Text: queued}}}}},
		Cells: []nova.Cell{{ID: "2", Name: "cell1", Now: now,
			Record: nova.Record{"instances": {Rows: []nova.Row{row}}, "tags": {Rows: tag},
				"block_device_mapping": {Rows: slices.Clone(f.mappings)}}}},
	}
}

// Apply makes the rows those of the change's target.
func (f *fake) Apply(_ context.Context, change nova.Change, before func() error) error {
	if err := before(); err != nil {
		return err
	}
	if !change.InCell() {
		if f.mappingErr == nil {
			f.writes++
			f.queued = change.Target["instance_mappings"].Rows[0]["queued_for_delete"].Text == "1"
		}
		return f.mappingErr
	}
	f.writes++
	if len(f.answers) > 0 {
		answer := f.answers[0]
		f.answers = f.answers[1:]
		if err := answer(f); err != nil {
			return err
		}
	}
	f.deleted = change.Target["instances"].Rows[0]["deleted"].Text != "0"
	f.mappings = change.Target["block_device_mapping"].Rows
	return nil
}

// several are databases with several instances.
type several map[string]*fake

func (s several) FindAll(_ context.Context, uuids []string) (map[string]nova.Finding, error) {
	findings := map[string]nova.Finding{}
	for _, uuid := range uuids {
		findings[uuid] = s[uuid].finding()
	}
	return findings, nil
}

func (s several) Apply(ctx context.Context, change nova.Change, before func() error) error {
	uuid := ""
	for _, table := range change.Current {
		for _, row := range table.Rows {
			uuid += row["uuid"].Text + row["instance_uuid"].Text
		}
	}
	return s[uuid].Apply(ctx, change, before)
}

// callFake runs the module's purge on the fake, from the arguments to the answer.
func callFake(t *testing.T, f databases, arguments map[string]any) gjson.Result {
	t.Helper()
	return callFakeIn(t, f, &reap.Cloud{}, arguments)
}

func callFakeIn(t *testing.T, f databases, reaps *reap.Cloud, arguments map[string]any) gjson.Result {
	t.Helper()
	all := map[string]any{"instance_uuid": uuid, "backup_dir": t.TempDir()}
	maps.Copy(all, arguments)
	faked := module
	faked.Run = func(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
		var p parameters
		if err := call.Decode(&p); err != nil {
			return nil, err
		}
		return (&work{parameters: p, call: call, db: f, reaps: reaps}).all(ctx)
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
		!strings.Contains(got.Get("warnings").String(), "read back, it had happened") {
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
				!strings.Contains(got.Get("warnings").String(), "read back, it had happened") {
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
		if f.writes > 0 || got.Get("instance.host").String() != "compute1" || got.Get("backup_file").String() != "" {
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

func TestOneThatLivesOrCannotBeReadKeepsNoneOfTheOthersFromBeingDone(t *testing.T) {
	uuids := make([]string, 4)
	for i := range uuids {
		uuids[i] = fmt.Sprintf("%d%s", i+1, uuid[1:])
	}
	live, good, unread, finished := &fake{uuid: uuids[0], vmState: "active"}, &fake{uuid: uuids[1]},
		&fake{uuid: uuids[2], nowhere: true}, &fake{uuid: uuids[3], deleted: true, queued: true}
	databases := several{uuids[0]: live, uuids[1]: good, uuids[2]: unread, uuids[3]: finished}
	dir := t.TempDir()
	options := map[string]any{"instance_uuid": append(uuids, strings.ToUpper(uuids[1])), "backup_dir": dir, "_ansible_diff": true}
	options["judged_as"] = map[string]any{uuids[1]: map[string]any{"updated_at": "2026-01-02T02:04:05Z", "vm_state": "error",
		"task_state": nil, "host": "compute1"}}
	got := callFake(t, databases, options)
	for path, want := range map[string]string{
		"changed": "true", "instances.#.instance_uuid": `["` + strings.Join(uuids, `","`) + `"]`,
		"instances.#.verdict": `["live","stuck","unknown","deleted"]`, "instances.#.failed": "[true,false,true,false]",
		"instances.#.changed": "[false,true,false,false]", "instances.0.rows_changed": "{}", "instances.1.rows_changed.instances": "1",
		"instances.0.plan": "[]", "instances.0.backup_file": "",
		"instances.1.msg": "finished the deletion of instance " + uuids[1] + ", which was stuck",
		"instances.3.msg": "instance " + uuids[3] + " is deleted already: nothing to do",
		"diff.after":      `{"` + uuids[1] + `":` + got.Get("diff.after."+uuids[1]).Raw + `}`,
	} {
		if got.Get(path).String() != want {
			t.Errorf("%s is %s, want %s", path, got.Get(path), want)
		}
	}
	refused := "2 of 4 instances failed: " + uuids[0] + ": refused: instance " + uuids[0] + " is live; "
	if msg := got.Get("msg").String(); !strings.HasPrefix(msg, refused) ||
		!strings.Contains(msg, "; "+uuids[2]+": refused: instance "+uuids[2]+" is unknown; nova_api: instance_mappings.cell_id names a cell") {
		t.Errorf("msg is %s", msg)
	}
	if live.writes+unread.writes+finished.writes > 0 || live.deleted || !good.deleted || !good.queued {
		t.Errorf("written: %d, %d, %d; %+v", live.writes, unread.writes, finished.writes, good)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) != 1 {
		t.Errorf("backups of %v (%v)", files, err)
	}
}

func TestOneWhoseTurnComesLateIsReadAgainAndOneThatIsToBeWrittenAlsoWhereTheReadingTookLong(t *testing.T) {
	now, before := time.Now(), time.Now().Add(-time.Hour)
	for name, test := range map[string]struct {
		begunAt, readAt time.Time
		vmState, want   string
	}{
		"just read":     {now, now, "error", "compute1"},
		"read long ago": {before, before, "active", "compute2"},
		"it took long":  {before, now, "error", "compute2"},
		"it took long, and nothing is to be done": {before, now, "active", "compute1"},
	} {
		moved := &fake{host: "compute2", vmState: test.vmState}
		first := map[string]nova.Finding{uuid: (&fake{vmState: test.vmState}).finding()}
		one := &task{work: &work{db: moved, reaps: &reap.Cloud{}, begunAt: test.begunAt, readAt: test.readAt, first: first}, instance: uuid}
		if got, err := one.read(t.Context()); err != nil || got.instance.Host != test.want {
			t.Errorf("%s: %+v, %v", name, got.instance, err)
		}
	}
}

func TestWhatHadNoRowWhenItWasJudgedIsRefusedOnceItHasOne(t *testing.T) {
	judged := map[string]any{"judged_as": map[string]any{uuid: nil}}
	f := &fake{}
	if got := callFake(t, f, judged); !got.Get("failed").Bool() || got.Get("instances.0.verdict").String() != "busy" || f.writes > 0 ||
		!strings.Contains(got.Get("msg").String(), "it had no row when it was judged") {
		t.Errorf("%d writes: %s", f.writes, got)
	}
	if got := callFake(t, lost(), judged); got.Get("failed").Bool() || !got.Get("changed").Bool() {
		t.Errorf("it still has none: %s", got)
	}
}
