package compute_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestTheFakeNovaKeepsTheContract(t *testing.T) {
	testContract(t, func(t *testing.T) backstage {
		cloud := openstacktest.New()
		t.Cleanup(cloud.Close)
		for name, value := range cloud.Environment() {
			t.Setenv(name, value)
		}
		cloud.Services = []openstacktest.Service{
			{ID: randomUUID(), Host: host, Binary: "nova-compute"}, {ID: randomUUID(), Host: "controller", Binary: "nova-scheduler"},
		}
		return fakeNova{cloud}
	})
}

// host has a nova-compute that works.
const host = "compute1"

// backstage is what a test can do to Nova behind the client's back.
type backstage interface {
	// orphan makes a server in ERROR, on this host or on none.
	orphan(host string) string
	task(uuid, task string)
	protect(uuid string)
	lock(uuid string)
	unmap(uuid string)
	volume(uuid, volume string)
	migration(uuid, migration string)
}

type fakeNova struct{ cloud *openstacktest.Cloud }

func (n fakeNova) orphan(host string) string {
	uuid := randomUUID()
	n.cloud.Do(func() {
		n.cloud.Servers[uuid] = openstacktest.Server{Status: "ERROR", Host: host, Volumes: map[string]bool{}}
	})
	return uuid
}

func (n fakeNova) change(uuid string, change func(*openstacktest.Server)) {
	n.cloud.Do(func() {
		server := n.cloud.Servers[uuid]
		change(&server)
		n.cloud.Servers[uuid] = server
	})
}

func (n fakeNova) task(uuid, task string) {
	n.change(uuid, func(s *openstacktest.Server) { s.Task = task })
}

func (n fakeNova) protect(uuid string) {
	n.change(uuid, func(s *openstacktest.Server) { s.Protected = true })
}

func (n fakeNova) lock(uuid string) {
	n.change(uuid, func(s *openstacktest.Server) { s.Locked = true })
}

func (n fakeNova) unmap(uuid string) {
	n.change(uuid, func(s *openstacktest.Server) { s.Unmapped = true })
}

func (n fakeNova) volume(uuid, volume string) {
	n.change(uuid, func(s *openstacktest.Server) { s.Volumes[volume] = true })
}

func (n fakeNova) migration(uuid, migration string) {
	n.cloud.Do(func() {
		n.cloud.Migrations = append(n.cloud.Migrations, openstacktest.Migration{UUID: migration, Status: "finished", Type: "migration", Instance: uuid, SourceHost: "test"})
	})
}

// world is a client, and what is behind it.
type world struct {
	*compute.Client
	backstage
	t   *testing.T
	ctx context.Context
}

