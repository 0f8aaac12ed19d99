package main

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

// stage is a cloud, fake or real, with an orphan of which only attachments are left,
// and a proxy by way of which the module sees it.
type stage struct {
	t        *testing.T
	world    world
	proxy    *openstacktest.Proxy
	folder   string
	instance string
	// root and data are its volumes; data takes several attachments, and others has one.
	root, data, others string
	// rootAttachment gives it root.
	rootAttachment string
}

// world is what a test can do behind the module's back.
type world interface {
	Volume(multiattach bool) string
	Attach(volume, instance string) string
	Snapshot(volume string) string
	Status(volume string) string
	Attachments(instance string) []string
	Snapshots(volume string) []string
}

// newStage is in the cloud of the OS_* environment.
func newStage(t *testing.T, w world) *stage {
	t.Helper()
	s := &stage{t: t, world: w, folder: t.TempDir(), instance: openstacktest.UUID(), others: openstacktest.UUID(), proxy: newProxy(t)}
	s.root, s.data = w.Volume(false), w.Volume(true)
	s.rootAttachment = w.Attach(s.root, s.instance)
	w.Attach(s.data, s.instance)
	w.Attach(s.data, s.others)
	w.Snapshot(s.root)
	return s
}

func newProxy(t *testing.T) *openstacktest.Proxy {
	t.Helper()
	proxy := openstacktest.NewProxy(os.Getenv("OS_AUTH_URL"))
	t.Cleanup(proxy.Close)
	return proxy
}

func newFakeStage(t *testing.T) *stage {
	t.Helper()
	cloud := openstacktest.NewInEnvironment(t)
	return newStage(t, fakeWorld{cloud})
}

type fakeWorld struct{ cloud *openstacktest.Cloud }

func (f fakeWorld) Volume(multiattach bool) string {
	id := openstacktest.UUID()
	f.cloud.Do(func() {
		f.cloud.Volumes = append(f.cloud.Volumes, &openstacktest.Volume{ID: id, Status: "available", Multiattach: multiattach})
	})
	return id
}

func (f fakeWorld) Attach(volume, instance string) string {
	id := openstacktest.UUID()
	f.cloud.Do(func() {
		f.cloud.Attachments = append(f.cloud.Attachments, &openstacktest.Attachment{
			ID: id, Volume: volume, Instance: instance, Status: "attached", Device: "/dev/vdb", Host: "compute1", Info: plantedConnection(),
		})
		for _, v := range f.cloud.Volumes {
			if v.ID == volume {
				v.Status = "in-use"
			}
		}
	})
	return id
}

func (f fakeWorld) Snapshot(volume string) string {
	id := openstacktest.UUID()
	f.cloud.Do(func() {
		f.cloud.Snapshots = append(f.cloud.Snapshots, &openstacktest.Snapshot{ID: id, Volume: volume, Status: "available"})
	})
	return id
}

func (f fakeWorld) Status(volume string) (status string) {
	f.cloud.Do(func() {
		for _, v := range f.cloud.Volumes {
			if v.ID == volume {
				status = v.Status
			}
		}
	})
	return status
}

func (f fakeWorld) Attachments(instance string) (found []string) {
	f.cloud.Do(func() {
		for _, a := range f.cloud.Attachments {
			if a.Instance == instance {
				found = append(found, a.ID)
			}
		}
	})
	return found
}

func (f fakeWorld) Snapshots(volume string) (found []string) {
	f.cloud.Do(func() {
		for _, s := range f.cloud.Snapshots {
			if s.Volume == volume {
				found = append(found, s.ID)
			}
		}
	})
	return found
}

type arguments map[string]any

// start calls the module as Ansible does.
func (s *stage) start(options arguments) *ansibletest.Process {
	s.t.Helper()
	all := map[string]any{"instance_uuid": s.instance, "state": "released", "backup_dir": filepath.Join(s.folder, "backups"), "timeout": 60}
	maps.Copy(all, options)
	return ansibletest.Start(s.t, name, all, append(os.Environ(), "OS_AUTH_URL="+s.proxy.AuthURL()))
}

// wants are how many attachments and snapshots are left; those of others always are.
func (s *stage) wants(attachments, snapshots int) {
	s.t.Helper()
	if got := s.world.Attachments(s.instance); len(got) != attachments {
		s.t.Errorf("the instance has the attachments %v, want %d", got, attachments)
	}
	if got := s.world.Snapshots(s.root); len(got) != snapshots {
		s.t.Errorf("its volume has the snapshots %v, want %d", got, snapshots)
	}
	if got := s.world.Attachments(s.others); len(got) != 1 || s.world.Status(s.data) != "in-use" {
		s.t.Errorf("the others have the attachments %v, and the volume is %s", got, s.world.Status(s.data))
	}
	if got := s.world.Status(s.root); attachments == 0 && got != "available" {
		s.t.Errorf("the volume is %s", got)
	}
}

// backups are the files of the instance, the oldest first.
func (s *stage) backups() []string {
	s.t.Helper()
	return ansibletest.Backups(s.t, filepath.Join(s.folder, "backups"), s.instance)
}

// writes are the requests since the last look that would change something.
func (s *stage) writes() []string { return openstacktest.Writes(s.proxy.Passed()) }
