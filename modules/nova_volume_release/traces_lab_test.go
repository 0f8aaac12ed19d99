//go:build lab

package main

import (
	"strings"
	"testing"

	"nova-orphan/internal/openstack/openstacktest"
)

// All that Nova's databases have of it is the request spec.
func TestWhatALostInstanceHasIsReleasedOnTheRealServicesOnceATraceProvesThatItWasThisClouds(t *testing.T) {
	o := newOrphanage(t)
	lost, rival := openstacktest.UUID(), openstacktest.UUID()
	data, shared := o.Volume(false), o.Volume(true)
	o.pattern(data, "write")
	o.Attach(data, lost)
	o.Attach(shared, lost)
	theirs, port, taken := o.Attach(shared, rival), o.ports.Port(lost), o.ports.Port(rival)
	conf := o.conf(true)

	o.stage.proxy.Passed()
	answer := o.call(lost, conf, nil).Done(false)
	if got := o.stage.writes(); len(got) > 0 || answer.Get("verdict").String() != "absent" ||
		!strings.Contains(answer.Get("remains").String(), "give it in traces") {
		t.Errorf("it wrote %v: %s", got, answer)
	}
	traces := arguments{"traces": map[string]any{lost: "the domain instance-0000002a on compute1"}, "_ansible_check_mode": true}
	if answer = o.call(lost, conf, traces).Done(true); answer.Get("verdict").String() != "lost" || answer.Get("plan.#").Int() != 3 {
		t.Errorf("with what was seen of it elsewhere: %s", answer)
	}

	o.nova.API("INSERT INTO request_specs (created_at, instance_uuid, spec) VALUES (UTC_TIMESTAMP(), '%s', '{}')", lost)
	t.Cleanup(func() { o.nova.API("DELETE FROM request_specs WHERE instance_uuid = '%s'", lost) })
	if answer = o.call(lost, conf, nil).Done(true); answer.Get("verdict").String() != "lost" {
		t.Errorf("got %s", answer)
	}
	o.expectReleased(lost, data, theirs, shared)
	for id, device := range map[string]string{port: "", taken: rival} {
		if got := o.ports.Show(id); !got.Exists() || got.Get("device_id").String() != device {
			t.Errorf("port %s is %s", id, got)
		}
	}
	o.expectBackup(data, shared)
	o.call(lost, conf, nil).Done(false)
}
