//go:build lab

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"nova-orphan/internal/openstack/openstacktest"
)

func TestTheVolumesAndPortsOfAStuckServerAreReleasedWithTheirData(t *testing.T) {
	o := newOrphanage(t)
	data, shared := o.Volume(false), o.Volume(true)
	o.pattern(data, "write")
	uuid, rival := o.nova.Boot("compute1"), openstacktest.UUID()
	o.give(uuid, data)
	o.give(uuid, shared)
	theirs := o.Attach(shared, rival)
	snapshot := o.Snapshot(data)
	conf := o.conf(true)

	// It runs: refused from the databases, and by the API.
	for _, way := range []string{conf, ""} {
		if answer := o.call(uuid, way, nil).Failed(false, "is live"); answer.Get("verdict").String() != "live" {
			t.Errorf("got %s", answer)
		}
	}
	o.stop(uuid)
	users, novas, unknown := o.ports.Port(uuid), o.ports.Port(uuid), o.ports.Port(uuid)
	o.nova.Set(uuid, stuck)
	o.cache(uuid, map[string]bool{users: true, novas: false})

	// Cinder's guard: only Nova may detach what Nova knows.
	o.call(uuid, "", nil).Failed(false, "CVE-2023-2088", "nova_conf")
	if got := o.Attachments(uuid); len(got) != 2 {
		t.Fatalf("left are %v", got)
	}

	// A check tells it all, and sends no write.
	o.stage.proxy.Passed()
	check := o.call(uuid, conf, arguments{"_ansible_check_mode": true, "_ansible_diff": true}).Done(true)
	if got := o.stage.writes(); len(got) > 0 {
		t.Errorf("a check sent %v", got)
	}
	if got := check.Get("plan.#").Int(); got != 4 || check.Get("verdict").String() != "stuck" {
		t.Errorf("got %s", check)
	}

	answer := o.call(uuid, conf, nil).Done(true)
	o.expectReleased(uuid, data, theirs, shared)
	if got := answer.Get("remains").String(); !strings.Contains(got, snapshot) || !strings.Contains(got, unknown) {
		t.Errorf("the remains are %s", got)
	}
	o.expectPorts(uuid, users, novas, unknown)
	o.expectBackup(data, shared)

	// Again: nothing. Then the snapshot, when it is asked for.
	o.call(uuid, conf, nil).Done(false)
	o.call(uuid, conf, arguments{"delete_snapshots": true}).Done(true)
	if got := o.Snapshots(data); len(got) > 0 {
		t.Errorf("left are the snapshots %v", got)
	}
	o.pattern(data, "read")
}

// cache writes Nova's info cache: ports, and whether a user made them.
func (o *orphanage) cache(uuid string, users map[string]bool) {
	o.t.Helper()
	vifs := []any{}
	for id, byUser := range users {
		vifs = append(vifs, map[string]any{
			"id": id, "address": "fa:16:3e:00:00:01", "preserve_on_delete": byUser, "type": "bridge", "details": map[string]any{},
			"meta":    map[string]any{},
			"network": map[string]any{"id": openstacktest.UUID(), "bridge": nil, "label": "test", "subnets": []any{}, "meta": map[string]any{}},
		})
	}
	content, err := json.Marshal(vifs)
	if err != nil {
		o.t.Fatal(err)
	}
	o.nova.Cell("UPDATE instance_info_caches SET network_info = '%s' WHERE instance_uuid = '%s'", content, uuid)
}

func (o *orphanage) expectReleased(uuid, data, theirs, shared string) {
	o.t.Helper()
	if got := o.Attachments(uuid); len(got) > 0 {
		o.t.Errorf("left are %v", got)
	}
	if got := o.Status(data); got != "available" {
		o.t.Errorf("the volume is %s", got)
	}
	o.pattern(data, "read")
	if got := o.Ask(http.MethodGet, "attachments/"+theirs, nil).Get("attachment.status").String(); got != "attached" ||
		o.Status(shared) != "in-use" {
		o.t.Errorf("the others' attachment is %q, and the volume is %s", got, o.Status(shared))
	}
}

