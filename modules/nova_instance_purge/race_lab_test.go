//go:build lab

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/nova/novalab"
)

// lock is how the statement begins between judging and acting.
const lock = "SELECT id FROM instances WHERE uuid"

// meanwhile runs act when a module comes for the first time to a statement that begins so.
func meanwhile(t *testing.T, lab *novalab.Databases, at string, act func()) *novalab.Proxy {
	t.Helper()
	var once sync.Once
	return lab.Proxy(t, func(_ int, statement string) novalab.Action {
		if strings.HasPrefix(statement, at) {
			once.Do(act)
		}
		return novalab.Action{}
	})
}

// statements runs them for the instance, from any goroutine.
func statements(t *testing.T, lab *novalab.Databases, uuid string, list ...string) func() {
	return func() {
		for _, statement := range list {
			if _, err := lab.Cell1.Exec(statement, uuid); err != nil {
				t.Errorf("%s: %v", statement, err)
			}
		}
	}
}

// destroy is Nova's own end of a deletion, as a user's "server delete" causes it.
const destroy = `
import sys
from nova import config, context, objects
config.parse_args(['test', '--config-file', sys.argv[1]])
objects.register_all()
instance = objects.Instance.get_by_uuid(context.get_admin_context(), sys.argv[2])
instance.vm_state, instance.task_state = 'deleted', None
instance.save()
instance.destroy()
`

