//go:build lab

package compute_test

import (
	"testing"

	"nova-orphan/internal/compute/computelab"
)

func TestTheRealNovaKeepsTheContract(t *testing.T) {
	testContract(t, func(t *testing.T) backstage { return realNova{computelab.New(t)} })
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
