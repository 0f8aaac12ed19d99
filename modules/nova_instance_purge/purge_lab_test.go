//go:build lab

package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/nova/novalab"
)

func init() { around = func(m *testing.M) testscript.TestingM { return novalab.Tests{M: m} } }

// call runs the module as Ansible does, with the options besides the usual ones.
func call(t *testing.T, conf, backups, uuid string, check bool, options map[string]any) gjson.Result {
	t.Helper()
	arguments := map[string]any{"instance_uuid": uuid, "nova_conf": conf, "backup_dir": backups, "_ansible_check_mode": check,
		"_ansible_diff": true}
	for key, value := range options {
		arguments[key] = value
	}
	return ansibletest.Start(t, name, arguments, nil).Answer()
}

// environment leads a module that is called without nova_conf to the databases' cloud.
func environment(t *testing.T, lab *novalab.Databases) {
	t.Helper()
	for name, value := range lab.Cloud.Environment() {
		t.Setenv(name, value)
	}
}

type fault struct {
	name string
	// setup are statements for cell1, each with the uuid as its only argument.
	setup []string
	api   []string // the same for the API database
	// options are given to the module, judged as the judged_as of the instance, and since as its unchanged_since.
	options, judged map[string]any
	since           string
	verdict         string
	refusal         string // the message matches, and nothing is changed
	changed         bool
}

