//go:build lab

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/nova/novalab"
)

func init() {
	around = func(m testscript.TestingM) testscript.TestingM { return novalab.Tests{M: m.(*testing.M)} }
}

const (
	stuck     = "77777777-0000-4000-8000-000000000000" // in ERROR on compute1, with all that novalab gives it
	rowless   = "77777777-0000-4000-8000-000000000100" // its rows were deleted outright
	nobodys   = "77777777-0000-4000-8000-000000000200"
	migration = "77777777-0000-4000-8000-00000000000e" // of stuck, from compute1 to compute2
	provider  = "77777777-0000-4000-8000-0000000000aa" // of compute1.example
)

// namedLab asks about instances of databases with Nova's own schemas, where compute1 has a nova-compute and compute9 has none.
type namedLab struct {
	*novalab.Databases
	t *testing.T
}

func newNamedLab(t *testing.T) namedLab {
	lab := novalab.New(t)
	lab.NewInstance(t, stuck)
	lab.NewInstance(t, rowless)
	novalab.Exec(t, lab.Cell1, "UPDATE instances SET launched_at = created_at")
	for _, table := range []string{"security_group_instance_association", "instance_info_caches", "instance_metadata", "instance_faults",
		"instance_extra", "instance_system_metadata", "block_device_mapping", "migrations", "virtual_interfaces", "instance_actions"} {
		novalab.Exec(t, lab.Cell1, "DELETE FROM "+table+" WHERE instance_uuid = ?", rowless)
	}
	novalab.Exec(t, lab.Cell1, "DELETE FROM instances WHERE uuid = ?", rowless)
	novalab.Insert(t, lab.Cell1, "compute_nodes", map[string]any{"uuid": provider, "host": "compute1",
		"hypervisor_hostname": "compute1.example", "deleted": 0, "vcpus": 4, "memory_mb": 4096, "local_gb": 40, "vcpus_used": 0,
		"memory_mb_used": 0, "local_gb_used": 0,
		"hypervisor_type": "QEMU", "hypervisor_version": 1, "cpu_info": ""})
	novalab.Exec(t, lab.Cell1, "INSERT INTO services (host, `binary`, topic, report_count, deleted, disabled, forced_down, version, last_seen_up)"+
		" VALUES ('compute1', 'nova-compute', 'compute', 1, 0, 0, 0, 66, UTC_TIMESTAMP())")
	lab.Cloud.Do(func() {
		lab.Cloud.AddProvider("compute1.example", provider, "", map[string]int{"VCPU": 4})
		for _, consumer := range []string{stuck, rowless, migration} {
			lab.Cloud.Allocate(consumer, provider, map[string]int{"VCPU": 1})
		}
		lab.Cloud.SetType(stuck, "INSTANCE")
		lab.Cloud.SetType(rowless, "INSTANCE")
		lab.Cloud.SetType(migration, "MIGRATION")
	})
	return namedLab{lab, t}
}

func (l namedLab) ask(asked []string, more map[string]any) gjson.Result {
	l.t.Helper()
	options := map[string]any{"nova_conf": l.Conf, "instance_uuid": asked, "domains": []any{
		map[string]any{"host": "rack1", "hypervisor_hostname": "compute1.example",
			"domains": []any{map[string]any{"uuid": stuck, "name": "instance-00000029", "state": "running", "nova": map[string]any{"name": "x"}}}},
		map[string]any{"host": "compute2", "hypervisor_hostname": "compute2"},
	}}
	for name, value := range more {
		options[name] = value
	}
	answer := ansibletest.Call(l.t, module(), options)
	return answer
}

