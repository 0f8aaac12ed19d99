//go:build lab

package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

func TestAKilledRunIsFinishedByTheNextOnTheRealServices(t *testing.T) { testCrashes(t, newRealStage) }

func TestWhatOthersDoMeanwhileIsJudgedAnewOnTheRealServices(t *testing.T) {
	testRaces(t, newRealStage)
}

func newRealStage(t *testing.T) *stage { return newStage(t, &realNova{t: t}) }

// realNova is the lab's. Its servers have no hypervisor: they come into being as
// Nova makes one for which there is no host, in cell0, and the rows are then what
// the test says.
type realNova struct{ t *testing.T }

func (n *realNova) sql(format string, values ...any) {
	n.t.Helper()
	command := exec.Command("mysql", "--batch", "nova_cell0")
	command.Stdin = strings.NewReader(fmt.Sprintf(format, values...))
	if output, err := command.CombinedOutput(); err != nil {
		n.t.Fatalf("mysql: %v: %s", err, output)
	}
}

func (n *realNova) openstack(arguments ...string) string {
	n.t.Helper()
	output, err := exec.Command("openstack", arguments...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("openstack %v: %v: %s", arguments, err, output)
	}
	return strings.TrimSpace(string(output))
}

func (n *realNova) boot(hypervisor string) string {
	n.t.Helper()
	uuid := n.openstack("server", "create", "--flavor=m1.nano", "--image=tiny", "--nic=none", "--format=value", "--column=id", "test")
	n.t.Cleanup(func() {
		n.revive(uuid)
		n.openstack("server", "delete", uuid)
	})
	n.await(uuid)
	n.revive(uuid)
	if hypervisor != "" {
		n.sql("UPDATE instances SET host = '%s', node = '%s', launched_on = '%s' WHERE uuid = '%s'", hypervisor, hypervisor, hypervisor, uuid)
	}
	return uuid
}

// await waits until Nova has given up to find a host for it.
func (n *realNova) await(uuid string) {
	n.t.Helper()
	for status := ""; status != "ERROR"; {
		if status != "" && status != "BUILD" {
			n.t.Fatalf("server %s is in status %s", uuid, status)
		}
		status = n.openstack("server", "show", "--format=value", "--column=status", uuid)
	}
}

func (n *realNova) vanish(uuid string) {
	n.sql("UPDATE instances SET deleted = id, deleted_at = UTC_TIMESTAMP(), vm_state = 'deleted' WHERE uuid = '%s'", uuid)
}

func (n *realNova) revive(uuid string) {
	n.sql("UPDATE instances SET deleted = 0, deleted_at = NULL, vm_state = 'active', task_state = NULL, host = NULL, node = NULL WHERE uuid = '%s'", uuid)
}

func (n *realNova) evacuated(uuid, from string) {
	n.sql("INSERT INTO migrations (created_at, uuid, instance_uuid, migration_type, status, source_compute, source_node, hidden, deleted, cross_cell_move) "+
		"VALUES (UTC_TIMESTAMP(), '%s', '%s', 'evacuation', 'done', '%s', '%s', 0, 0, 0)", randomUUID(), uuid, from, from)
}
