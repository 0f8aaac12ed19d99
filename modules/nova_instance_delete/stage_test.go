package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

// stage is a cloud, fake or real, with a host that works, and a proxy by way of which
// the module sees it.
type stage struct {
	nova
	t      *testing.T
	proxy  *openstacktest.Proxy
	folder string
}

// nova is what a test can do to Nova behind the module's back.
type nova interface {
	// boot makes a server in ERROR on the host, or on none, which was written an hour ago.
	boot(onHost bool) string
	// set sets vm_state and task_state, an hour ago or now.
	set(uuid, vmState, task string, ago time.Duration)
	volume(uuid, volume string)
	// spoil makes nova-compute fail to delete it.
	spoil(uuid string)
	// migration adds one that was last written so long ago.
	migration(uuid, status string, ago time.Duration)
	// forceDown is for the host.
	forceDown(value bool)
	// vanish deletes the server.
	vanish(uuid string)
	// status is empty for a server that there is not.
	status(uuid string) string
	lock(uuid string)
	unmap(uuid string)
}

const theHost = "compute1"

// newStage is in the cloud of the OS_* environment.
func newStage(t *testing.T, n nova) *stage {
	t.Helper()
	s := &stage{nova: n, t: t, folder: t.TempDir(), proxy: openstacktest.NewProxy(os.Getenv("OS_AUTH_URL"))}
	t.Cleanup(s.proxy.Close)
	return s
}

func newFakeStage(t *testing.T) *stage {
	t.Helper()
	cloud := openstacktest.NewInEnvironment(t)
	cloud.Services = []openstacktest.Service{{ID: "f86eb1b1-347d-4f09-a306-455707d1478c", Host: theHost, Binary: "nova-compute"}}
	return newStage(t, fakeNova{cloud})
}

// of is the same cloud, for a subtest.
func (s *stage) of(t *testing.T) *stage {
	t.Helper()
	return &stage{nova: s.nova, t: t, proxy: s.proxy, folder: t.TempDir()}
}

type options = map[string]any

// start starts the module by way of the proxy.
func (s *stage) start(uuid string, more options) *ansibletest.Process {
	s.t.Helper()
	all := options{"instance_uuid": uuid, "backup_dir": filepath.Join(s.folder, "backups"), "timeout": 60, "_ansible_diff": true}
	for key, value := range more {
		all[key] = value
	}
	environment := append(os.Environ(), "OS_AUTH_URL="+s.proxy.AuthURL())
	return ansibletest.Start(s.t, name, all, environment)
}

// at lets something happen at a moment of the next run.
func (s *stage) at(when openstacktest.When, method, path string, do func()) {
	s.proxy.At(when, method, path, func() bool { do(); return true })
}

func (s *stage) backups(uuid string) []string {
	s.t.Helper()
	return ansibletest.Backups(s.t, filepath.Join(s.folder, "backups"), uuid)
}

func (s *stage) wantsGone(uuid string) {
	s.t.Helper()
	if status := s.status(uuid); status != "" {
		s.t.Errorf("it is still there: %s", status)
	}
}

func (s *stage) wantsThere(uuid string) {
	s.t.Helper()
	if s.status(uuid) == "" {
		s.t.Error("it is gone")
	}
}

type fakeNova struct{ cloud *openstacktest.Cloud }

func (n fakeNova) boot(onHost bool) string {
	uuid, server := openstacktest.UUID(), openstacktest.Server{Status: "ERROR", Updated: time.Now().Add(-time.Hour),
		Volumes: map[string]bool{}}
	if onHost {
		server.Host = theHost
	}
	n.cloud.Do(func() { n.cloud.Servers[uuid] = server })
	return uuid
}

func (n fakeNova) change(uuid string, change func(*openstacktest.Server)) {
	n.cloud.Do(func() {
		server := n.cloud.Servers[uuid]
		change(&server)
		n.cloud.Servers[uuid] = server
	})
}

func (n fakeNova) set(uuid, vmState, task string, ago time.Duration) {
	n.change(uuid, func(s *openstacktest.Server) { s.VMState, s.Task, s.Updated = vmState, task, time.Now().Add(-ago) })
}

func (n fakeNova) volume(uuid, volume string) {
	n.change(uuid, func(s *openstacktest.Server) { s.Volumes[volume] = true })
}

func (n fakeNova) spoil(string) { n.cloud.Do(func() { n.cloud.Services[0].Agent = "fails" }) }

func (n fakeNova) migration(uuid, status string, ago time.Duration) {
	n.cloud.Do(func() {
		n.cloud.Migrations = append(n.cloud.Migrations, openstacktest.Migration{UUID: openstacktest.UUID(), Status: status, Instance: uuid,
			Updated: time.Now().Add(-ago)})
	})
}

func (n fakeNova) forceDown(value bool) {
	n.cloud.Do(func() { n.cloud.Services[0].ForcedDown = value })
}

func (n fakeNova) vanish(uuid string) { n.cloud.Do(func() { delete(n.cloud.Servers, uuid) }) }

func (n fakeNova) status(uuid string) (status string) {
	n.cloud.Do(func() { status = n.cloud.Servers[uuid].Status })
	return status
}

func (n fakeNova) lock(uuid string) {
	n.change(uuid, func(s *openstacktest.Server) { s.Locked = true })
}

func (n fakeNova) unmap(uuid string) {
	n.change(uuid, func(s *openstacktest.Server) { s.Unmapped = true })
}
