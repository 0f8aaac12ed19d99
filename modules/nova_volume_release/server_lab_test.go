//go:build lab

package main

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/cinder/cinderlab"
	"nova-orphan/internal/compute/computelab"
	"nova-orphan/internal/neutron/neutronlab"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
)

// orphanage is the whole lab: real servers become orphans in it.
type orphanage struct {
	*cinderlab.Lab
	t     *testing.T
	nova  *computelab.Nova
	ports *neutronlab.Lab
	// asNova are the same ports by the account of nova.conf's [neutron].
	asNova *neutronlab.Lab
	stage  *stage
}

func newOrphanage(t *testing.T) *orphanage {
	t.Helper()
	nova := computelab.New(t)
	conf := openstack.Auth{NovaConf: "/etc/nova/nova.conf"}
	ofNova, err := openstacktest.Connect(t).ForNetwork(openstacktest.Context(t), conf, func(...string) {})
	if err != nil {
		t.Fatal(err)
	}
	networkOfNova, err := ofNova.Network()
	if err != nil {
		t.Fatal(err)
	}
	ports := neutronlab.New(t, openstacktest.Client(t, (*openstack.Cloud).Network))
	return &orphanage{
		Lab: cinderlab.New(t), t: t, nova: nova, ports: ports, asNova: ports.As(networkOfNova),
		stage: &stage{t: t, folder: t.TempDir(), proxy: newProxy(t)},
	}
}

// bootFromVolume is a server on a volume of the image, which Nova is to delete with it.
func (o *orphanage) bootFromVolume() (uuid, root string) {
	o.t.Helper()
	root = o.VolumeOf(map[string]any{"imageRef": o.nova.Image()}, false)
	uuid = o.nova.BootAs(map[string]any{"imageRef": "", "host": "compute1", "block_device_mapping_v2": []any{map[string]any{
		"boot_index": 0, "uuid": root, "source_type": "volume", "destination_type": "volume", "delete_on_termination": true,
	}}})
	o.Await("volumes/"+root, "volume.status", "in-use")
	return uuid, root
}

// stop ends the guest, as the playbook wants it before volumes are released.
func (o *orphanage) stop(uuid string) {
	o.t.Helper()
	o.nova.Ask("2.59", http.MethodPost, "servers/"+uuid+"/action", map[string]any{"os-stop": nil})
	o.nova.Until("server "+uuid+" is off", func() bool { return o.nova.Status(uuid) == "SHUTOFF" })
}

// give attaches a volume as a user does.
func (o *orphanage) give(uuid, volume string) {
	o.t.Helper()
	// The first at which a volume may be given to several servers.
	o.nova.Ask("2.60", http.MethodPost, "servers/"+uuid+"/os-volume_attachments",
		map[string]any{"volumeAttachment": map[string]any{"volumeId": volume}})
	o.Await("volumes/"+volume, "volume.status", "in-use")
}

const (
	stuck = "vm_state = 'error', task_state = 'deleting', created_at = created_at - INTERVAL 2 HOUR, updated_at = UTC_TIMESTAMP() - " +
		"INTERVAL 1 HOUR"
	zombie = "vm_state = 'deleted', task_state = NULL, deleted = 1, deleted_at = UTC_TIMESTAMP(), updated_at = UTC_TIMESTAMP() - INTERVAL " +
		"1 HOUR"
	alive = "vm_state = 'stopped', task_state = NULL, deleted = 0, deleted_at = NULL"
)

// conf is the controller's nova.conf by way of the proxy, with or without a service user.
func (o *orphanage) conf(service bool) string {
	o.t.Helper()
	content, err := os.ReadFile("/etc/nova/nova.conf")
	if err != nil {
		o.t.Fatal(err)
	}
	text := strings.ReplaceAll(string(content), "auth_url = http://127.0.0.1:5000/v3", "auth_url = "+o.stage.proxy.AuthURL())
	text = strings.ReplaceAll(text, "send_service_user_token = true", fmt.Sprint("send_service_user_token = ", service))
	path := filepath.Join(o.t.TempDir(), "nova.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

// call calls the module for this instance.
func (o *orphanage) call(uuid string, conf string, more arguments) *ansibletest.Process {
	o.t.Helper()
	options := arguments{}
	if conf != "" {
		options["nova_conf"] = conf
	}
	maps.Copy(options, more)
	o.stage.instance = uuid
	return o.stage.start(options)
}

// pattern writes to a volume, or reads what was written, behind everybody's back.
func (o *orphanage) pattern(volume, verb string) {
	o.t.Helper()
	output, err := exec.Command("qemu-io", "-f", "raw", "-c", verb+" -P 0xa5 0 4M", "rbd:volumes/volume-"+volume).CombinedOutput()
	if err != nil || strings.Contains(string(output), "failed") || !strings.Contains(string(output), "4 MiB") {
		o.t.Fatalf("%s volume %s: %v: %s", verb, volume, err, output)
	}
}