func (o *orphanage) expectPorts(uuid, users, novas, unknown string) {
	o.t.Helper()
	if got := o.ports.Show(users); !got.Exists() ||
		got.Get("device_id").String()+got.Get("device_owner").String()+got.Get(`binding:host_id`).String() != "" {
		o.t.Errorf("the user's port is %s", got)
	}
	if got := o.ports.Show(novas); got.Exists() {
		o.t.Errorf("the port that Nova made is %s", got)
	}
	if got := o.ports.Show(unknown); got.Get("device_id").String() != uuid {
		o.t.Errorf("the port of which Nova does not tell is %s", got)
	}
}

// expectBackup wants the volumes there, and no secret of the lab's.
func (o *orphanage) expectBackup(volumes ...string) {
	o.t.Helper()
	files := o.stage.backups()
	content, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		o.t.Fatal(err)
	}
	for _, volume := range volumes {
		if !strings.Contains(string(content), volume) {
			o.t.Errorf("the backup says nothing of %s", volume)
		}
	}
	for _, word := range []string{"lab-secret", "auth_username", "secret_uuid", "keyring"} {
		if strings.Contains(string(content), word) {
			o.t.Errorf("the backup tells %s", word)
		}
	}
}

func TestARootVolumeIsDetachedAndPreservedWhenNovaDeletesTheServer(t *testing.T) {
	o := newOrphanage(t)
	uuid, root := o.bootFromVolume()
	o.stop(uuid)
	o.nova.Set(uuid, stuck)
	conf := o.conf(true)
	check := o.call(uuid, conf, arguments{"_ansible_check_mode": true}).Done(true)
	if got := check.Get("plan").String(); !strings.Contains(got, "nova DELETES volume "+root) || !check.Get("volumes.0.root").Bool() {
		t.Errorf("got %s", check)
	}
	answer := o.call(uuid, conf, arguments{"preserve_volumes": true}).Done(true)
	if answer.Get("volumes.0.delete_on_termination").Bool() || o.Status(root) != "available" {
		t.Errorf("the volume is %s, got %s", o.Status(root), answer)
	}
	o.call(uuid, conf, arguments{"preserve_volumes": true}).Done(false)
	o.nova.Remove(uuid)
	if got := o.Status(root); got != "available" {
		t.Errorf("after Nova's delete the volume is %q", got)
	}
}

func TestTheRootVolumeOfAZombieIsDetachedAndNotDeleted(t *testing.T) {
	o := newOrphanage(t)
	uuid, root := o.bootFromVolume()
	o.stop(uuid)
	o.nova.Set(uuid, zombie)
	// Nova's API does not know it, so that Cinder needs no service token.
	conf := o.conf(false)
	o.call(uuid, conf, arguments{"preserve_volumes": true}).Failed(false, "preserve_volumes cannot be granted", root)
	answer := o.call(uuid, conf, nil).Done(true)
	if got := o.Status(root); got != "available" || answer.Get("verdict").String() != "zombie" {
		t.Errorf("the volume is %s, got %s", got, answer)
	}
	o.call(uuid, conf, nil).Done(false)
}

func TestAServerThatComesToLifeKeepsItsOtherVolumes(t *testing.T) {
	o := newOrphanage(t)
	first, second := o.Volume(false), o.Volume(false)
	uuid := o.nova.Boot("compute1")
	o.give(uuid, first)
	o.give(uuid, second)
	o.stop(uuid)
	o.nova.Set(uuid, stuck)
	o.stage.proxy.At(answered, "DELETE", "/attachments/", func() bool { o.nova.Set(uuid, alive); return true })
	o.call(uuid, o.conf(true), nil).Failed(true, "is live by now")
	if got := o.Attachments(uuid); len(got) != 1 {
		t.Errorf("left are %v", got)
	}
	if got := fmt.Sprint(o.Status(first) == "in-use", o.Status(second) == "in-use"); got == "false false" || got == "true true" {
		t.Errorf("the volumes are %s and %s", o.Status(first), o.Status(second))
	}
}
