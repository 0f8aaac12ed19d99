//go:build lab

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/nova/novalab"
)

// deleteRow deletes the row of instances outright, as SQL does that does not heed foreign keys, and with those of tables
// that are named those, too. The instance is then a member of a server group.
func deleteRow(t *testing.T, lab *novalab.Databases, uuid string, tables ...string) {
	t.Helper()
	novalab.Exec(t, lab.Cell1, "SET STATEMENT foreign_key_checks = 0 FOR DELETE FROM instances WHERE uuid = ?", uuid)
	for _, table := range tables {
		novalab.Exec(t, lab.Cell1, "DELETE FROM "+table+" WHERE instance_uuid = ?", uuid)
	}
	group := novalab.Insert(t, lab.API, "instance_groups", map[string]any{"uuid": uuid[:35] + "0", "name": "group"})
	novalab.Insert(t, lab.API, "instance_group_member", map[string]any{"instance_uuid": uuid, "group_id": group})
}

// children are the tables of cell1 of which deleteRow deletes what the instance has.
var children = []string{"security_group_instance_association", "instance_info_caches", "instance_metadata", "instance_faults",
	"instance_extra", "instance_system_metadata", "block_device_mapping", "migrations", "virtual_interfaces", "console_auth_tokens",
	"instance_actions"}

func TestWhatIsLeftOfARowThatIsGoneGoesAndComesBackToTheByte(t *testing.T) {
	lab := novalab.New(t)
	for i, test := range []struct {
		name      string
		tables    []string // deleted outright, too
		api, cell []string
		verdict   string
		plan      []string // has these, each for one table
	}{
		{name: "K1 with its children", tables: children, verdict: "lost", plan: []string{"instance_mappings", "request_specs",
			"instance_group_member", "tags", "instance_id_mappings"}},
		{name: "K1 alone", verdict: "lost", plan: slices.Concat(children[:10], []string{"instance_mappings", "request_specs",
			"instance_group_member", "tags", "instance_id_mappings"})},
		{name: "K2 with its mapping", tables: children, api: []string{"DELETE FROM instance_mappings WHERE instance_uuid = ?"}, verdict: "lost",
			plan: []string{"request_specs", "instance_group_member", "tags", "instance_id_mappings"}},
		{name: "K13 with a build request of long ago", tables: children, api: []string{"INSERT INTO build_requests (instance_uuid, project_id, " +
			"created_at) VALUES (?, 'project', UTC_TIMESTAMP() - INTERVAL 20 DAY)"}, verdict: "lost", plan: []string{"build_requests"}},
		{name: "archived by half", cell: []string{"INSERT INTO shadow_instances (id, uuid, deleted) VALUES (77, ?, 77)"}, verdict: "archived",
			plan: []string{"instance_mappings", "block_device_mapping", "tags"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			uuid := fmt.Sprintf("%08x-0000-4000-b000-00000000000%d", i+0x60000000, i)
			lab.NewInstance(t, uuid)
			deleteRow(t, lab, uuid, test.tables...)
			for _, statement := range test.api {
				novalab.Exec(t, lab.API, statement, uuid)
			}
			for _, statement := range test.cell {
				novalab.Exec(t, lab.Cell1, statement, uuid)
			}
			before, backups := lab.Everything(t, uuid), t.TempDir()
			check := call(t, lab.Conf, backups, uuid, true, nil)
			if diff := cmp.Diff(before, lab.Everything(t, uuid)); diff != "" {
				t.Fatalf("check mode changed rows: %s", diff)
			}
			got := call(t, lab.Conf, backups, uuid, false, nil)
			if got.Get("failed").Bool() || !got.Get("changed").Bool() || got.Get("verdict").String() != test.verdict ||
				check.Get("plan").Raw != got.Get("plan").Raw || check.Get("diff").Raw != got.Get("diff").Raw {
				t.Fatalf("check: %s\nreal: %s", check, got)
			}
			for _, table := range test.plan {
				if !strings.Contains(got.Get("plan").String(), ": "+table+": ") {
					t.Errorf("the plan has nothing of %s: %s", table, got.Get("plan"))
				}
			}
			expectForgotten(t, lab, uuid)
			after := lab.Everything(t, uuid)
			if again := call(t, lab.Conf, backups, uuid, false, nil); again.Get("failed").Bool() || again.Get("changed").Bool() {
				t.Errorf("again: %s", again)
			}
			if diff := cmp.Diff(after, lab.Everything(t, uuid)); diff != "" {
				t.Errorf("the second run changed rows: %s", diff)
			}
			expectFiles(t, backups, 1)
			file := got.Get("backup_file").String()
			if restored := back(t, lab, t.TempDir(), uuid, file, false); restored.Get("failed").Bool() || !restored.Get("changed").Bool() {
				t.Errorf("restored: %s", restored)
			}
			if diff := cmp.Diff(before, lab.Everything(t, uuid)); diff != "" {
				t.Errorf("not as it was: %s", diff)
			}
			if again := back(t, lab, t.TempDir(), uuid, file, false); again.Get("failed").Bool() || again.Get("changed").Bool() {
				t.Errorf("restored again: %s", again)
			}
		})
	}
}

