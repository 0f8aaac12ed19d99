//go:build lab

// Package cinderlab makes volumes, snapshots and attachments in the lab's Cinder, and
// takes them away after the test.
package cinderlab

import (
	"net/http"
	"testing"

	"nova-orphan/internal/nova/novalab"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
)

type object = map[string]any

// Lab is the Cinder of the OS_* environment, for one test.
type Lab struct {
	openstacktest.REST
	// several is the type of volumes that take several attachments, once there is one.
	several string
}

// New connects.
func New(t *testing.T) *Lab {
	t.Helper()
	service := openstacktest.Client(t, (*openstack.Cloud).BlockStorage)
	// The first at which an attachment can be completed.
	service.Microversion = "3.44"
	return &Lab{REST: openstacktest.REST{T: t, Client: service}}
}

// Await asks until the answer's value at the path is this; "" with a 404.
func (l *Lab) Await(path, field, value string) {
	l.T.Helper()
	l.Until(field+" of "+path+" is "+value, func() bool {
		return l.Ask(http.MethodGet, path, nil, http.StatusOK, http.StatusNotFound).Get(field).String() == value
	})
}

// Volume makes one of 1 GiB.
func (l *Lab) Volume(multiattach bool) string {
	l.T.Helper()
	return l.VolumeOf(object{}, multiattach)
}

// VolumeOf makes one of 1 GiB, with more properties.
func (l *Lab) VolumeOf(properties map[string]any, multiattach bool) string {
	l.T.Helper()
	properties["size"], properties["name"] = 1, "test"
	if multiattach {
		properties["volume_type"] = l.severalType()
	}
	id := l.Ask(http.MethodPost, "volumes", object{"volume": properties}).Get("volume.id").String()
	l.T.Cleanup(func() { l.Remove(id) })
	l.Await("volumes/"+id, "volume.status", "available")
	return id
}

// severalType makes a volume type that allows several attachments.
func (l *Lab) severalType() string {
	l.T.Helper()
	if l.several == "" {
		l.several = "test-" + openstacktest.UUID()
		kind := l.Ask(http.MethodPost, "types", object{"volume_type": object{
			"name": l.several, "extra_specs": object{"multiattach": "<is> True"},
		}}).Get("volume_type.id").String()
		l.T.Cleanup(func() { l.Ask(http.MethodDelete, "types/"+kind, nil) })
	}
	return l.several
}

// Remove deletes a volume with all that it has; gone already is no error. Nova, which deletes a server's root volume after
// the server, may do the same meanwhile: Cinder refuses the second of two (400), and the volume goes by the first.
func (l *Lab) Remove(volume string) {
	l.T.Helper()
	l.Until("volume "+volume+" is gone", func() bool {
		switch l.Status(volume) {
		case "":
			return true
		case "deleting":
			return false
		}
		l.Clear(volume)
		l.Ask(http.MethodDelete, "volumes/"+volume, nil, http.StatusAccepted, http.StatusNotFound, http.StatusBadRequest)
		return false
	})
}

// Clear takes all attachments and snapshots from a volume, and makes it available.
func (l *Lab) Clear(volume string) {
	l.T.Helper()
	for _, id := range l.ids("attachments", "volume_id", volume) {
		l.Ask(http.MethodDelete, "attachments/"+id, nil, http.StatusOK, http.StatusNotFound)
	}
	for _, id := range l.Snapshots(volume) {
		l.Ask(http.MethodDelete, "snapshots/"+id, nil, http.StatusAccepted, http.StatusNotFound)
		l.Await("snapshots/"+id, "snapshot.status", "")
	}
	l.Ask(http.MethodPost, "volumes/"+volume+"/action",
		object{"os-reset_status": object{"status": "available", "attach_status": "detached"}}, http.StatusAccepted, http.StatusNotFound)
}

// Snapshot makes one of a volume, attached or not.
func (l *Lab) Snapshot(volume string) string {
	l.T.Helper()
	id := l.Ask(http.MethodPost, "snapshots", object{"snapshot": object{"volume_id": volume, "name": "test",
		"force": true}}).Get("snapshot.id").String()
	l.Await("snapshots/"+id, "snapshot.status", "available")
	return id
}

// Reserve makes an attachment without a host.
func (l *Lab) Reserve(volume, instance string) string {
	l.T.Helper()
	return l.attach(object{"volume_uuid": volume, "instance_uuid": instance})
}

// Attach makes an attachment with a connection, as Nova does.
func (l *Lab) Attach(volume, instance string) string {
	l.T.Helper()
	id := l.attach(object{
		"volume_uuid": volume, "instance_uuid": instance, "connector": object{
			"host": "compute1", "ip": "127.0.0.1", "initiator": "iqn.1993-08.org.debian:01:test", "platform": "x86_64", "os_type": "linux",
			"multipath": false, "do_local_attach": false, "mountpoint": "/dev/vdb", "mode": "rw",
		},
	})
	l.Ask(http.MethodPost, "attachments/"+id+"/action", object{"os-complete": object{}})
	return id
}

func (l *Lab) attach(attachment object) string {
	l.T.Helper()
	return l.Ask(http.MethodPost, "attachments", object{"attachment": attachment}).Get("attachment.id").String()
}

// Status is a volume's; empty if it is gone.
func (l *Lab) Status(volume string) string {
	l.T.Helper()
	return l.Ask(http.MethodGet, "volumes/"+volume, nil, http.StatusOK, http.StatusNotFound).Get("volume.status").String()
}

// Attachments are those of an instance.
func (l *Lab) Attachments(instance string) []string {
	return l.ids("attachments", "instance_id", instance)
}

// Snapshots are those of a volume.
func (l *Lab) Snapshots(volume string) []string { return l.ids("snapshots", "volume_id", volume) }

func (l *Lab) ids(kind, filter, value string) (found []string) {
	l.T.Helper()
	for _, id := range l.Ask(http.MethodGet, kind+"?all_tenants=1&"+filter+"="+value, nil).Get(kind + ".#.id").Array() {
		found = append(found, id.String())
	}
	return found
}

// Lose takes an attachment away and leaves its volume as it is, as a detach does that
// broke off.
func (l *Lab) Lose(volume, attachment string) {
	l.T.Helper()
	l.Ask(http.MethodDelete, "attachments/"+attachment, nil)
	novalab.Exec(l.T, novalab.Open(l.T, "cinder"), "UPDATE volumes SET status = 'in-use', attach_status = 'attached' WHERE id = ?", volume)
}
