//go:build lab

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/nova/novalab"
)

// back calls the module to restore a backup.
func back(t *testing.T, lab *novalab.Databases, backups, uuid, file string, check bool) gjson.Result {
	t.Helper()
	return call(t, lab.Conf, backups, uuid, check, map[string]any{"state": "present", "backup_file": file})
}

// purged purges an instance and returns the backup.
func purged(t *testing.T, lab *novalab.Databases, uuid string, options map[string]any) string {
	t.Helper()
	answer := call(t, lab.Conf, t.TempDir(), uuid, false, options)
	if answer.Get("failed").Bool() || !answer.Get("changed").Bool() {
		t.Fatalf("purge: %s", answer)
	}
	return answer.Get("backup_file").String()
}

func TestEachPurgeIsUndoneToTheByte(t *testing.T) {
	lab := novalab.New(t)
	list := []fault{
		{name: "quotes, backslashes, zero bytes and odd line ends", setup: []string{
			"UPDATE instances SET user_data = CONCAT('a', CHAR(0), '\\\\\\'\"%s{}'), display_description = NULL WHERE uuid = ?",
			"UPDATE instance_metadata SET value = 'caf\u00e9 \u2028 \r\n\u0085' WHERE instance_uuid = ?",
		}},
		{name: "two rows of virtual_interfaces that stand in each other's way", setup: []string{
			"UPDATE virtual_interfaces SET deleted = id + 1 WHERE instance_uuid = ?",
			"INSERT INTO virtual_interfaces (instance_uuid, address, deleted, uuid) SELECT instance_uuid, address, 0, 'second' FROM " +
				"virtual_interfaces WHERE instance_uuid = ?",
		}},
		{name: "a build request with a serialized instance",
			api: []string{`INSERT INTO build_requests (instance_uuid, project_id, instance) VALUES (?, 'project', '{"a": "\\u0000"}')`}},
		{name: "many tags", setup: []string{"INSERT INTO tags (resource_id, tag) SELECT ?, CONCAT('t', seq) FROM seq_1_to_40"}},
	}
	for _, fault := range faults() {
		if fault.changed {
			list = append(list, fault)
		}
	}
	for i, fault := range list {
		t.Run(fault.name, func(t *testing.T) {
			uuid := fmt.Sprintf("%08x-0000-4000-9000-00000000000%d", i+0x20000000, i%10)
			lab.NewInstance(t, uuid)
			for _, statement := range fault.setup {
				novalab.Exec(t, lab.Cell1, statement, uuid)
			}
			for _, statement := range fault.api {
				novalab.Exec(t, lab.API, statement, uuid)
			}
			before := lab.Everything(t, uuid)
			if fault.since != "" {
				fault.options = map[string]any{"unchanged_since": map[string]any{uuid: fault.since}}
			}
			file := purged(t, lab, uuid, fault.options)
			deleted := lab.Everything(t, uuid)
			backups := t.TempDir()

			check := back(t, lab, backups, uuid, file, true)
			if diff := cmp.Diff(deleted, lab.Everything(t, uuid)); diff != "" {
				t.Fatalf("check mode changed rows: %s", diff)
			}
			real := back(t, lab, backups, uuid, file, false)
			if real.Get("failed").Bool() || !real.Get("changed").Bool() || !check.Get("changed").Bool() {
				t.Fatalf("check: %s\nreal: %s", check, real)
			}
			if check.Get("plan").Raw != real.Get("plan").Raw || check.Get("diff").Raw != real.Get("diff").Raw || real.Get("plan.#").Int() == 0 {
				t.Errorf("check and real tell different plans:\n%s\n%s", check, real)
			}
			if diff := cmp.Diff(before, lab.Everything(t, uuid)); diff != "" {
				t.Errorf("not as it was: %s", diff)
			}
			expectFiles(t, backups, 1)
			again := back(t, lab, backups, uuid, file, false)
			if again.Get("failed").Bool() || again.Get("changed").Bool() || !strings.Contains(again.Get("msg").String(), "nothing to do") {
				t.Errorf("again: %s", again)
			}
			expectFiles(t, backups, 1)
		})
	}
	t.Logf("purges undone to the byte: %d", len(list))
}

