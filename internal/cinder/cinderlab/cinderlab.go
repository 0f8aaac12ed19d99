//go:build lab

// Package cinderlab makes volumes, snapshots and attachments in the lab's Cinder, and
// takes them away after the test.
package cinderlab

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/nova/novalab"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
)

// Lab is the Cinder of the OS_* environment, for one test.
type Lab struct {
	t       *testing.T
	service *gophercloud.ServiceClient
	// several is the type of volumes that take several attachments, once there is one.
	several string
}

// New connects.
func New(t *testing.T) *Lab {
	t.Helper()
	service := openstacktest.Client(t, (*openstack.Cloud).BlockStorage)
	// The first at which an attachment can be completed.
	service.Microversion = "3.44"
	return &Lab{t: t, service: service}
}

// Ask sends a request, and returns its answer. With wanted, only this status is right.
func (l *Lab) Ask(method, path string, body any, wanted ...int) gjson.Result {
	l.t.Helper()
	// Not t.Context(), which has ended when the clean-up runs.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if len(wanted) == 0 {
		wanted = []int{http.StatusOK, http.StatusAccepted, http.StatusNoContent}
	}
	response, err := l.service.Request(ctx, method, l.service.ServiceURL(path), &gophercloud.RequestOpts{
		JSONBody: body, OkCodes: wanted, KeepResponseBody: true,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer json.RawMessage
	_ = json.NewDecoder(response.Body).Decode(&answer) // some have nothing to say
	return gjson.ParseBytes(answer)
}

// Await asks until the answer's value at the path is this; "" with a 404.
func (l *Lab) Await(path, field, value string) {
	l.t.Helper()
	got := ""
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); <-tick.C {
		got = l.Ask(http.MethodGet, path, nil, http.StatusOK, http.StatusNotFound).Get(field).String()
		if got == value {
			return
		}
	}
	l.t.Fatalf("%s of %s is %q, want %q", field, path, got, value)
}

// Volume makes one of 1 GiB.
func (l *Lab) Volume(multiattach bool) string {
	l.t.Helper()
	return l.VolumeOf(map[string]any{}, multiattach)
}

// VolumeOf makes one of 1 GiB, with more properties.
func (l *Lab) VolumeOf(properties map[string]any, multiattach bool) string {
	l.t.Helper()
	properties["size"], properties["name"] = 1, "test"
	if multiattach {
		properties["volume_type"] = l.severalType()
	}
	id := l.Ask(http.MethodPost, "volumes", map[string]any{"volume": properties}).Get("volume.id").String()
	l.t.Cleanup(func() { l.Remove(id) })
	l.Await("volumes/"+id, "volume.status", "available")
	return id
}

// severalType makes a volume type that allows several attachments.
func (l *Lab) severalType() string {
	l.t.Helper()
	if l.several == "" {
		b := make([]byte, 4)
		_, _ = rand.Read(b)
		l.several = fmt.Sprintf("test-%x", b)
		kind := l.Ask(http.MethodPost, "types", map[string]any{"volume_type": map[string]any{
			"name": l.several, "extra_specs": map[string]any{"multiattach": "<is> True"},
		}}).Get("volume_type.id").String()
		l.t.Cleanup(func() { l.Ask(http.MethodDelete, "types/"+kind, nil) })
	}
	return l.several
}

// Remove deletes a volume with all that it has; gone already is no error.
func (l *Lab) Remove(volume string) {
	l.t.Helper()
	l.Clear(volume)
	l.Ask(http.MethodDelete, "volumes/"+volume, nil, http.StatusAccepted, http.StatusNotFound)
	l.Await("volumes/"+volume, "volume.status", "")
}

