//go:build !lab

package main

import (
	"testing"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestAnOutageIsNoAnswerAndNeverStillThere(t *testing.T) {
	const instance = "6695eb01-f6a4-8304-79aa-97f2502e193f"
	openstacktest.FailEachService(t, func(cloud *openstacktest.Cloud) {
		cloud.Servers[instance] = openstacktest.Server{Status: "ERROR"}
	}, func(t *testing.T, auth map[string]any) gjson.Result {
		t.Helper()
		return ansibletest.Call(t, module(), map[string]any{"instance_uuid": instance, "auth": auth, "timeout": 1, "backup_dir": t.TempDir()})
	}, func(answer gjson.Result) bool {
		return answer.Get("verdict").String() == "unknown" && answer.Get("outcome").String() == unknown
	})
}
