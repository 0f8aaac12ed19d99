//go:build !lab

package main

import (
	"strings"
	"testing"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestAServiceInACellThatIsDownIsNotOneThatThereIsNot(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	cloud.Services = []openstacktest.Service{
		{ID: "f86eb1b1-347d-4f09-a306-455707d1478c", Host: theHost, Binary: "nova-compute", Cell: "cell2"},
		{ID: "086eb1b1-347d-4f09-a306-455707d1478c", Host: "compute2", Binary: "nova-compute"},
	}
	folder := t.TempDir()
	ansibletest.Call(t, module(), options{"host": theHost, "instance_uuid": instance, "forced_down": true, "backup_dir": folder})
	cloud.Do(func() { cloud.Down = "cell2" })
	for name, all := range map[string]options{
		"shown":                     {"host": theHost},
		"left by an earlier run":    {"instance_uuid": instance, "backup_dir": folder},
		"left by another's earlier": {"instance_uuid": another, "backup_dir": folder},
	} {
		t.Run(name, func(t *testing.T) {
			answer := ansibletest.Call(t, module(), all)
			if !answer.Get("failed").Bool() || answer.Get("exists").Exists() || !strings.Contains(answer.Get("msg").String(), "a cell of Nova's") {
				t.Errorf("got %s", answer)
			}
		})
	}
}