func TestWhatNovaComputeWritesWhenItReapsIsToldApartAndUndone(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "cccccccc-0000-4000-8000-000000000000"
	lab.NewInstance(t, uuid)
	before := lab.Everything(t, uuid)
	file := purged(t, lab, uuid, nil)
	novalab.Exec(t, lab.Cell1, "UPDATE instances SET cleaned = 1, updated_at = UTC_TIMESTAMP() + INTERVAL 1 MINUTE WHERE uuid = ?", uuid)
	novalab.Exec(t, lab.Cell1, "INSERT INTO instance_system_metadata (instance_uuid, `key`, value, deleted) VALUES (?, 'clean_attempts', "+
		"'1', 0)", uuid)
	novalab.Exec(t, lab.Cell1, "INSERT INTO instance_actions (instance_uuid, action, deleted) VALUES (?, 'reap', 0)", uuid)
	answer := back(t, lab, t.TempDir(), uuid, file, false)
	if answer.Get("failed").Bool() || !answer.Get("changed").Bool() {
		t.Fatalf("restore: %s", answer)
	}
	for _, want := range []string{"remove 1 row that nova-compute added", "has reaped the instance since", "instance_actions changed since"} {
		if !strings.Contains(answer.Get("plan").String(), want) {
			t.Errorf("the plan does not tell %q: %s", want, answer)
		}
	}
	if !strings.Contains(answer.Get("warnings").String(), "only its rows come back") {
		t.Errorf("no warning: %s", answer)
	}
	novalab.Exec(t, lab.Cell1, "DELETE FROM instance_actions WHERE action = 'reap' AND instance_uuid = ?", uuid)
	if diff := cmp.Diff(before, lab.Everything(t, uuid)); diff != "" {
		t.Errorf("not as it was: %s", diff)
	}
}