func faults() []fault {
	const old = "UTC_TIMESTAMP() - INTERVAL 1 HOUR"
	const lock = "UPDATE instances SET locked = 1, locked_by = 'admin' WHERE uuid = ?"
	const justNow = "UPDATE instances SET task_state = 'deleting', updated_at = UTC_TIMESTAMP() - INTERVAL 1 SECOND WHERE uuid = ?"
	const stuckMove = "UPDATE migrations SET status = 'running', deleted = 0, updated_at = UTC_TIMESTAMP() - INTERVAL 3 DAY " +
		"WHERE instance_uuid = ?"
	// judged_as, without the uuid
	judged := func(host string) map[string]any {
		return map[string]any{"updated_at": "2026-01-02T03:04:05Z", "vm_state": "error", "task_state": "", "host": host}
	}
	const judgedRow = "UPDATE instances SET updated_at = '2026-01-02 03:04:05' WHERE uuid = ?"
	return []fault{
		{name: "stuck: vm_state error", verdict: "stuck", changed: true},
		{name: "stuck: deleting for an hour", setup: []string{"UPDATE instances SET vm_state = 'active', task_state = 'deleting' WHERE uuid = ?"},
			verdict: "stuck", changed: true},
		{name: "stuck: vm_state deleted, deleted 0", setup: []string{"UPDATE instances SET vm_state = 'deleted' WHERE uuid = ?"},
			verdict: "stuck", changed: true},
		{name: "D1 the hack", setup: []string{"UPDATE instances SET deleted = 1, deleted_at = NOW(), vm_state = 'deleted' WHERE uuid = ?"},
			verdict: "zombie", changed: true},
		{name: "D1 the hack with a date that is none", setup: []string{"SET STATEMENT sql_mode = '' FOR UPDATE instances SET deleted = '1', " +
			"deleted_at = 'now()' WHERE uuid = ?"}, verdict: "zombie", changed: true},
		{name: "D1 D10 the hack in another time zone", setup: []string{"UPDATE instances SET deleted = 1, deleted_at = UTC_TIMESTAMP() + " +
			"INTERVAL 3 HOUR WHERE uuid = ?"}, verdict: "zombie", changed: true},
		{name: "D1 the hack on the children as well", setup: []string{
			"UPDATE instances SET deleted = 1, deleted_at = " + old + " WHERE uuid = ?",
			"UPDATE block_device_mapping SET deleted = 1 WHERE instance_uuid = ?",
			"UPDATE virtual_interfaces SET deleted = 1 WHERE instance_uuid = ?",
			"INSERT INTO virtual_interfaces (instance_uuid, address, deleted, uuid) SELECT instance_uuid, address, 0, 'second' FROM " +
				"virtual_interfaces WHERE instance_uuid = ?",
		}, verdict: "zombie", changed: true},
		{name: "D2 deleted, but its children are not", setup: []string{"UPDATE instances SET deleted = id, deleted_at = " + old +
			", vm_state = 'deleted' WHERE uuid = ?"}, verdict: "deleted", changed: true},
		{name: "deleted by hand, and vm_state as it was", setup: []string{"UPDATE instances SET deleted = id, deleted_at = " + old +
			", vm_state = 'active' WHERE uuid = ?"}, verdict: "deleted", changed: true},
		{name: "deleted by hand without a date, and vm_state as it was", setup: []string{"UPDATE instances SET deleted = id, " +
			"vm_state = 'active' WHERE uuid = ?"}, verdict: "deleted", changed: true},
		{name: "D10 deleted in the future", setup: []string{"UPDATE instances SET deleted = id, deleted_at = UTC_TIMESTAMP() + INTERVAL 3 " +
			"HOUR WHERE uuid = ?"}, verdict: "deleted", changed: true},
		{name: "D6 a build request is left", api: []string{"INSERT INTO build_requests (instance_uuid, project_id) VALUES (?, 'project')"},
			verdict: "stuck", changed: true},
		{name: "D7 the mapping has no cell", api: []string{"UPDATE instance_mappings SET cell_id = NULL WHERE instance_uuid = ?"},
			verdict: "stuck", changed: true},
		{name: "D7 there is no mapping", api: []string{"DELETE FROM instance_mappings WHERE instance_uuid = ?"}, verdict: "stuck", changed: true},
		{name: "the host is the right one", options: map[string]any{"host": "compute1"}, verdict: "stuck", changed: true},
		{name: "deleting just now, by the caller itself", setup: []string{justNow},
			options: map[string]any{"unchanged_since": time.Now().UTC().Add(time.Hour).Format(time.RFC3339)}, verdict: "stuck", changed: true},
		{name: "deleting just now, by the caller itself, in a list", setup: []string{justNow},
			since: time.Now().UTC().Add(time.Hour).Format(time.RFC3339), verdict: "stuck", changed: true},
		{name: "X14 locked, and it may go", setup: []string{lock}, options: map[string]any{"allow_locked": true}, verdict: "stuck",
			changed: true},
		{name: "X15 as it was judged", setup: []string{judgedRow}, judged: judged("compute1"), verdict: "stuck", changed: true},

		{name: "a migration stuck for days, and it may go", setup: []string{stuckMove}, options: map[string]any{"allow_stuck_migration": true},
			verdict: "stuck", changed: true},
		{name: "a resize that waits, of one in ERROR, and it may go", setup: []string{stuckMove,
			"UPDATE migrations SET status = 'finished' WHERE instance_uuid = ?"}, options: map[string]any{"allow_stuck_migration": true},
			verdict: "stuck", changed: true},
		{name: "deleted by its owner, and it may go", setup: []string{"UPDATE instances SET vm_state = 'soft-delete' WHERE uuid = ?"},
			options: map[string]any{"allow_soft_deleted": true}, verdict: "stuck", changed: true},

		{name: "a migration stuck for days", setup: []string{stuckMove}, verdict: "busy",
			refusal: `.* 72h\S* ago: .*allow_stuck_migration: true.*`},
		{name: "a migration that goes on, and a stuck one may go", setup: []string{"UPDATE migrations SET status = 'running', deleted = 0, " +
			"updated_at = UTC_TIMESTAMP() WHERE instance_uuid = ?"}, options: map[string]any{"allow_stuck_migration": true}, verdict: "busy",
			refusal: `.*only when nothing was written of it.*`},
		{name: "deleted by its owner a moment ago, and it may go", setup: []string{"UPDATE instances SET vm_state = 'soft-delete', " +
			"updated_at = UTC_TIMESTAMP() WHERE uuid = ?"}, options: map[string]any{"allow_soft_deleted": true}, verdict: "live",
			refusal: `.*restore.*`},
		{name: "X14 locked", setup: []string{lock, "INSERT INTO instance_system_metadata (instance_uuid, `key`, value, deleted) VALUES (?, " +
			"'locked_reason', 'legal hold', 0)"},
			verdict: "stuck", refusal: `.*locked.*legal hold.*unlock.*`},
		{name: "X14 protected, and a lock may be ignored", setup: []string{lock, "UPDATE instances SET disable_terminate = 1 WHERE uuid = ?"},
			options: map[string]any{"allow_locked": true}, verdict: "stuck", refusal: `.*disable_terminate.*`},
		{name: "X15 not as it was judged", setup: []string{judgedRow}, judged: judged("compute2"), verdict: "busy",
			refusal: `.*instances\.host was "compute2", is "compute1".*`},
		{name: "X15 written by somebody after the caller", setup: []string{justNow}, since: "2026-01-02T03:04:05Z", verdict: "busy",
			refusal: `.*min_age.*`},
		{name: "D4 active", setup: []string{"UPDATE instances SET vm_state = 'active' WHERE uuid = ?"}, verdict: "live",
			refusal: `.*vm_state = active.*`},
		{name: "D4 restorable", setup: []string{"UPDATE instances SET vm_state = 'soft-delete' WHERE uuid = ?"}, verdict: "live",
			refusal: `.*vm_state = soft-delete.*`},
		{name: "D4 a task", setup: []string{"UPDATE instances SET task_state = 'rebuilding' WHERE uuid = ?"}, verdict: "busy",
			refusal: `.*task_state = rebuilding.*`},
		{name: "D5 deleting just now",
			setup: []string{"UPDATE instances SET task_state = 'deleting', updated_at = UTC_TIMESTAMP() WHERE uuid = ?"}, verdict: "busy",
			refusal: `.*min_age.*`},
		{name: "P3 a migration", setup: []string{"UPDATE migrations SET status = 'migrating' WHERE instance_uuid = ?"}, verdict: "busy",
			refusal: `.*migrations\.status = migrating.*`},
		{name: "P3 awaiting confirmation", setup: []string{"UPDATE migrations SET status = 'finished' WHERE instance_uuid = ?"}, verdict: "busy",
			refusal: `.*confirmation.*`},
		{name: "P8 hidden", setup: []string{"UPDATE instances SET hidden = 1 WHERE uuid = ?"}, verdict: "busy", refusal: `.*hidden.*`},
		{name: "P2 being built", setup: []string{"UPDATE instances SET vm_state = 'building', host = NULL WHERE uuid = ?"}, verdict: "busy",
			refusal: `.*being built.*`},
		{name: "D3 P10 another host", options: map[string]any{"host": "compute1.example"}, verdict: "stuck",
			refusal: `.*"compute1\.example".*"compute1".*`},
	}
}