// Clear takes all attachments and snapshots from a volume, and makes it available.
func (l *Lab) Clear(volume string) {
	l.t.Helper()
	for _, a := range l.Ask(http.MethodGet, "attachments?all_tenants=1&volume_id="+volume, nil).Get("attachments.#.id").Array() {
		l.Ask(http.MethodDelete, "attachments/"+a.String(), nil, http.StatusOK, http.StatusNotFound)
	}
	for _, s := range l.Ask(http.MethodGet, "snapshots?all_tenants=1&volume_id="+volume, nil).Get("snapshots.#.id").Array() {
		l.Ask(http.MethodDelete, "snapshots/"+s.String(), nil, http.StatusAccepted, http.StatusNotFound)
		l.Await("snapshots/"+s.String(), "snapshot.status", "")
	}
	l.Ask(http.MethodPost, "volumes/"+volume+"/action",
		map[string]any{"os-reset_status": map[string]any{"status": "available", "attach_status": "detached"}},
		http.StatusAccepted, http.StatusNotFound)
}

// Snapshot makes one of a volume, attached or not.
func (l *Lab) Snapshot(volume string) string {
	l.t.Helper()
	id := l.Ask(http.MethodPost, "snapshots", map[string]any{"snapshot": map[string]any{"volume_id": volume, "name": "test",
		"force": true}}).Get("snapshot.id").String()
	l.Await("snapshots/"+id, "snapshot.status", "available")
	return id
}

// Reserve makes an attachment without a host.
func (l *Lab) Reserve(volume, instance string) string {
	l.t.Helper()
	return l.Ask(http.MethodPost, "attachments", map[string]any{"attachment": map[string]any{"volume_uuid": volume,
		"instance_uuid": instance}}).Get("attachment.id").String()
}

// Attach makes an attachment with a connection, as Nova does.
func (l *Lab) Attach(volume, instance string) string {
	l.t.Helper()
	id := l.Ask(http.MethodPost, "attachments", map[string]any{"attachment": map[string]any{
		"volume_uuid": volume, "instance_uuid": instance, "connector": map[string]any{
			"host": "compute1", "ip": "127.0.0.1", "initiator": "iqn.1993-08.org.debian:01:test", "platform": "x86_64", "os_type": "linux",
			"multipath": false, "do_local_attach": false, "mountpoint": "/dev/vdb", "mode": "rw",
		},
	}}).Get("attachment.id").String()
	l.Ask(http.MethodPost, "attachments/"+id+"/action", map[string]any{"os-complete": map[string]any{}})
	return id
}

// Status is a volume's; empty if it is gone.
func (l *Lab) Status(volume string) string {
	l.t.Helper()
	return l.Ask(http.MethodGet, "volumes/"+volume, nil, http.StatusOK, http.StatusNotFound).Get("volume.status").String()
}

// Attachments are those of an instance.
func (l *Lab) Attachments(instance string) (found []string) {
	l.t.Helper()
	for _, id := range l.Ask(http.MethodGet, "attachments?all_tenants=1&instance_id="+instance, nil).Get("attachments.#.id").Array() {
		found = append(found, id.String())
	}
	return found
}

// Snapshots are those of a volume.
func (l *Lab) Snapshots(volume string) (found []string) {
	l.t.Helper()
	for _, id := range l.Ask(http.MethodGet, "snapshots?all_tenants=1&volume_id="+volume, nil).Get("snapshots.#.id").Array() {
		found = append(found, id.String())
	}
	return found
}

// Lose takes an attachment away and leaves its volume as it is, as a detach does that
// broke off.
func (l *Lab) Lose(volume, attachment string) {
	l.t.Helper()
	l.Ask(http.MethodDelete, "attachments/"+attachment, nil)
	novalab.Exec(l.t, novalab.Open(l.t, "cinder"), "UPDATE volumes SET status = 'in-use', attach_status = 'attached' WHERE id = ?", volume)
}

// Hang puts a volume into a status between.
func (l *Lab) Hang(volume, status string) {
	l.t.Helper()
	novalab.Exec(l.t, novalab.Open(l.t, "cinder"), "UPDATE volumes SET status = ? WHERE id = ?", status, volume)
}
