package main

import (
	"testing"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

// Whatever is asked before the write, and however the answer fails to come, it is
// never taken for "nothing there".
func TestAReadThatFailsIsNeverAnAbsence(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	cloud.AddProvider("compute1", compute1, "", map[string]int{"VCPU": 8})
	consumer := openstacktest.UUID()
	cloud.Allocate(consumer, compute1, map[string]int{"VCPU": 1})
	for name, options := range map[string]map[string]any{
		"absent on one tree": {"consumer": consumer, "state": absent, "resource_provider": "compute1"},
		"saved":              {"consumer": consumer, "state": saved},
		"a provider's":       {"resource_provider": "compute1"},
	} {
		options["timeout"], options["_ansible_check_mode"], options["backup_dir"] = 1, true, t.TempDir()
		t.Run(name, func(t *testing.T) {
			openstacktest.FailEachRead(t, cloud, func(t *testing.T) bool {
				t.Helper()
				return ansibletest.Call(t, module(), options).Get("failed").Bool()
			})
		})
	}
}
