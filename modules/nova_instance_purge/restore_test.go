package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/nova"
)

// purgedFake is a fake whose instance was purged, and the backup.
func purgedFake(t *testing.T) (*fake, string) {
	t.Helper()
	f := &fake{}
	file := callFake(t, f, nil).Get("backup_file").String()
	if file == "" || !f.deleted || !f.queued {
		t.Fatalf("the purge did nothing: %+v", f)
	}
	f.writes = 0
	return f, file
}

func TestWhatTheDatabasesAnswerDecidesWhatARestoreTells(t *testing.T) {
	deadlock := &mysql.MySQLError{Number: 1213, Message: "Deadlock found"}
	lost := errors.Join(nova.ErrOutcome, mysql.ErrInvalidConn)
	for _, test := range []struct {
		name            string
		prepare         func(*fake)
		changed, failed bool
		verdict, msg    string
		writes          int
	}{
		{"all is well", func(*fake) {}, true, false, "deleted", "put back the rows", 2},
		{"a deadlock, then not", func(f *fake) { f.answers = []func(*fake) error{says(deadlock)} }, true, false, "deleted", "put back", 3},
		{"nothing but deadlocks", func(f *fake) { f.answers = slices.Repeat([]func(*fake) error{says(deadlock)}, 5) }, false, true, "deleted",
			"given up after 5 tries: ", 5},
		{"the commit was lost and had happened",
			func(f *fake) { f.answers = []func(*fake) error{func(f *fake) error { f.deleted = false; return lost }} },
			true, false, "deleted", "put back", 2},
		{"the commit was lost and had not happened", func(f *fake) { f.answers = []func(*fake) error{says(lost)} }, true, false, "deleted",
			"put back", 3},
		{"it changed meanwhile", func(f *fake) { f.answers = []func(*fake) error{says(nova.ErrChanged)} }, false, true, "busy",
			"changed since it was judged", 1},
		{"another one restored it meanwhile", func(f *fake) {
			f.answers = []func(*fake) error{func(f *fake) error { f.deleted, f.queued = false, false; return nova.ErrChanged }}
		}, false, false, "stuck", "nothing to do", 1},
		{"the API database cannot be written", func(f *fake) { f.mappingErr = errors.New("read only") }, true, true, "deleted",
			"run the module again: read only", 1},
		{"the API database cannot be read", func(f *fake) { f.findErr = errors.New("no route") }, false, true, "unknown", "no route", 0},
		{"only the mapping is left", func(f *fake) { f.deleted = false }, true, false, "stuck", "put back", 1},
		{"nothing is left", func(f *fake) { f.deleted, f.queued = false, false }, false, false, "stuck", "nothing to do", 0},
		{"it moved", func(f *fake) { f.host = "compute2" }, false, true, "deleted", `host = "compute2"`, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, file := purgedFake(t)
			test.prepare(f)
			got := callFake(t, f, map[string]any{"state": "present", "backup_file": file})
			if got.Get("changed").Bool() != test.changed || got.Get("failed").Bool() != test.failed || got.Get("verdict").String() != test.verdict ||
				!strings.Contains(got.Get("msg").String(), test.msg) {
				t.Errorf("want changed %v, failed %v, %s, %q: %s", test.changed, test.failed, test.verdict, test.msg, got)
			}
			if f.writes != test.writes {
				t.Errorf("%d writes, want %d", f.writes, test.writes)
			}
			if hasBackup := got.Get("backup_file").String() != ""; hasBackup != (test.writes > 0) {
				t.Errorf("backup_file is %s", got.Get("backup_file"))
			}
		})
	}
}

func TestARestoreInCheckModeAndWithoutABackupOfItsOwnWritesNothing(t *testing.T) {
	notAFolder := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notAFolder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f, file := purgedFake(t)
	for want, options := range map[string]map[string]any{
		"would put back":   {"_ansible_check_mode": true},
		"write the backup": {"backup_dir": notAFolder},
	} {
		options["state"], options["backup_file"] = "present", file
		if got := callFake(t, f, options); f.writes > 0 || !strings.Contains(got.Get("msg").String(), want) ||
			got.Get("backup_file").String() != "" {
			t.Errorf("%d writes: %s", f.writes, got)
		}
	}
}

func TestARestoreOfAStuckInstanceWarnsThatNovaComputeGoesOnWithIt(t *testing.T) {
	f, file := purgedFake(t)
	got := callFake(t, f, map[string]any{"state": "present", "backup_file": file})
	if !strings.Contains(got.Get("warnings").String(), "is deleted for good by nova-compute") {
		t.Errorf("got %s", got)
	}
}

func TestARestoreOfALaterRunWarnsThatAnEarlierOneDeleted(t *testing.T) {
	f := &fake{deleted: true}
	file := callFake(t, f, nil).Get("backup_file").String()
	got := callFake(t, f, map[string]any{"state": "present", "backup_file": file})
	if !got.Get("changed").Bool() || !strings.Contains(got.Get("warnings").String(), "restore what that one saved instead") {
		t.Errorf("got %s", got)
	}
}

func TestABackupSaysWhatItIsFor(t *testing.T) {
	for name, test := range map[string]struct {
		found    fake
		restored bool
		answer   error // of the restore
		want     string
	}{
		"a stuck one":                 {want: "[purge]"},
		"one that was deleted by API": {found: fake{deleted: true}, want: "[deleted]"},
		"a restore":                   {restored: true, want: "[purge restore]"},
		"a restore that failed":       {restored: true, answer: errors.New("denied"), want: "[purge restoring]"},
	} {
		t.Run(name, func(t *testing.T) {
			f, dir := test.found, t.TempDir()
			file := callFake(t, &f, map[string]any{"backup_dir": dir}).Get("backup_file").String()
			if test.restored {
				f.answers = []func(*fake) error{says(test.answer)}
				callFake(t, &f, map[string]any{"backup_dir": dir, "state": "present", "backup_file": file})
			}
			if got := fmt.Sprint(ansibletest.Kinds(t, dir, uuid)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestOfAListThatIsRestoredEachIsDoneForItself(t *testing.T) {
	const moved, damaged = "11111111-f6a4-8304-79aa-97f2502e193f", "22222222-f6a4-8304-79aa-97f2502e193f"
	list := []string{uuid, moved, damaged}
	all, dir := several{uuid: {}, moved: {uuid: moved}, damaged: {uuid: damaged}}, t.TempDir()
	callFake(t, all, map[string]any{"instance_uuid": list, "backup_dir": dir})
	contents := map[string]any{}
	for _, instance := range list {
		content := ansibletest.Contents(t, dir, instance)[0]
		if instance == damaged {
			content = content[:len(content)/2]
		}
		contents[instance] = base64.StdEncoding.EncodeToString(content)
		all[instance].writes = 0
	}
	all[moved].host = "compute2"
	got := callFake(t, all, map[string]any{"instance_uuid": list, "backup_dir": dir, "state": "present", "backup_content": contents})
	for path, want := range map[string]string{"failed": "true", "instances.#.failed": "[false,true,true]",
		"instances.#.changed": "[true,false,false]", "instances.#.verdict": `["deleted","deleted","unknown"]`} {
		if got.Get(path).String() != want {
			t.Errorf("%s: got %s, want %s: %s", path, got.Get(path), want, got.Get("msg"))
		}
	}
	if all[uuid].deleted || !all[moved].deleted || !all[damaged].deleted || all[moved].writes+all[damaged].writes > 0 {
		t.Errorf("left %+v, %+v, %+v", all[uuid], all[moved], all[damaged])
	}
}
