package compute_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestTheFakeNovaKeepsTheContract(t *testing.T) {
	testContract(t, func(t *testing.T) backstage {
		cloud := openstacktest.NewInEnvironment(t)
		cloud.Services = []openstacktest.Service{
			{ID: openstacktest.UUID(), Host: host, Binary: "nova-compute"}, {ID: openstacktest.UUID(), Host: "controller", Binary: "nova-scheduler"},
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
	uuid := openstacktest.UUID()
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
	n.change(uuid, func(s *openstacktest.Server) { s.Locked, s.LockedReason = true, "a test" })
}

func (n fakeNova) unmap(uuid string) {
	n.change(uuid, func(s *openstacktest.Server) { s.Unmapped = true })
}

func (n fakeNova) volume(uuid, volume string) {
	n.change(uuid, func(s *openstacktest.Server) {
		s.Volumes[volume] = true
		s.Attached = map[string]openstacktest.Attached{volume: {Device: "/dev/vdb"}}
	})
}

func (n fakeNova) migration(uuid, migration string) {
	n.cloud.Do(func() {
		n.cloud.Migrations = append(n.cloud.Migrations,
			openstacktest.Migration{UUID: migration, Status: "finished", Type: "migration", Instance: uuid, SourceHost: "test",
				SourceNode: "test-node"})
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
		{"why a server is locked is told at a microversion of its own", tellsWhyLocked},
		{"a server without a mapping is listed, and not found", listsUnmapped},
		{"a volume's flag is taken from it, and nothing else is written", keepsVolume},
		{"a volume that is not attached is not found", keepsNoVolume},
		{"a volume has a device, and the server one for its root disk", tellsDevices},
		{"the migrations are those of the server", listsMigrations},
		{"a migration is found by its own uuid among those of its host", findsMigration},
		{"a host's servers are counted", counts},
		{"a service is found by binary and host", findsService},
		{"a service is forced down and back, and nothing else changes", forcesDown},
		{"only nova-compute is changed", refusesBinary},
	} {
		t.Run(clause.name, func(t *testing.T) {
			back := newBackstage(t)
			// Not t.Context(), which has ended when the clean-up runs.
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			t.Cleanup(cancel)
			clause.test(&world{Client: newClient(t), backstage: back, t: t, ctx: ctx})
		})
	}
}

// newClient is for the cloud of the OS_* environment.
func newClient(t *testing.T) *compute.Client {
	t.Helper()
	cloud, err := openstack.Connect(t.Context(), openstack.Auth{}, func(...string) {})
	if err != nil {
		t.Fatalf("with OS_AUTH_URL %q: %v", os.Getenv("OS_AUTH_URL"), err)
	}
	service, err := cloud.Compute()
	if err != nil {
		t.Fatal(err)
	}
	return compute.New(service)
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
	found, unmapped, err := w.Find(w.ctx, uuid)
	w.must(err)
	if found == nil && unmapped {
		w.t.Error("what is not there is unmapped")
	}
	return found == nil
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
	if !errors.As(err, &failure) || failure.Status != status || failure.RequestID == "" || openstack.Uncertain(err) {
		w.t.Errorf("got %v, want status %d", err, status)
	}
	w.wantsSent(status)
}
