//go:build lab

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/compute/computelab"
	"nova-orphan/internal/openstack/openstacktest"
)

func newRealStage(t *testing.T) *stage {
	t.Helper()
	return newStage(t, &realNova{computelab.New(t)})
}

func TestWhatBecomesOfAnInstanceOfTheRealNova(t *testing.T) { testOrphans(t, newRealStage) }

func TestWhatOthersDoMeanwhileIsJudgedAnewOnTheRealNova(t *testing.T) { testRaces(t, newRealStage) }

func TestAKilledRunIsFinishedByTheNextOnTheRealNova(t *testing.T) { testKills(t, newRealStage) }

func TestSyslogHasWhatWasDoneAndNoSecret(t *testing.T) {
	s := newRealStage(t)
	uuid := s.boot(false)
	s.start(uuid, nil).Done(true)
	log := ""
	for end := time.Now().Add(20 * time.Second); !strings.Contains(log, uuid) && time.Now().Before(end); {
		output, err := exec.Command("journalctl", "--quiet", "--output=cat", "--identifier=ansible-"+name).Output()
		if err != nil {
			t.Fatal(err)
		}
		log = string(output)
	}
	if !strings.Contains(log, "instance "+uuid+" was stuck: delete sent, backup in ") {
		t.Errorf("syslog does not say what was done: %s", log)
	}
	if secret := os.Getenv("OS_PASSWORD"); secret == "" || strings.Contains(log, secret) {
		t.Error("syslog has the password")
	}
}

type realNova struct{ *computelab.Nova }

func (n *realNova) boot(onHost bool) string {
	host := ""
	if onHost {
		host = theHost
	}
	uuid := n.Boot(host)
	n.set(uuid, "error", "", time.Hour)
	return uuid
}

func (n *realNova) set(uuid, vmState, task string, ago time.Duration) {
	if task = "'" + task + "'"; task == "''" {
		task = "NULL"
	}
	n.Set(uuid, fmt.Sprintf("vm_state = '%s', task_state = %s, created_at = UTC_TIMESTAMP() - INTERVAL 2 DAY, updated_at = UTC_TIMESTAMP() "+
		"- INTERVAL %d SECOND",
		vmState, task, int(ago.Seconds())))
}

func (n *realNova) volume(uuid, volume string) { n.Volume(uuid, volume) }

func (n *realNova) spoil(uuid string) { n.BrokenVolume(uuid, openstacktest.UUID()) }

func (n *realNova) migration(uuid, status string, ago time.Duration) {
	migration := openstacktest.UUID()
	n.Migration(uuid, migration, status)
	n.Cell("UPDATE migrations SET created_at = UTC_TIMESTAMP() - INTERVAL %d SECOND WHERE uuid = '%s'", int(ago.Seconds()), migration)
}

func (n *realNova) forceDown(value bool) {
	n.Cell("UPDATE services SET forced_down = %t WHERE host = '%s' AND `binary` = 'nova-compute' AND deleted = 0", value, theHost)
}

func (n *realNova) vanish(uuid string) {
	n.Set(uuid, "deleted = id, deleted_at = UTC_TIMESTAMP()")
}

func (n *realNova) status(uuid string) string { return n.Status(uuid) }

func (n *realNova) lock(uuid string) { n.Set(uuid, "locked = 1, locked_by = 'owner'") }

func (n *realNova) unmap(uuid string) {
	n.API("UPDATE instance_mappings SET cell_id = NULL WHERE instance_uuid = '%s'", uuid)
}