func (l namedLab) wants(entry gjson.Result, wanted map[string]string) {
	l.t.Helper()
	for path, want := range wanted {
		if got := entry.Get(path).String(); got != want {
			l.t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

func TestNamedInstancesAreAnsweredWithAllThatAPurgeHasToKnow(t *testing.T) {
	lab := newNamedLab(t)
	answer := lab.ask([]string{nobodys, migration, rowless}, nil)
	if got := answer.Get("instances.#.uuid").String(); got != `["`+nobodys+`","`+stuck+`","`+rowless+`"]` {
		t.Fatalf("got %s", answer)
	}
	lab.wants(answer.Get("instances.0"), map[string]string{"verdict": "absent", "refusals": "[]", "instance": "",
		"reasons.0": "no trace anywhere: nothing to do", "consumers": `["` + nobodys + `"]`, "hosts": "[]"})
	lab.wants(answer.Get("instances.1"), map[string]string{"asked": migration, "verdict": "stuck", "refusals": "[]",
		"instance.vm_state": "error", "instance.task_state": "", "instance.host": "compute1", "cell.name": "cell1", "mapped": "true",
		"consumers": `["` + stuck + `","` + migration + `"]`, "hosts.#": "2", "hosts.0.host": "rack1", "hosts.0.nova_host": "compute1",
		"hosts.0.domain": "instance-00000029", "hosts.0.state": "running", "hosts.0.named_by": `["row","record","allocation","domain"]`,
		"hosts.0.compute_id": `["` + provider + `"]`, "hosts.1.compute_id": "[]",
		"hosts.1.host": "compute2", "hosts.1.domain": "", "unasked": "[]",
		"reasons.0": "it was asked for by " + migration + ", a migration (error) of instance " + stuck})
	if plan := answer.Get("instances.1.plan").String(); !strings.Contains(plan, "DELETES") {
		t.Errorf("the volume is not foreseen: %s", plan)
	}
	lab.wants(answer.Get("instances.2"), map[string]string{"verdict": "lost", "refusals": "[]", "cell": "", "hosts.#.host": `["rack1"]`, "kind": "allocation_without_row"})
	if answer.Get("changed").Bool() || len(answer.Get("findings").Array()) != 2 {
		t.Errorf("got %s", answer.Get("findings"))
	}
}

func TestTheSameInstanceTwiceIsOneError(t *testing.T) {
	lab := newNamedLab(t)
	answer := lab.ask([]string{migration, nobodys, stuck}, nil)
	if msg := answer.Get("msg").String(); !answer.Get("failed").Bool() || !strings.Contains(msg, "the same instance twice") ||
		!strings.Contains(msg, migration) {
		t.Errorf("got %s", answer)
	}
}

func TestAHostIsGoneOnlyIfItsServiceDoesNotReport(t *testing.T) {
	lab := newNamedLab(t)
	domains := map[string]any{"domains": []any{map[string]any{"host": "compute1", "failure": "could not be reached"},
		map[string]any{"host": "compute2", "hypervisor_hostname": "compute2"}}}
	refusals := func(more map[string]any) string {
		t.Helper()
		answer := lab.ask([]string{stuck}, more)
		lab.wants(answer.Get("instances.0"), map[string]string{"hosts.#.host": `["compute2"]`, "unasked.#.nova_host": `["compute1"]`})
		return answer.Get("instances.0.refusals").String()
	}
	if got := refusals(domains); !strings.Contains(got, "compute1 could not be reached") || !strings.Contains(got, "host_gone: compute1") {
		t.Errorf("got %s", got)
	}
	domains["host_gone"] = "compute7,compute1"
	if got := refusals(domains); !strings.Contains(got, "compute1 cannot be gone, as host_gone: compute1 says") {
		t.Errorf("got %s", got)
	}
	novalab.Exec(t, lab.Cell1, "UPDATE services SET last_seen_up = UTC_TIMESTAMP() - INTERVAL 61 SECOND")
	if got := refusals(domains); got != "[]" {
		t.Errorf("got %s", got)
	}
}

func TestWhereARowlessInstanceWasItsMigrationsTell(t *testing.T) {
	lab := newNamedLab(t)
	novalab.Exec(t, lab.Cell1, "SET foreign_key_checks = 0")
	novalab.Insert(t, lab.Cell1, "migrations", map[string]any{"uuid": nobodys[:35] + "e", "instance_uuid": nobodys, "status": "completed",
		"source_compute": "compute1", "dest_compute": "compute2", "deleted": 0})
	entry := lab.ask([]string{nobodys}, nil).Get("instances.0")
	lab.wants(entry, map[string]string{"verdict": "lost"})
	var hosts []string
	for _, host := range entry.Get("hosts").Array() {
		hosts = append(hosts, host.Get("host").String())
	}
	if slices.Sort(hosts); !slices.Equal(hosts, []string{"compute2", "rack1"}) {
		t.Errorf("got %s", entry)
	}
}
