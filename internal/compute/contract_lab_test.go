//go:build lab

package compute_test

import (
	"strings"
	"testing"

	"nova-orphan/internal/compute/computelab"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestTheRealNovaKeepsTheContract(t *testing.T) {
	testContract(t, func(t *testing.T) backstage { return realNova{computelab.New(t)} })
}

// What Nova says of a cell that is down, and what it does not say.
func TestARealCellThatIsDownIsNoAbsence(t *testing.T) {
	nova := computelab.New(t)
	client := newClient(t)
	orphan, migration := nova.Boot(""), openstacktest.UUID()
	nova.Migration(orphan, migration, "finished")
	const down = "test-host-of-a-cell-that-is-down"
	nova.DownCell(down)

	answer := nova.Ask("2.59", "GET", "servers/detail?all_tenants=True&uuid="+openstacktest.UUID(), nil)
	if !answer.Get("servers").IsArray() || answer.Get("servers.#").Int() != 0 {
		t.Errorf("the list tells of it: %s", answer)
	}
	shown := nova.Ask("2.69", "GET", "os-services?binary=nova-compute&host="+down, nil)
	if shown.Get("services.0.status").String() != "UNKNOWN" {
		t.Errorf("os-services does not tell of it at 2.69: %s", shown)
	}
	nobody := openstacktest.UUID()
	for name, ask := range map[string]func() error{
		"a server":        func() error { _, _, err := client.Find(t.Context(), nobody); return err },
		"migrations":      func() error { _, err := client.Migrations(t.Context(), nobody); return err },
		"a service":       func() error { _, err := client.Services(t.Context(), "nova-compute", down); return err },
		"what lists omit": func() error { return client.ListsAll(t.Context()) },
	} {
		if err := ask(); err == nil || !strings.Contains(err.Error(), "a cell of Nova's may be down") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if server, _, err := client.Find(t.Context(), orphan); err != nil || server == nil {
		t.Errorf("the server of another cell: got %v, %v", server, err)
	}
	if found, err := client.Migrations(t.Context(), orphan); err != nil || len(found) != 1 {
		t.Errorf("its migrations: got %v, %v", found, err)
	}
	nova.API("DELETE FROM host_mappings WHERE host = '%s'", down)
	if err := client.ListsAll(t.Context()); err == nil {
		t.Error("without a host it is no longer noticed")
	}
}

type realNova struct{ *computelab.Nova }

func (n realNova) orphan(host string) string {
	uuid := n.Boot(host)
	n.Set(uuid, "vm_state = 'error', task_state = NULL, root_device_name = '/dev/vda'")
	return uuid
}

func (n realNova) task(uuid, task string) { n.Set(uuid, "task_state = '"+task+"'") }

func (n realNova) protect(uuid string) { n.Set(uuid, "disable_terminate = 1") }

func (n realNova) lock(uuid string) {
	n.Ask("2.73", "POST", "servers/"+uuid+"/action", map[string]any{"lock": map[string]any{"locked_reason": "a test"}})
}

func (n realNova) unmap(uuid string) {
	n.API("UPDATE instance_mappings SET cell_id = NULL WHERE instance_uuid = '%s'", uuid)
}

func (n realNova) volume(uuid, volume string) { n.Volume(uuid, volume) }

func (n realNova) migration(uuid, migration string) { n.Migration(uuid, migration, "finished") }
