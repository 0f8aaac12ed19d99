//go:build lab

package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/cinder/cinderlab"
	"nova-orphan/internal/neutron/neutronlab"
	"nova-orphan/internal/nova/novalab"
	"nova-orphan/internal/openstack"
)

// orphanage is the whole lab: real servers become orphans in it.
type orphanage struct {
	*cinderlab.Lab
	t     *testing.T
	nova  *gophercloud.ServiceClient
	ports *neutronlab.Lab
	cell  *sql.DB
	stage *stage
}

func newOrphanage(t *testing.T) *orphanage {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cloud, err := openstack.Connect(ctx, openstack.Auth{}, func(...string) {})
	if err != nil {
		t.Fatal(err)
	}
	o := &orphanage{Lab: cinderlab.New(t), t: t, cell: novalab.Open(t, "nova")}
	if o.nova, err = cloud.Compute(); err != nil {
		t.Fatal(err)
	}
	o.nova.Microversion = "2.79"
	network, err := cloud.Network()
	if err != nil {
		t.Fatal(err)
	}
	o.ports = neutronlab.New(t, network)
	o.stage = &stage{t: t, folder: t.TempDir(), proxy: newProxy(t)}
	return o
}

// ask sends Nova a request, and returns its answer.
func (o *orphanage) ask(method, path string, body any) gjson.Result {
	o.t.Helper()
	// Not t.Context(), which has ended when the clean-up runs.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	response, err := o.nova.Request(ctx, method, o.nova.ServiceURL(path), &gophercloud.RequestOpts{
		JSONBody: body, OkCodes: []int{http.StatusOK, http.StatusAccepted, http.StatusNoContent, http.StatusNotFound}, KeepResponseBody: true,
	})
	if err != nil {
		o.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer json.RawMessage
	_ = json.NewDecoder(response.Body).Decode(&answer) // a deletion has nothing to say
	return gjson.ParseBytes(answer)
}

func (o *orphanage) image() string {
	o.t.Helper()
	return novalab.Text(o.t, novalab.Open(o.t, "glance"), "SELECT id FROM images WHERE name = 'tiny' AND deleted = 0")
}

// boot makes a server, of the image, or of what more says.
func (o *orphanage) boot(more map[string]any) string {
	o.t.Helper()
	request := map[string]any{"name": "test", "networks": "none", "flavorRef": novalab.Text(o.t, novalab.Open(o.t, "nova_api"), "SELECT flavorid FROM flavors WHERE name = 'm1.nano'")}
	for key, value := range more {
		request[key] = value
	}
	uuid := o.ask(http.MethodPost, "servers", map[string]any{"server": request}).Get("server.id").String()
	if uuid == "" {
		o.t.Fatal("nova made no server")
	}
	o.t.Cleanup(func() { o.remove(uuid) })
	o.await(uuid, "ACTIVE")
	return uuid
}

func (o *orphanage) await(uuid, status string) {
	o.t.Helper()
	got := ""
	err := await(o.t.Context(), func() (bool, error) {
		got = o.ask(http.MethodGet, "servers/"+uuid, nil).Get("server.status").String()
		return got == status || got == "ERROR", nil
	})
	if err != nil || got != status {
		o.t.Fatalf("server %s is %q, want %s: %v", uuid, got, status, err)
	}
}

// stop ends the guest, as the playbook wants it before volumes are released.
func (o *orphanage) stop(uuid string) {
	o.t.Helper()
	o.ask(http.MethodPost, "servers/"+uuid+"/action", map[string]any{"os-stop": nil})
	o.await(uuid, "SHUTOFF")
}

func (o *orphanage) attach(uuid, volume string) {
	o.t.Helper()
	o.ask(http.MethodPost, "servers/"+uuid+"/os-volume_attachments", map[string]any{"volumeAttachment": map[string]any{"volumeId": volume}})
	o.Await("volumes/"+volume, "volume.status", "in-use")
}

func (o *orphanage) row(uuid, change string) {
	o.t.Helper()
	novalab.Exec(o.t, o.cell, "UPDATE instances SET "+change+" WHERE uuid = ?", uuid)
}

const (
	stuck  = "vm_state = 'error', task_state = 'deleting', created_at = created_at - INTERVAL 2 HOUR, updated_at = UTC_TIMESTAMP() - INTERVAL 1 HOUR"
	zombie = "vm_state = 'deleted', task_state = NULL, deleted = 1, deleted_at = UTC_TIMESTAMP(), updated_at = UTC_TIMESTAMP() - INTERVAL 1 HOUR"
	alive  = "vm_state = 'stopped', task_state = NULL, deleted = 0, deleted_at = NULL"
)

// remove lets Nova delete the server, whatever was made of it.
func (o *orphanage) remove(uuid string) {
	o.t.Helper()
	if novalab.Text(o.t, o.cell, "SELECT deleted = id FROM instances WHERE uuid = ?", uuid) != "1" {
		o.row(uuid, alive)
	}
	o.ask(http.MethodDelete, "servers/"+uuid, nil)
	err := await(context.Background(), func() (bool, error) {
		return novalab.Text(o.t, o.cell, "SELECT deleted = id FROM instances WHERE uuid = ?", uuid) == "1", nil
	})
	if err != nil {
		o.t.Error(err)
	}
}

// conf is the controller's nova.conf by way of the proxy, with or without a service user.
func (o *orphanage) conf(service bool) string {
	o.t.Helper()
	content, err := os.ReadFile("/etc/nova/nova.conf")
	if err != nil {
		o.t.Fatal(err)
	}
	text := strings.ReplaceAll(string(content), "auth_url = http://127.0.0.1:5000/v3", "auth_url = "+o.stage.proxy.AuthURL())
	if !service {
		text = strings.ReplaceAll(text, "send_service_user_token = true", "send_service_user_token = false")
	}
	path := filepath.Join(o.t.TempDir(), "nova.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

// call calls the module for this instance.
func (o *orphanage) call(uuid string, options arguments) *process {
	o.t.Helper()
	o.stage.instance = uuid
	return o.stage.start(options)
}

// pattern writes to a volume, or reads what was written, behind everybody's back.
func (o *orphanage) pattern(volume, verb string) {
	o.t.Helper()
	output, err := exec.Command("qemu-io", "--format", "raw", "--cmd", verb+" -P 0xa5 0 4M", "rbd:volumes/volume-"+volume).CombinedOutput()
	if err != nil || strings.Contains(string(output), "failed") || !strings.Contains(string(output), "4 MiB") {
		o.t.Fatalf("%s volume %s: %v: %s", verb, volume, err, output)
	}
}
