//go:build lab

package main

import (
	"strings"
	"testing"

	"nova-orphan/internal/openstack/openstacktest"
)

// The hack deleted = 1 without a date; the volume has been reset by hand, and is its owner's again.
func TestWhatHasGoneBackToItsOwnerIsToldAndUntouchedOnTheRealServices(t *testing.T) {
	o := newOrphanage(t)
	data, rival := o.Volume(false), openstacktest.UUID()
	o.pattern(data, "write")
	uuid := o.nova.Boot("compute1")
	o.give(uuid, data)
	o.stop(uuid)
	o.nova.Set(uuid, strings.Replace(zombie, "deleted_at = UTC_TIMESTAMP()", "deleted_at = NULL", 1))
	o.Clear(data)
	snapshot := o.Snapshot(data)

	// A port that the host has written to, as with SR-IOV; one that is a replacement's by now; one that is gone.
	users, taken, gone := o.asNova.Bound(uuid, map[string]any{"pci_slot": "0000:05:01.1", "mine": "kept"}), o.ports.Port(uuid),
		openstacktest.UUID()
	o.cache(uuid, map[string]bool{users: true, taken: false, gone: false})
	o.ports.Set(taken, "device_id", rival)

	conf := o.conf(false)
	answer := o.call(uuid, conf, arguments{"delete_snapshots": true}).Done(true)
	if got := o.Snapshots(data); len(got) != 1 || got[0] != snapshot {
		t.Errorf("left are the snapshots %v", got)
	}
	remains := answer.Get("remains").String()
	for _, words := range []string{
		"snapshot " + snapshot, "nothing proves that it was made while the volume was the instance's", "port " + taken,
		"is untouched: it is of " + rival + " by now",
	} {
		if !strings.Contains(remains, words) {
			t.Errorf("it does not say %q: %s", words, remains)
		}
	}
	if got := o.asNova.Show(users); got.Get("device_id").String() != "" || got.Get("binding:profile").String() != `{"mine":"kept"}` {
		t.Errorf("the user's port is %s", got)
	}
	if got := o.ports.Show(taken).Get("device_id").String(); got != rival {
		t.Errorf("the replacement's port is of device %q", got)
	}
	for id, want := range map[string]string{users: "false", taken: "false " + rival, gone: "true"} {
		told := answer.Get(`ports.#(id=="` + id + `")`)
		if got := strings.TrimSpace(told.Get("gone").String() + " " + told.Get("device_id").String()); got != want {
			t.Errorf("of port %s it says gone %s", id, got)
		}
	}

	// The root disk is none of Nova's, and stays; the volume is attached to a replacement now.
	theirs := o.Attach(data, rival)
	for _, mapped := range []bool{true, false} {
		if !mapped { // by hand-written SQL, as is found
			o.nova.Cell("UPDATE block_device_mapping SET deleted = 1 WHERE instance_uuid = '%s'", uuid)
		}
		answer = o.call(uuid, conf, arguments{"delete_snapshots": true}).Done(false)
		if told := answer.Get("volumes.0"); told.Get("attached_to").String() != `["`+rival+`"]` || told.Get("gone").Bool() ||
			told.Get("status").String() != "in-use" {
			t.Errorf("of the volume it says %s", told)
		}
		if got := answer.Get("remains").String(); !strings.Contains(got, "is untouched: others have it by now: "+rival) {
			t.Errorf("the remains are %s", got)
		}
		if got := o.Attachments(rival); len(got) != 1 || got[0] != theirs || o.Status(data) != "in-use" || len(o.Snapshots(data)) != 1 {
			t.Errorf("the replacement has %v, and the volume is %s", got, o.Status(data))
		}
	}
	o.pattern(data, "read")
}
