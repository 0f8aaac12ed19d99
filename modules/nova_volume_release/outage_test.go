//go:build !lab

package main

import (
	"testing"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestAnOutageIsNoAnswer(t *testing.T) {
	openstacktest.FailEachService(t, func(cloud *openstacktest.Cloud) {
		cloud.Volumes = []*openstacktest.Volume{{ID: "v1", Status: "in-use"}}
		cloud.Attachments = []*openstacktest.Attachment{{ID: "a1", Volume: "v1", Instance: instance, Status: "attached"}}
	}, func(t *testing.T, auth map[string]any) gjson.Result {
		t.Helper()
		return ansibletest.Call(t, module(), map[string]any{"instance_uuid": instance, "state": released, "auth": auth, "timeout": 1,
			"backup_dir": t.TempDir()})
	}, func(answer gjson.Result) bool { return answer.Get("verdict").String() == "unknown" })
}
