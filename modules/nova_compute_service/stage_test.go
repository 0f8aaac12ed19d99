package main

import (
	"os"
	"path/filepath"
	"testing"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

const (
	arrived  = openstacktest.Arrived
	answered = openstacktest.Answered
	theHost  = "compute1"
	instance = "6695eb01-f6a4-8304-79aa-97f2502e193f"
	another  = "7795eb01-f6a4-8304-79aa-97f2502e193f"
)

// stage is a cloud, fake or real, with a host whose nova-compute works, and a proxy
// by way of which the module sees it.
type stage struct {
	backstage
	t      *testing.T
	proxy  *openstacktest.Proxy
	folder string
}

// backstage is what a test can do to Nova, and see of it, behind the module's back.
type backstage interface {
	// host has the service.
	host() string
	forcedDown() bool
	forceDown(value bool)
	disable(reason string)
	// report is what a nova-compute that runs does every few seconds, and what a write of
	// somebody else's looks like.
	report()
}

// newStage is in the cloud of the OS_* environment.
func newStage(t *testing.T, n backstage) *stage {
	t.Helper()
	s := &stage{backstage: n, t: t, folder: t.TempDir(), proxy: openstacktest.NewProxy(os.Getenv("OS_AUTH_URL"))}
	t.Cleanup(s.proxy.Close)
	t.Cleanup(func() { n.forceDown(false) })
	return s
}

func newFakeStage(t *testing.T) *stage {
	t.Helper()
	cloud := openstacktest.NewInEnvironment(t)
	cloud.Services = []openstacktest.Service{{ID: "f86eb1b1-347d-4f09-a306-455707d1478c", Host: theHost, Binary: "nova-compute"}}
	return newStage(t, fakeNova{cloud})
}

type fakeNova struct{ cloud *openstacktest.Cloud }

func (n fakeNova) forcedDown() (value bool) {
	n.cloud.Do(func() { value = n.cloud.Services[0].ForcedDown })
	return value
}

func (n fakeNova) forceDown(value bool) {
	n.cloud.Do(func() {
		n.cloud.Services[0].ForcedDown, n.cloud.Services[0].Written = value, n.cloud.Services[0].Written+1
	})
}

func (n fakeNova) host() string { return theHost }

func (n fakeNova) report() { n.cloud.Do(func() { n.cloud.Services[0].Written++ }) }

func (n fakeNova) disable(reason string) {
	n.cloud.Do(func() { n.cloud.Services[0].Disabled, n.cloud.Services[0].Reason = reason != "", reason })
}

type options = map[string]any

// start starts the module by way of the proxy.
func (s *stage) start(more options) *ansibletest.Process {
	s.t.Helper()
	all := options{"host": s.host(), "instance_uuid": instance, "backup_dir": filepath.Join(s.folder, "backups"), "_ansible_diff": true}
	for key, value := range more {
		if all[key] = value; value == nil {
			delete(all, key)
		}
	}
	return ansibletest.Start(s.t, name, all, append(os.Environ(), "OS_AUTH_URL="+s.proxy.AuthURL()))
}

func (s *stage) backups() []string {
	s.t.Helper()
	return s.backupsOf(instance)
}

func (s *stage) backupsOf(uuid string) []string {
	s.t.Helper()
	return ansibletest.Backups(s.t, filepath.Join(s.folder, "backups"), uuid)
}

func (s *stage) wants(forcedDown bool) {
	s.t.Helper()
	if s.forcedDown() != forcedDown {
		s.t.Errorf("forced_down is %v", !forcedDown)
	}
}