func TestEachFaultOnNovasOwnSchema(t *testing.T) {
	lab := novalab.New(t)
	for i, fault := range faults() {
		t.Run(fault.name, func(t *testing.T) {
			uuid := fmt.Sprintf("%08x-0000-4000-8000-00000000000%d", i+0x10000000, i%10)
			instance := lab.NewInstance(t, uuid)
			if fault.judged != nil {
				fault.options = map[string]any{"judged_as": map[string]any{uuid: fault.judged}}
			}
			if fault.since != "" {
				fault.options = map[string]any{"unchanged_since": map[string]any{uuid: fault.since}}
			}
			for _, statement := range fault.setup {
				novalab.Exec(t, lab.Cell1, statement, uuid)
			}
			for _, statement := range fault.api {
				novalab.Exec(t, lab.API, statement, uuid)
			}
			before := lab.Dump(t, uuid, true)
			backups := t.TempDir()

			check := call(t, lab.Conf, backups, uuid, true, fault.options)
			if diff := cmp.Diff(before, lab.Dump(t, uuid, true)); diff != "" {
				t.Fatalf("check mode changed rows: %s", diff)
			}
			first := call(t, lab.Conf, backups, uuid, false, fault.options)
			for mode, answer := range map[string]gjson.Result{"check": check, "real": first} {
				if answer.Get("verdict").String() != fault.verdict || answer.Get("changed").Bool() != fault.changed {
					t.Errorf("%s: want %s, changed %v: %s", mode, fault.verdict, fault.changed, answer)
				}
				if answer.Get("failed").Bool() != (fault.refusal != "") ||
					!regexp.MustCompile("(?s)^"+fault.refusal).MatchString(answer.Get("msg").String()) {
					t.Errorf("%s: want refusal %q: %s", mode, fault.refusal, answer)
				}
				if answer.Get("instance.uuid").String() != uuid {
					t.Errorf("%s: no record: %s", mode, answer)
				}
			}
			if check.Get("plan").Raw != first.Get("plan").Raw || check.Get("diff").Raw != first.Get("diff").Raw {
				t.Errorf("check and real tell different plans:\n%s\n%s", check, first)
			}
			if fault.refusal != "" {
				if diff := cmp.Diff(before, lab.Dump(t, uuid, true)); diff != "" {
					t.Errorf("a refusal changed rows: %s", diff)
				}
				expectFiles(t, backups, 0)
				return
			}
			expectFinished(t, lab, instance)
			expectFiles(t, backups, 1)
			after := lab.Dump(t, uuid, true)
			for _, check := range []bool{true, false} {
				again := call(t, lab.Conf, backups, uuid, check, fault.options)
				if again.Get("changed").Bool() || again.Get("failed").Bool() || again.Get("verdict").String() != "deleted" {
					t.Errorf("again: %s", again)
				}
			}
			if diff := cmp.Diff(after, lab.Dump(t, uuid, true)); diff != "" {
				t.Errorf("the second run changed rows: %s", diff)
			}
			expectFiles(t, backups, 1)
		})
	}
}