func TestARestoreIsRefusedIfAnythingElseHappenedSince(t *testing.T) {
	lab := novalab.New(t)
	for i, test := range []struct {
		name      string
		cell, api []string
		options   map[string]any
		want      []string
	}{
		{name: "the instance lives again", cell: []string{"UPDATE instances SET deleted = 0, vm_state = 'active', deleted_at = NULL WHERE " +
			"uuid = ?"},
			want: []string{`deleted = "0", the purge left "`, `vm_state = "active", the purge left "deleted"`}},
		{name: "it was deleted again at another time", cell: []string{"UPDATE instances SET deleted_at = deleted_at + INTERVAL 5 SECOND WHERE " +
			"uuid = ?"},
			want: []string{"another run deleted it, or Nova"}},
		{name: "it moved", cell: []string{"UPDATE instances SET host = 'compute2' WHERE uuid = ?"},
			want: []string{`host = "compute2", the purge left "compute1"`}},
		{name: "a child row is gone", cell: []string{"DELETE FROM instance_faults WHERE instance_uuid = ?"},
			want: []string{"instance_faults: row ", "is gone since"}},
		{name: "a child row is new", cell: []string{"INSERT INTO block_device_mapping (instance_uuid, uuid, deleted) VALUES (?, 'new', 0)"},
			want: []string{"block_device_mapping: row ", "was added since"}},
		{name: "user data changed", cell: []string{"UPDATE instances SET user_data = 'top-s3cret' WHERE uuid = ?"},
			want: []string{"user_data changed since"}},
		{name: "tagged again", cell: []string{"INSERT INTO tags (resource_id, tag) VALUES (?, 'other')"}, want: []string{"tags: row "}},
		{name: "the mapping is gone", api: []string{"DELETE FROM instance_mappings WHERE instance_uuid = ?"},
			want: []string{"instance_mappings: row ", "is gone since"}},
		{name: "the mapping leads elsewhere", api: []string{"UPDATE instance_mappings SET cell_id = 1 WHERE instance_uuid = ?"},
			want: []string{`cell_id = "1", the purge left "2"`}},
		{name: "a build request came", api: []string{"INSERT INTO build_requests (instance_uuid, project_id) VALUES (?, 'project')"},
			want: []string{"build_requests: row "}},
		{name: "several things: all are said", cell: []string{"UPDATE instances SET host = 'compute2', hidden = 1 WHERE uuid = ?",
			"DELETE FROM instance_faults WHERE instance_uuid = ?"},
			api:  []string{"DELETE FROM instance_mappings WHERE instance_uuid = ?"},
			want: []string{"host", "hidden", "instance_faults", "instance_mappings"}},
		{name: "archived", cell: []string{"INSERT INTO shadow_instances SELECT * FROM instances WHERE uuid = ?",
			"SET STATEMENT foreign_key_checks = 0 FOR DELETE FROM instances WHERE uuid = ?"},
			want: []string{"was archived since"}},
		{name: "archived and purged", cell: []string{"SET STATEMENT foreign_key_checks = 0 FOR DELETE FROM instances WHERE uuid = ?"},
			want: []string{"row is gone"}},
		{name: "on another host than was thought", options: map[string]any{"host": "compute9"}, want: []string{`host is "compute9"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			uuid := fmt.Sprintf("%08x-0000-4000-a000-00000000000%d", i+0x30000000, i%10)
			lab.NewInstance(t, uuid)
			file := purged(t, lab, uuid, nil)
			for _, statement := range test.cell {
				novalab.Exec(t, lab.Cell1, statement, uuid)
			}
			for _, statement := range test.api {
				novalab.Exec(t, lab.API, statement, uuid)
			}
			changed := lab.Everything(t, uuid)
			options := map[string]any{"state": "present", "backup_file": file}
			for key, value := range test.options {
				options[key] = value
			}
			backups := t.TempDir()
			answer := call(t, lab.Conf, backups, uuid, false, options)
			if !answer.Get("failed").Bool() || answer.Get("changed").Bool() {
				t.Errorf("got %s", answer)
			}
			for _, want := range test.want {
				if !strings.Contains(answer.Get("msg").String(), want) {
					t.Errorf("%q is not said: %s", want, answer.Get("msg"))
				}
			}
			if strings.Contains(answer.Raw, "s3cret") {
				t.Errorf("user data is told: %s", answer)
			}
			if diff := cmp.Diff(changed, lab.Everything(t, uuid)); diff != "" {
				t.Errorf("rows were changed: %s", diff)
			}
			expectFiles(t, backups, 0)
		})
	}
}

func TestOnlyTheBackupOfAPurgeIsRestored(t *testing.T) {
	lab := novalab.New(t)
	const uuid, other = "dddddddd-0000-4000-8000-000000000000", "ddddddd1-0000-4000-8000-000000000000"
	lab.NewInstance(t, uuid)
	lab.NewInstance(t, other)
	file, others := purged(t, lab, uuid, nil), purged(t, lab, other, nil)
	restored := back(t, lab, t.TempDir(), uuid, file, false).Get("backup_file").String()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.json")
	if err := os.WriteFile(cut, content[:len(content)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		others:           "is the backup of",
		restored:         "not of a run with state: absent",
		cut:              "is no backup of nova-orphan",
		"/no/such/file":  "no such file",
		"relative/path.": "takes an absolute path",
	} {
		answer := back(t, lab, t.TempDir(), uuid, file, false)
		if !answer.Get("failed").Bool() || answer.Get("changed").Bool() || !strings.Contains(answer.Get("msg").String(), want) {
			t.Errorf("%s: %s", file, answer)
		}
	}
}
