//go:build !lab

package main

import (
	"testing"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestTheVolumesOfAnInstanceInACellThatIsDownAreNotReleased(t *testing.T) {
	for name, server := range map[string]openstacktest.Server{
		"without a mapping":                {Status: "ACTIVE", Host: "compute1", Cell: "cell2", Unmapped: true},
		"whose cell Nova still knows":      {Status: "ACTIVE", Host: "compute1", Cell: "cell2"},
		"perhaps, as its own cell answers": {Status: "ERROR", Host: "compute1"},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := openstacktest.NewInEnvironment(t)
			cloud.Servers[instance], cloud.Down = server, "cell2"
			cloud.Volumes = []*openstacktest.Volume{{ID: "v1", Status: "in-use"}}
			cloud.Attachments = []*openstacktest.Attachment{{ID: "a1", Volume: "v1", Instance: instance, Status: "attached"}}
			answer := ansibletest.Call(t, module(), map[string]any{"instance_uuid": instance, "state": released, "backup_dir": t.TempDir()})
			if !answer.Get("failed").Bool() || answer.Get("verdict").String() != "unknown" {
				t.Errorf("got %s", answer)
			}
			if writes := openstacktest.Writes(cloud.Requests()); len(writes) > 0 {
				t.Errorf("it sent %v", writes)
			}
		})
	}
}