func TestEachOfAListIsItsOwnTransactionAndAllAreReadInAsManyQueriesAsOne(t *testing.T) {
	lab := novalab.New(t)
	instances := map[string]novalab.Instance{}
	var uuids []string
	for i := range 12 {
		uuid := fmt.Sprintf("%08x-0000-4000-8000-0000000000ee", i+0x18000000)
		instances[uuid] = lab.NewInstance(t, uuid)
		uuids = append(uuids, uuid)
	}
	live, absent, lost := uuids[3], "18888888-0000-4000-8000-0000000000ee", "18888889-0000-4000-8000-0000000000ee"
	novalab.Exec(t, lab.Cell1, "UPDATE instances SET vm_state = 'active' WHERE uuid = ?", live)
	novalab.Exec(t, lab.API, "INSERT INTO request_specs (instance_uuid, spec) VALUES (?, '{}')", lost)
	before := lab.Everything(t, live)
	queries := func(list ...string) (count int) {
		t.Helper()
		proxy := lab.Proxy(t, func(int, string) novalab.Action { return novalab.Action{} })
		call(t, proxy.Conf, t.TempDir(), "", true, map[string]any{"instance_uuid": list})
		for _, statement := range proxy.Statements() {
			if strings.HasPrefix(statement, "SELECT") {
				count++
			}
		}
		return count
	}
	if one, all := queries(uuids[0]), queries(uuids...); one != all || one < 20 {
		t.Errorf("%d queries for one, %d for %d", one, all, len(uuids))
	}
	backups := t.TempDir()
	got := call(t, lab.Conf, backups, "", false, map[string]any{"instance_uuid": append(uuids, absent, lost)})
	if !got.Get("failed").Bool() || !got.Get("changed").Bool() ||
		!strings.HasPrefix(got.Get("msg").String(), "1 of 14 instances failed: "+live) ||
		got.Get("instances.12.verdict").String() != "absent" || got.Get("instances.13.verdict").String() != "lost" {
		t.Errorf("got %s", got)
	}
	for i, uuid := range uuids {
		entry := got.Get(fmt.Sprintf("instances.%d", i))
		if uuid == live {
			if diff := cmp.Diff(before, lab.Everything(t, live)); diff != "" || entry.Get("verdict").String() != "live" {
				t.Errorf("the one that lives was changed: %s: %s", entry, diff)
			}
			continue
		}
		if entry.Get("instance_uuid").String() != uuid || !entry.Get("changed").Bool() || entry.Get("rows_changed.instances").Int() != 1 ||
			!strings.Contains(entry.Get("backup_file").String(), uuid) {
			t.Errorf("%s: %s", uuid, entry)
		}
		expectFinished(t, lab, instances[uuid])
	}
	expectFiles(t, backups, len(uuids)) // not of the one that lives, nor of the absent one, but of the lost one
	if left := novalab.Text(t, lab.API, "SELECT COUNT(*) FROM request_specs WHERE instance_uuid = ?", lost); left != "0" {
		t.Errorf("the lost one has %s request specs", left)
	}
}