// expectForgotten checks by plain SQL that nothing of Nova's names the instance any more but what a deletion leaves.
func expectForgotten(t *testing.T, lab *novalab.Databases, uuid string) {
	t.Helper()
	for _, table := range []string{"instance_mappings", "build_requests", "request_specs", "instance_group_member"} {
		if left := novalab.Text(t, lab.API, "SELECT COUNT(*) FROM "+table+" WHERE instance_uuid = ?", uuid); left != "0" {
			t.Errorf("%s: %s rows are left", table, left)
		}
	}
	for _, table := range children[:9] {
		if left := novalab.Text(t, lab.Cell1, "SELECT COUNT(*) FROM "+table+" WHERE instance_uuid = ? AND (deleted <> id OR deleted_at IS NULL)",
			uuid); left != "0" {
			t.Errorf("%s: %s rows are not deleted", table, left)
		}
	}
	for query, want := range map[string]string{
		"SELECT COUNT(*) FROM tags WHERE resource_id = ?":                          "0",
		"SELECT COUNT(*) FROM console_auth_tokens WHERE instance_uuid = ?":         "0",
		"SELECT COUNT(*) FROM instance_id_mappings WHERE uuid = ? AND deleted = 0": "0",
		"SELECT COUNT(*) FROM instances WHERE uuid = ?":                            "0",
	} {
		if got := novalab.Text(t, lab.Cell1, query, uuid); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}

func TestTheTracesOfAnInstanceWithoutARowStayWhereItMayStillHaveOne(t *testing.T) {
	lab := novalab.New(t)
	const fresh, back, unread = "6a000000-0000-4000-b000-000000000000", "6a000001-0000-4000-b000-000000000000",
		"6a000002-0000-4000-b000-000000000000"
	expect := func(conf, uuid, verdict, message string) {
		t.Helper()
		got := call(t, conf, t.TempDir(), uuid, false, nil)
		if !got.Get("failed").Bool() || got.Get("changed").Bool() || got.Get("verdict").String() != verdict ||
			!strings.Contains(got.Get("msg").String(), message) {
			t.Errorf("want %s, %q: %s", verdict, message, got)
		}
	}
	novalab.Exec(t, lab.API, "INSERT INTO build_requests (instance_uuid, project_id, created_at) VALUES (?, 'project', UTC_TIMESTAMP())",
		fresh)
	expect(lab.Conf, fresh, "busy", "about to be built")

	// Its row comes back, as from a dump, when the API database is locked.
	lab.NewInstance(t, back)
	novalab.Exec(t, lab.Cell1, "CREATE TABLE saved_instances AS SELECT * FROM instances WHERE uuid = ?", back)
	t.Cleanup(func() { novalab.Exec(t, lab.Cell1, "DROP TABLE saved_instances") })
	deleteRow(t, lab, back, children...)
	novalab.Exec(t, lab.Cell1, "DELETE FROM tags WHERE resource_id = ?", back)
	novalab.Exec(t, lab.Cell1, "DELETE FROM instance_id_mappings WHERE uuid = ?", back)
	proxy := meanwhile(t, lab, lock, func() { novalab.Exec(t, lab.Cell1, "INSERT INTO instances SELECT * FROM saved_instances") })
	api := func() map[string][]string {
		all := lab.Everything(t, back)
		maps.DeleteFunc(all, func(table string, _ []string) bool { return table == "instances" })
		return all
	}
	before := api()
	expect(proxy.Conf, back, "busy", "instances has a row of it")
	if diff := cmp.Diff(before, api()); diff != "" {
		t.Errorf("the traces were changed: %s", diff)
	}

	novalab.Exec(t, lab.API, "INSERT INTO request_specs (instance_uuid, spec) VALUES (?, '{}')", unread)
	lab.Map(t, 3, "33333333-3333-4333-8333-333333333333", "cell3", "mysql+pymysql://root@localhost/nova?unix_socket=/no/mysqld.sock")
	expect(lab.Conf, unread, "unknown", "cell3: the cell could not be read")
}
