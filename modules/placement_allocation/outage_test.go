//go:build !lab

package main

import (
	"testing"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
	"nova-orphan/internal/orphan"
)

func TestAnOutageIsNoAnswer(t *testing.T) {
	openstacktest.FailEachService(t, func(cloud *openstacktest.Cloud) {
		cloud.AddProvider("compute1", compute1, "", map[string]int{"VCPU": 8})
		cloud.Allocate(orphanUUID, compute1, map[string]int{"VCPU": 1})
	}, func(t *testing.T, auth map[string]any) gjson.Result {
		t.Helper()
		return ansibletest.Call(t, module(), arguments{"consumer": orphanUUID, "state": absent, "auth": auth, "timeout": 1,
			"backup_dir": t.TempDir()})
	}, func(answer gjson.Result) bool { return answer.Get("verdict").String() == string(orphan.Unknown) })
}