func novaDeletes(t *testing.T, lab *novalab.Databases, uuid string) func() {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "cell1.conf")
	if err := os.WriteFile(conf, []byte("[database]\nconnection = "+lab.URL("root", "",
		"cell1")+"\n[api_database]\nconnection = "+lab.URL("root", "", "api")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() {
		if output, err := exec.Command("python3", "-c", destroy, conf, uuid).CombinedOutput(); err != nil {
			t.Errorf("nova's destroy: %v: %s", err, output)
		}
	}
}

func TestWhatHappensToTheInstanceBetweenJudgingAndActing(t *testing.T) {
	lab := novalab.New(t)
	races := []struct {
		name     string
		happens  []string // in cell1
		deletes  bool     // Nova itself deletes it
		verdict  string
		msg      string
		finished bool
	}{
		{name: "its state is reset", happens: []string{"UPDATE instances SET vm_state = 'active', updated_at = UTC_TIMESTAMP() WHERE uuid = ?"},
			verdict: "live", msg: "vm_state = active"},
		{name: "it is started", happens: []string{"UPDATE instances SET task_state = 'powering-on', updated_at = UTC_TIMESTAMP() WHERE uuid = ?"},
			verdict: "busy", msg: "task_state = powering-on"},
		{name: "it is evacuated", happens: []string{
			"UPDATE instances SET task_state = 'rebuilding', updated_at = UTC_TIMESTAMP() WHERE uuid = ?",
			"INSERT INTO migrations (instance_uuid, uuid, status, migration_type, deleted) VALUES (?, UUID(), 'accepted', 'evacuation', 0)",
		}, verdict: "busy", msg: "migrations.status = accepted"},
		{name: "it was evacuated and is in error on another host",
			happens: []string{"UPDATE instances SET host = 'compute2', updated_at = UTC_TIMESTAMP() WHERE uuid = ?"}, verdict: "busy",
			msg: "changed since it was judged: cell1: instances.host"},
		{name: "it is touched", happens: []string{"INSERT INTO instance_faults (instance_uuid, code, deleted) VALUES (?, 500, 0)"},
			verdict: "busy", msg: "instance_faults has 2 rows instead of 1"},
		{name: "it is archived, and the API database is to come", happens: archives(), verdict: "archived", msg: "finished the deletion"},
		{name: "its row is archived, and what belongs to it is not", happens: archives()[:3], verdict: "busy",
			msg: "instances has 0 rows instead of 1"},
		{name: "its user deletes it, and Nova's own code succeeds", deletes: true, verdict: "deleted", msg: "finished the deletion",
			finished: true},
	}
	for i, race := range races {
		t.Run(race.name, func(t *testing.T) {
			uuid := fmt.Sprintf("%08x-0000-4000-e000-000000000000", 0x70000000+i)
			instance := lab.NewInstance(t, uuid)
			act := statements(t, lab, uuid, race.happens...)
			if race.deletes {
				act = novaDeletes(t, lab, uuid)
			}
			var after map[string][]string
			proxy := meanwhile(t, lab, lock, func() { act(); after = lab.Dump(t, uuid, true) })
			answer := call(t, proxy.Conf, t.TempDir(), uuid, false, nil)
			refused := race.verdict == "live" || race.verdict == "busy"
			if answer.Get("verdict").String() != race.verdict || answer.Get("failed").Bool() != refused ||
				!strings.Contains(answer.Get("msg").String(), race.msg) {
				t.Errorf("want %s, %q: %s", race.verdict, race.msg, answer)
			}
			if diff := cmp.Diff(after, lab.Dump(t, uuid, true)); diff != "" {
				t.Errorf("rows were changed: %s", diff)
			}
			if race.finished {
				call(t, lab.Conf, t.TempDir(), uuid, false, nil)
				if got := novalab.Text(t, lab.API, "SELECT queued_for_delete FROM instance_mappings WHERE instance_uuid = ?",
					instance.UUID); got != "1" {
					t.Errorf("queued_for_delete is %s", got)
				}
			}
		})
	}
	t.Logf("races with Nova: %d", len(races))
}

// archives are statements that do to cell1 what archiving does, those for what belongs to the row last.
func archives() []string {
	statements := []string{
		"UPDATE instances SET deleted = id WHERE uuid = ?", "INSERT INTO shadow_instances SELECT * FROM instances WHERE uuid = ?",
		"SET STATEMENT foreign_key_checks = 0 FOR DELETE FROM instances WHERE uuid = ?", "DELETE FROM instance_id_mappings WHERE uuid = ?",
		"DELETE FROM tags WHERE resource_id = ?",
	}
	for _, table := range []string{"security_group_instance_association", "instance_info_caches", "instance_metadata", "instance_faults",
		"instance_extra", "instance_system_metadata", "block_device_mapping", "migrations", "virtual_interfaces", "console_auth_tokens",
		"instance_actions"} {
		statements = append(statements, "DELETE FROM "+table+" WHERE instance_uuid = ?")
	}
	return statements
}

// MariaDB has innodb_snapshot_isolation since 10.6.18, 10.11.8 and 11.4.2, and by default since 11.6.
func TestARowThatAnotherWroteUnderSnapshotIsolationIsAChangeByAnother(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "77ffffff-0000-4000-e000-000000000000"
	lab.NewInstance(t, uuid)
	// Of no index: that which InnoDB holds the foreign key by is the first that Nova's "db sync" has made, and they come in no order.
	act := statements(t, lab, uuid, "UPDATE block_device_mapping SET disk_bus = 'scsi' WHERE instance_uuid = ?")
	var after map[string][]string
	var once sync.Once
	proxy := lab.Proxy(t, func(_ int, statement string) novalab.Action {
		switch {
		case strings.HasPrefix(statement, "SET SESSION wsrep_sync_wait"):
			return novalab.Action{Instead: "SET SESSION innodb_snapshot_isolation = ON"}
		case strings.HasPrefix(statement, "UPDATE block_device_mapping"):
			once.Do(func() { act(); after = lab.Dump(t, uuid, true) })
		}
		return novalab.Action{}
	})
	answer := call(t, proxy.Conf, t.TempDir(), uuid, false, nil)
	if answer.Get("verdict").String() != "busy" || answer.Get("changed").Bool() ||
		!strings.Contains(answer.Get("msg").String(), "changed since it was judged: block_device_mapping") {
		t.Errorf("got %s", answer)
	}
	if diff := cmp.Diff(after, lab.Dump(t, uuid, true)); diff != "" {
		t.Errorf("rows were changed: %s", diff)
	}
}

// together lets both modules come to the lock before either gets it.
func together(t *testing.T, lab *novalab.Databases) [2]*novalab.Proxy {
	t.Helper()
	var arrived sync.WaitGroup
	arrived.Add(2)
	wait := func() { arrived.Done(); arrived.Wait() }
	return [2]*novalab.Proxy{meanwhile(t, lab, lock, wait), meanwhile(t, lab, lock, wait)}
}

func TestTwoModulesAtOnceBothEndWell(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "7fffffff-0000-4000-e000-000000000000"
	instance, backups := lab.NewInstance(t, uuid), t.TempDir()
	before := lab.Everything(t, uuid)
	both := func(options map[string]any) {
		t.Helper()
		var answers [2]gjson.Result
		var group sync.WaitGroup
		for i, proxy := range together(t, lab) {
			group.Go(func() { answers[i] = call(t, proxy.Conf, backups, uuid, false, options) })
		}
		group.Wait()
		rows := int64(0)
		for _, answer := range answers {
			if answer.Get("failed").Bool() {
				t.Errorf("got %s", answer)
			}
			rows += answer.Get("rows_changed.instances").Int()
		}
		if rows != 1 {
			t.Errorf("the row of instances was changed %d times: %s and %s", rows, answers[0], answers[1])
		}
	}
	both(nil)
	expectFinished(t, lab, instance)
	both(map[string]any{"state": "present", "backup_file": toRestore(t, backups)})
	if diff := cmp.Diff(before, lab.Everything(t, uuid)); diff != "" {
		t.Errorf("not as it was: %s", diff)
	}
	t.Log("races of modules with each other: 2 of the same, 3 of a purge with a restore")
}

func TestAPurgeAndARestoreThatMeetAreToldApartAndFinishedByTheNext(t *testing.T) {
	lab := novalab.New(t)
	for i, race := range []struct {
		name string
		// first is interrupted at a statement by the other one.
		restoreFirst bool
		at           string
		other, msg   string // what they say
	}{
		{"a purge while a restore commits", true, "COMMIT", "nothing to do", "put back"},
		{"a purge between a restore's databases", true, "UPDATE instance_mappings", "finished the deletion", "read back"},
		{"a restore between a purge's databases", false, "UPDATE instance_mappings", "put back", "read back"},
	} {
		t.Run(race.name, func(t *testing.T) {
			uuid := fmt.Sprintf("%08x-0000-4000-e000-000000000000", 0x78000000+i)
			instance, backups := lab.NewInstance(t, uuid), t.TempDir()
			// Without the mapping: what the second run found there is what it saved.
			before := lab.Dump(t, uuid, true)
			var other gjson.Result
			present := func() map[string]any { return map[string]any{"state": "present", "backup_file": toRestore(t, backups)} }
			absent := func() map[string]any { return nil }
			first, second := absent, present
			if race.restoreFirst {
				first, second = present, absent
				call(t, lab.Conf, backups, uuid, false, nil)
			}
			proxy := meanwhile(t, lab, race.at, func() { other = call(t, lab.Conf, backups, uuid, false, second()) })
			one := call(t, proxy.Conf, backups, uuid, false, first())
			if !strings.Contains(other.Get("msg").String(), race.other) || !strings.Contains(one.Get("msg").String(), race.msg) {
				t.Errorf("want %q and %q: %s and %s", race.msg, race.other, one, other)
			}
			if again := call(t, lab.Conf, backups, uuid, false, nil); again.Get("failed").Bool() {
				t.Errorf("purge: %s", again)
			}
			expectFinished(t, lab, instance)
			if again := call(t, lab.Conf, backups, uuid, false, present()); again.Get("failed").Bool() {
				t.Errorf("restore: %s", again)
			}
			if diff := cmp.Diff(before, lab.Dump(t, uuid, true)); diff != "" {
				t.Errorf("not as it was: %s", diff)
			}
		})
	}
}

func TestWhatHappensBetweenJudgingAndRestoring(t *testing.T) {
	lab := novalab.New(t)
	races := []struct{ name, happens, msg string }{
		{"nova-compute reaps it", "UPDATE instances SET cleaned = 1, updated_at = UTC_TIMESTAMP() WHERE uuid = ?",
			"changed since it was judged: cell1: instances.cleaned"},
		{"it is purged from the cell", "SET STATEMENT foreign_key_checks = 0 FOR DELETE FROM instances WHERE uuid = ?",
			"the instance's row is gone"},
		{"somebody revives it by hand", "UPDATE instances SET deleted = 0, vm_state = 'active' WHERE uuid = ?",
			`vm_state = "active", the purge left "deleted"`},
	}
	for i, race := range races {
		t.Run(race.name, func(t *testing.T) {
			uuid := fmt.Sprintf("%08x-0000-4000-e000-000000000000", 0x7a000000+i)
			lab.NewInstance(t, uuid)
			file := purged(t, lab, uuid, nil)
			var after map[string][]string
			proxy := meanwhile(t, lab, lock, func() { statements(t, lab, uuid, race.happens)(); after = lab.Everything(t, uuid) })
			answer := call(t, proxy.Conf, t.TempDir(), uuid, false, map[string]any{"state": "present", "backup_file": file})
			if !answer.Get("failed").Bool() || answer.Get("changed").Bool() || !strings.Contains(answer.Get("msg").String(), race.msg) {
				t.Errorf("want %q: %s", race.msg, answer)
			}
			if diff := cmp.Diff(after, lab.Everything(t, uuid)); diff != "" {
				t.Errorf("rows were changed: %s", diff)
			}
		})
	}
	t.Logf("races with a restore: %d", len(races))
}
