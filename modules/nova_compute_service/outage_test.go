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
		cloud.Services = []openstacktest.Service{{ID: "f86eb1b1-347d-4f09-a306-455707d1478c", Host: theHost, Binary: "nova-compute"}}
	}, func(t *testing.T, auth map[string]any) gjson.Result {
		t.Helper()
		return ansibletest.Call(t, module(), options{"host": theHost, "forced_down": true, "auth": auth, "timeout": 1, "backup_dir": t.TempDir()})
	}, func(answer gjson.Result) bool { return !answer.Get("exists").Exists() })
}