func testContract(t *testing.T, newBackstage func(*testing.T) backstage) {
	for _, clause := range []struct {
		name string
		test func(*world)
	}{
		{"a server that there is not is neither found nor listed", findsNothing},
		{"a server without a host is found and listed, and goes at once", deletesHomeless},
		{"a server with a host says where it is, and goes in the end", deletesOnHost},
		{"a forced delete does the same", forcesDelete},
		{"in the middle of a delete another one is taken and ignored, but the time is written", ignoresDelete},
		{"a reset clears the task and is seen in the time, and then it goes", resets},
		{"a forced-down host's server goes at once, whatever its task", deletesLocally},
		{"a protected server stays, and nothing is written", ignoresProtected},
		{"a locked server goes for an admin", deletesLocked},
		{"a server without a mapping is listed, and not found", listsUnmapped},
		{"a volume's flag is taken from it, and nothing else is written", keepsVolume},
		{"a volume that is not attached is not found", keepsNoVolume},
		{"the migrations are those of the server", listsMigrations},
		{"a host's servers are counted", counts},
		{"a service is found by binary and host", findsService},
		{"a service is forced down and back, and nothing else changes", forcesDown},
		{"a service is disabled with a reason, which enabling takes away", disables},
		{"only nova-compute is changed", refusesBinary},
	} {
		t.Run(clause.name, func(t *testing.T) {
			back := newBackstage(t)
			// Not t.Context(), which has ended when the clean-up runs.
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			t.Cleanup(cancel)
			cloud, err := openstack.Connect(ctx, openstack.Auth{}, func(...string) {})
			if err != nil {
				t.Fatalf("with OS_AUTH_URL %q: %v", os.Getenv("OS_AUTH_URL"), err)
			}
			service, err := cloud.Compute()
			if err != nil {
				t.Fatal(err)
			}
			clause.test(&world{Client: compute.New(service), backstage: back, t: t, ctx: ctx})
		})
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// server must be found.
func (w *world) server(uuid string) *compute.Server {
	w.t.Helper()
	server, err := w.Server(w.ctx, uuid)
	if err != nil || server == nil {
		w.t.Fatalf("server %s: got %v, %v", uuid, server, err)
	}
	return server
}

func (w *world) isGone(uuid string) bool {
	w.t.Helper()
	found, err := w.Server(w.ctx, uuid)
	w.must(err)
	listed, err := w.Listed(w.ctx, uuid)
	w.must(err)
	return found == nil && listed == nil
}

func (w *world) wantsGone(uuid string) {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); !w.isGone(uuid); {
		if time.Now().After(end) {
			w.t.Fatalf("server %s is still there: %s", uuid, w.server(uuid).Raw)
		}
		<-time.After(100 * time.Millisecond)
	}
}

// wantsSent wants the last request to have this status and an id.
func (w *world) wantsSent(status int) {
	w.t.Helper()
	sent := w.Sent()
	if last := sent[len(sent)-1]; last.Status != status || len(last.RequestID) < 5 {
		w.t.Errorf("got %+v, want status %d", last, status)
	}
}

func (w *world) wantsRefused(err error, status int) {
	w.t.Helper()
	failure := new(openstack.Failure)
	if !errors.As(err, &failure) || failure.Status != status || failure.RequestID == "" || failure.Uncertain() {
		w.t.Errorf("got %v, want status %d", err, status)
	}
	w.wantsSent(status)
}

func findsNothing(w *world) {
	if uuid := randomUUID(); !w.isGone(uuid) {
		w.t.Error("it is there")
	}
}

func deletesHomeless(w *world) {
	uuid := w.orphan("")
	server := w.server(uuid)
	listed, err := w.Listed(w.ctx, uuid)
	w.must(err)
	if server.VMState != "error" || server.TaskState != "" || server.Host != "" || server.HostStatus != "" || server.ProjectID == "" || server.UserID == "" || server.Flavor.Name == "" {
		w.t.Errorf("got %s", server.Raw)
	}
	if listed == nil || listed.VMState != server.VMState || listed.Updated != server.Updated {
		w.t.Errorf("listed is %v", listed)
	}
	if age := time.Since(server.At); age < -time.Minute || age > time.Minute {
		w.t.Errorf("its clock is %s off", age)
	}
	if _, err = time.Parse(time.RFC3339, server.Updated); err != nil {
		w.t.Error(err)
	}
	w.must(w.Delete(w.ctx, uuid))
	w.wantsSent(204)
	if !w.isGone(uuid) {
		w.t.Error("it is still there")
	}
	w.wantsRefused(w.Delete(w.ctx, uuid), 404)
}

func deletesOnHost(w *world) {
	uuid := w.orphan(host)
	server := w.server(uuid)
	if server.Host != host || server.Hypervisor == "" || server.HostStatus != "UP" || server.Status != "ERROR" || server.Locked || server.InstanceName == "" {
		w.t.Errorf("got %s", server.Raw)
	}
	w.must(w.Delete(w.ctx, uuid))
	w.wantsSent(204)
	w.wantsGone(uuid)
}

func forcesDelete(w *world) {
	uuid := w.orphan("")
	w.must(w.ForceDelete(w.ctx, uuid))
	w.wantsSent(202)
	w.wantsGone(uuid)
}

func ignoresDelete(w *world) {
	uuid := w.orphan(host)
	w.task(uuid, "deleting")
	for _, ask := range []func(context.Context, string) error{w.Delete, w.ForceDelete} {
		asked := time.Now().Truncate(time.Second)
		w.must(ask(w.ctx, uuid))
		now := w.server(uuid)
		updated, err := time.Parse(time.RFC3339, now.Updated)
		w.must(err)
		if updated.Before(asked) || now.TaskState != "deleting" || now.VMState != "error" {
			w.t.Errorf("got %s, asked at %s", now.Raw, asked)
		}
	}
}

func resets(w *world) {
	uuid := w.orphan(host)
	w.task(uuid, "deleting")
	w.must(w.ResetState(w.ctx, uuid))
	w.wantsSent(202)
	now := w.server(uuid)
	updated, err := time.Parse(time.RFC3339, now.Updated)
	w.must(err)
	if now.TaskState != "" || now.VMState != "error" || now.At.Sub(updated) > time.Minute {
		w.t.Errorf("got %s", now.Raw)
	}
	w.must(w.Delete(w.ctx, uuid))
	w.wantsGone(uuid)
}

func deletesLocally(w *world) {
	uuid := w.orphan(host)
	w.task(uuid, "deleting")
	w.forceDown(true)
	w.t.Cleanup(func() { w.forceDown(false) })
	if now := w.server(uuid); now.HostStatus != "DOWN" {
		w.t.Errorf("the host is %s", now.HostStatus)
	}
	w.must(w.Delete(w.ctx, uuid))
	if !w.isGone(uuid) {
		w.t.Error("it is still there")
	}
}

func ignoresProtected(w *world) {
	uuid := w.orphan("")
	w.protect(uuid)
	before := w.server(uuid)
	w.must(w.Delete(w.ctx, uuid))
	w.wantsSent(204)
	if now := w.server(uuid); now.Updated != before.Updated || now.TaskState != "" {
		w.t.Errorf("it left a trace: %s, was %s", now.Raw, before.Raw)
	}
}

func deletesLocked(w *world) {
	uuid := w.orphan("")
	w.lock(uuid)
	if !w.server(uuid).Locked {
		w.t.Error("it does not show")
	}
	w.must(w.Delete(w.ctx, uuid))
	w.wantsGone(uuid)
}

func listsUnmapped(w *world) {
	uuid := w.orphan(host)
	w.unmap(uuid)
	found, err := w.Server(w.ctx, uuid)
	w.must(err)
	listed, err := w.Listed(w.ctx, uuid)
	w.must(err)
	if found != nil || listed == nil || listed.VMState != "error" || listed.Host != host {
		w.t.Errorf("found is %v, listed is %v", found, listed)
	}
	w.wantsRefused(w.Delete(w.ctx, uuid), 404)
}

func keepsVolume(w *world) {
	uuid, volume, other := w.orphan(host), randomUUID(), randomUUID()
	w.volume(uuid, volume)
	w.volume(uuid, other)
	before := w.server(uuid)
	w.must(w.KeepVolume(w.ctx, uuid, volume))
	w.wantsSent(202)
	after := w.server(uuid)
	if len(before.Volumes) != 2 || len(after.Volumes) != 2 || after.Updated != before.Updated || after.VMState != before.VMState {
		w.t.Fatalf("got %s, was %s", after.Raw, before.Raw)
	}
	for _, one := range after.Volumes {
		if one.DeleteOnTermination != (one.ID == other) {
			w.t.Errorf("got %+v", after.Volumes)
		}
	}
}

func keepsNoVolume(w *world) {
	w.wantsRefused(w.KeepVolume(w.ctx, w.orphan(""), randomUUID()), 404)
}

func listsMigrations(w *world) {
	uuid := w.orphan(host)
	var want []string
	for range 3 {
		want = append(want, randomUUID())
		w.migration(uuid, want[len(want)-1])
	}
	w.migration(w.orphan(host), randomUUID())
	got, err := w.Migrations(w.ctx, uuid)
	w.must(err)
	for _, m := range got {
		if m.Status != "finished" || m.Type != "migration" || m.Source != "test" || m.ID == 0 {
			w.t.Errorf("got %+v", m)
		}
	}
	if len(got) != len(want) {
		w.t.Errorf("got %+v, want %v", got, want)
	}
}

func counts(w *world) {
	before, err := w.CountServers(w.ctx, host)
	w.must(err)
	for range 3 {
		w.orphan(host)
	}
	w.orphan("")
	after, err := w.CountServers(w.ctx, host)
	w.must(err)
	if after.Total != before.Total+3 || after.Error != before.Error+3 {
		w.t.Errorf("got %+v, was %+v", after, before)
	}
	nobody, err := w.CountServers(w.ctx, "compute9")
	w.must(err)
	if nobody != (compute.Count{}) {
		w.t.Errorf("got %+v", nobody)
	}
}

func (w *world) service(binary, host string) compute.Service {
	w.t.Helper()
	found, err := w.Services(w.ctx, binary, host)
	w.must(err)
	if len(found) != 1 {
		w.t.Fatalf("got %+v", found)
	}
	return found[0]
}

func (w *world) forceDown(value bool) {
	w.t.Helper()
	w.must(w.UpdateService(w.ctx, w.service("nova-compute", host).ID, compute.Change{ForcedDown: &value}))
	w.wantsSent(200)
}

func findsService(w *world) {
	s := w.service("nova-compute", host)
	if s.ID == "" || s.Host != host || s.Binary != "nova-compute" || s.Zone == "" || s.State != "up" || s.Status != "enabled" || s.ForcedDown || s.DisabledReason != nil || s.UpdatedAt == nil {
		w.t.Errorf("got %+v", s)
	}
	none, err := w.Services(w.ctx, "nova-compute", "compute9")
	w.must(err)
	all, err := w.Services(w.ctx, "nova-compute", "")
	w.must(err)
	if len(none) > 0 || len(all) == 0 {
		w.t.Errorf("got %v and %v", none, all)
	}
}

func forcesDown(w *world) {
	before := w.service("nova-compute", host)
	w.forceDown(true)
	w.t.Cleanup(func() { w.forceDown(false) })
	if s := w.service("nova-compute", host); !s.ForcedDown || s.State != "down" || s.Status != before.Status {
		w.t.Errorf("got %+v", s)
	}
	w.forceDown(false)
	if s := w.service("nova-compute", host); s.ForcedDown || s.State != "up" {
		w.t.Errorf("got %+v", s)
	}
}

func disables(w *world) {
	id := w.service("nova-compute", host).ID
	off, on, reason := "disabled", "enabled", "a test"
	w.must(w.UpdateService(w.ctx, id, compute.Change{Status: &off, DisabledReason: &reason}))
	if s := w.service("nova-compute", host); s.Status != off || s.DisabledReason == nil || *s.DisabledReason != reason || s.State != "up" {
		w.t.Errorf("got %+v", s)
	}
	w.must(w.UpdateService(w.ctx, id, compute.Change{Status: &on}))
	if s := w.service("nova-compute", host); s.Status != on || s.DisabledReason != nil {
		w.t.Errorf("got %+v", s)
	}
	w.wantsRefused(w.UpdateService(w.ctx, id, compute.Change{Status: &on, DisabledReason: &reason}), 400)
	w.wantsRefused(w.UpdateService(w.ctx, id, compute.Change{}), 400)
}

func refusesBinary(w *world) {
	yes := true
	w.wantsRefused(w.UpdateService(w.ctx, w.service("nova-scheduler", "controller").ID, compute.Change{ForcedDown: &yes}), 400)
	w.wantsRefused(w.UpdateService(w.ctx, randomUUID(), compute.Change{ForcedDown: &yes}), 404)
}

func randomUUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
