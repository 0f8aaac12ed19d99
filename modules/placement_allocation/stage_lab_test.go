//go:build lab

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestAKilledRunIsFinishedByTheNextOnTheRealServices(t *testing.T) { testCrashes(t, newRealStage) }

func TestWhatOthersDoMeanwhileIsJudgedAnewOnTheRealServices(t *testing.T) {
	testRaces(t, newRealStage)
}

func TestWhatIsSavedIsPutBackByItsContentOnTheRealPlacement(t *testing.T) {
	testSaved(newRealStage(t))
}

func TestAnOverCommittedProviderThatStaysIsExplainedByTheRealPlacement(t *testing.T) {
	testOverCommitted(newRealStage(t))
}

func TestSyslogHasWhatWasDoneAndNoSecret(t *testing.T) {
	s := newRealStage(t)
	s.set(s.consumer, holdings{s.host: 1})
	s.start(s.removal()).Done(true)
	log := ""
	for end := time.Now().Add(20 * time.Second); !strings.Contains(log, s.consumer) && time.Now().Before(end); {
		output, err := exec.Command("journalctl", "--quiet", "--output=cat", "--identifier=ansible-placement_allocation").Output()
		if err != nil {
			t.Fatal(err)
		}
		log = string(output)
	}
	if !strings.Contains(log, "remove the allocation of "+s.consumer) {
		t.Errorf("syslog does not say what was done: %s", log)
	}
	for _, secret := range []string{os.Getenv("OS_PASSWORD"), s.service.Token()} {
		if secret == "" || strings.Contains(log, secret) {
			t.Errorf("syslog has the secret %q", secret)
		}
	}
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

// ask sends a request to the real Nova, and returns its answer.
func (n *realNova) ask(method, path string, body any) gjson.Result {
	n.t.Helper()
	nova := openstacktest.Client(n.t, (*openstack.Cloud).Compute)
	var answer json.RawMessage
	options := &gophercloud.RequestOpts{JSONBody: body, OkCodes: []int{200, 202, 204}}
	if method != "DELETE" { // whose answer is empty
		options.JSONResponse = &answer
	}
	if _, err := nova.Request(stageContext(n.t), method, nova.ServiceURL(path), options); err != nil {
		n.t.Fatal(err)
	}
	return gjson.ParseBytes(answer)
}

// boot makes a server that exists in cell0 only: no host has room for it.
func (n *realNova) boot(hypervisor string) string {
	n.t.Helper()
	flavor := n.ask("POST", "flavors", map[string]any{"flavor": map[string]any{
		"name": "test-" + openstacktest.UUID(), "vcpus": 1, "ram": 64, "disk": 1_000_000,
	}}).Get("flavor.id").String()
	n.t.Cleanup(func() { n.ask("DELETE", "flavors/"+flavor, nil) })
	image, err := exec.Command("mysql", "--batch", "--skip-column-names",
		"--execute=SELECT id FROM glance.images WHERE name = 'tiny'").Output()
	if err != nil {
		n.t.Fatal(err)
	}
	uuid := n.ask("POST", "servers", map[string]any{"server": map[string]any{
		"name": "test", "imageRef": strings.TrimSpace(string(image)), "networks": "none",
		"flavorRef": flavor,
	}}).Get("server.id").String()
	n.t.Cleanup(func() {
		n.revive(uuid)
		n.ask("DELETE", "servers/"+uuid, nil)
	})
	n.await(uuid)
	n.revive(uuid)
	if hypervisor != "" {
		n.sql("UPDATE instances SET host = '%s', node = '%s' WHERE uuid = '%s'", hypervisor, hypervisor, uuid)
	}
	return uuid
}

// await waits until Nova has given up to find a host for it.
func (n *realNova) await(uuid string) {
	n.t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		status := n.ask("GET", "servers/"+uuid, nil).Get("server.status").String()
		if status == "ERROR" {
			return
		}
		if status != "BUILD" || time.Now().After(end) {
			n.t.Fatalf("server %s is in status %s", uuid, status)
		}
	}
}

func (n *realNova) vanish(uuid string) {
	n.sql("UPDATE instances SET deleted = id, deleted_at = UTC_TIMESTAMP(), vm_state = 'deleted' WHERE uuid = '%s'", uuid)
}

func (n *realNova) revive(uuid string) {
	n.sql("UPDATE instances SET deleted = 0, deleted_at = NULL, vm_state = 'active', task_state = NULL, host = NULL, node = NULL WHERE "+
		"uuid = '%s'", uuid)
}

func (n *realNova) evacuated(uuid, from string) {
	n.sql("INSERT INTO migrations (created_at, uuid, instance_uuid, migration_type, status, source_compute, source_node, hidden, deleted, "+
		"cross_cell_move) VALUES (UTC_TIMESTAMP(), '%s', '%s', 'evacuation', 'done', '%s', '%s', 0, 0, 0)", openstacktest.UUID(), uuid, from,
		from)
}