func expectFiles(t *testing.T, backups string, want int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(backups, "*", "*.json"))
	if err != nil || len(files) != want {
		t.Errorf("%d backups, want %d (%v)", len(files), want, err)
	}
}

// expectFinished checks by plain SQL that the deletion is what Nova makes of it.
func expectFinished(t *testing.T, lab *novalab.Databases, instance novalab.Instance) {
	t.Helper()
	for _, table := range []string{"security_group_instance_association", "instance_info_caches", "instance_metadata", "instance_faults",
		"instance_extra", "instance_system_metadata", "block_device_mapping", "migrations", "virtual_interfaces"} {
		if left := novalab.Text(t, lab.Cell1, "SELECT COUNT(*) FROM "+table+" WHERE instance_uuid = ? AND (deleted <> id OR deleted_at IS "+
			"NULL OR deleted_at > UTC_TIMESTAMP())", instance.UUID); left != "0" {
			t.Errorf("%s: %s rows are not deleted", table, left)
		}
	}
	for query, want := range map[string]string{
		"SELECT deleted FROM instances WHERE uuid = ?":                                                     fmt.Sprint(instance.ID),
		"SELECT deleted_at <= UTC_TIMESTAMP() AND deleted_at > '2000-01-01' FROM instances WHERE uuid = ?": "1",
		"SELECT vm_state FROM instances WHERE uuid = ? AND task_state IS NULL":                             "deleted",
		"SELECT host FROM instances WHERE uuid = ?":                                                        "compute1",
		"SELECT cleaned FROM instances WHERE uuid = ?":                                                     "0",
		"SELECT deleted = id FROM instance_id_mappings WHERE uuid = ?":                                     "1",
		"SELECT COUNT(*) FROM tags WHERE resource_id = ?":                                                  "0",
		"SELECT COUNT(*) FROM console_auth_tokens WHERE instance_uuid = ?":                                 "0",
		"SELECT SUM(deleted) FROM instance_actions WHERE instance_uuid = ?":                                "0",
	} {
		if got := novalab.Text(t, lab.Cell1, query, instance.UUID); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
	for query, want := range map[string]string{
		"SELECT COUNT(*) FROM instance_mappings WHERE instance_uuid = ? AND COALESCE(queued_for_delete, 0) = 0": "0",
		"SELECT COUNT(*) FROM build_requests WHERE instance_uuid = ?":                                           "0",
		"SELECT COUNT(*) FROM request_specs WHERE instance_uuid = ?":                                            "1",
	} {
		if got := novalab.Text(t, lab.API, query, instance.UUID); got != want {
			t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
}

func TestTheRecordTellsWhatThePlaybookNeeds(t *testing.T) {
	lab := novalab.New(t)
	const uuid, other = "22222222-0000-4000-8000-000000000000", "22222223-0000-4000-8000-000000000000"
	instance := lab.NewInstance(t, uuid)
	lab.NewInstance(t, other)
	novalab.Insert(t, lab.Cell1, "compute_nodes", map[string]any{"uuid": "provider", "host": "compute1",
		"hypervisor_hostname": "compute1.example",
		"deleted":             0, "vcpus": 1, "memory_mb": 1, "local_gb": 1, "vcpus_used": 0, "memory_mb_used": 0, "local_gb_used": 0,
		"hypervisor_type": "QEMU", "hypervisor_version": 1, "cpu_info": ""})
	novalab.Insert(t, lab.Cell1, "services", map[string]any{"host": "compute1", "binary": "nova-compute", "deleted": 0, "forced_down": 1,
		"disabled":     0,
		"report_count": 1, "last_seen_up": "2026-01-02 03:04:05", "topic": "compute"})
	novalab.Exec(t, lab.Cell1, "UPDATE instances SET launched_on = 'compute3', launched_at = '2026-01-02 03:04:05' WHERE uuid = ?", uuid)
	novalab.Exec(t, lab.Cell1, "UPDATE instance_faults SET host = 'compute4' WHERE instance_uuid = ?", uuid)
	for name, deleted := range map[string]int{"compute4": 7, "compute5": 0} {
		novalab.Insert(t, lab.Cell1, "services", map[string]any{"host": name, "binary": "nova-compute", "deleted": deleted, "report_count": 1,
			"topic": "compute"})
	}
	for _, name := range []string{"compute5", "controller", "compute1"} {
		novalab.Exec(t, lab.Cell1,
			"INSERT INTO instance_actions_events (action_id, event, host, deleted) SELECT id, 'event', '"+name+"', 0 FROM instance_actions WHERE "+
				"instance_uuid = ?", uuid)
	}
	novalab.Insert(t, lab.Cell1, "instance_system_metadata",
		map[string]any{"instance_uuid": uuid, "key": "vtpm_secret_uuid", "value": "the-secret", "deleted": 0})
	const evacuated = "22222224-0000-4000-8000-000000000000"
	lab.NewInstance(t, evacuated)
	for _, migration := range []struct{ instance, kind, source, status string }{
		{evacuated, "evacuation", "compute1", "done"},
		{evacuated, "evacuation", "compute1", "completed"},
		{other, "evacuation", "compute1", "completed"},
		{other, "evacuation", "compute2", "done"},
		{other, "migration", "compute1", "done"},
	} {
		novalab.Insert(t, lab.Cell1, "migrations", map[string]any{"instance_uuid": migration.instance, "migration_type": migration.kind,
			"source_compute": migration.source, "status": migration.status, "deleted": 0})
	}
	answer := call(t, lab.Conf, t.TempDir(), uuid, true, nil)
	for path, want := range map[string]string{
		"instance.id": fmt.Sprint(instance.ID), "instance.name": "caf\u00e9 2222", "instance.host": "compute1", "instance.cell.name": "cell1",
		"instance.hypervisor_hostname": "compute1.example", "instance.resource_provider": "provider",
		"instance.vcpus": "2", "instance.memory_mb": "128", "instance.root_gb": "3", "instance.ephemeral_gb": "4", "instance.swap_mb": "5",
		"instance.flavor":              "m1.nano",
		"instance.domain_name":         fmt.Sprintf("instance-%08x", instance.ID),
		"instance.volumes.0.volume_id": uuid[:35] + "c", "instance.volumes.0.attachment_id": uuid[:35] + "d",
		"instance.volumes.0.delete_on_termination": "true",
		"instance.ports.#":                         "1", "instance.ports.0.id": uuid[:35] + "9",
		"instance.ports.0.mac_address":     "fa:16:3e:00:00:01",
		"instance.dead_migration_uuids.0":  uuid[:35] + "e",
		"instance.hosts.#.host":            `["compute1","compute2","compute3","compute4","compute5"]`,
		"instance.hosts.#.named_by":        `[["row","migration","event"],["migration"],["launched_on"],["fault"],["event"]]`,
		"instance.hosts.3.compute_service": "", "instance.hosts.4.compute_service.forced_down": "false",
		"instance.launched_at": "2026-01-02T03:04:05Z", "instance.vtpm_secret_uuid": "the-secret", "instance.shares.#": "0",
		"reap.volumes.0.fate": "deleted", "reap.volumes.0.attached_to.0": uuid, "reap.ports.0.fate": "deleted",
		"instance.hosts.0.compute_service.forced_down": "true", "instance.hosts.0.compute_service.last_seen_up": "2026-01-02T03:04:05Z",
		"instance.hosts.0.instances_evacuated_from_host.count": "1", "instance.hosts.0.instances_evacuated_from_host.uuids.0": evacuated,
		"instance.hosts.1.compute_service":                       "",
		"instance.hosts.1.instances_evacuated_from_host.uuids.0": other,
		"mapped": "true", "queued_for_delete": "false", "request_spec": "true",
	} {
		t.Run(path, func(t *testing.T) {
			if got := answer.Get(path).String(); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	t.Run("the plan warns of delete_on_termination", func(t *testing.T) {
		if plan := answer.Get("plan").String(); !strings.Contains(plan, "DELETES volume "+uuid[:35]+"c") {
			t.Errorf("got %s", plan)
		}
	})
	t.Run("F5 the plan tells of the secret of the vTPM", func(t *testing.T) {
		if plan := answer.Get("plan").String(); !strings.Contains(plan, "the secret the-secret of its vTPM stays") {
			t.Errorf("got %s", plan)
		}
	})
}
