package main

import (
	"testing"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestAKilledRunIsFinishedByTheNext(t *testing.T) { testCrashes(t, newFakeStage) }

const (
	arrived  = openstacktest.Arrived
	answered = openstacktest.Answered
)

// moment is one in the life of a request.
type moment struct {
	when         openstacktest.When
	method, path string
}

// killPoint is a moment at which the module is killed, after others have passed.
type killPoint struct {
	name  string
	after []moment
	at    moment
	// attachments and snapshots are what is left then, of two and one.
	attachments, snapshots int
}

func killPoints() []killPoint {
	detached := moment{answered, "DELETE", "/attachments/"}
	cleaned := moment{answered, "DELETE", "/snapshots/"}
	return []killPoint{
		{"when it asks for a token", nil, moment{arrived, "POST", "/auth/tokens"}, 2, 1},
		{"when it asks Nova", nil, moment{arrived, "GET", "/servers/"}, 2, 1},
		{"when it reads the attachments", nil, moment{arrived, "GET", "/attachments/"}, 2, 1},
		{"after the backup, before the first detach", nil, moment{arrived, "DELETE", "/attachments/"}, 2, 1},
		{"after the detach, before its answer", nil, detached, 1, 1},
		{"after the answer, before it reads back", []moment{detached}, moment{arrived, "GET", "/attachments/"}, 1, 1},
		{"when it has read back, and asks Nova again", []moment{detached}, moment{arrived, "GET", "/servers/"}, 1, 1},
		{"between two attachments", []moment{detached}, moment{arrived, "DELETE", "/attachments/"}, 1, 1},
		{"after the second detach, before its answer", []moment{detached}, detached, 0, 1},
		{"before the snapshot is deleted", nil, moment{arrived, "DELETE", "/snapshots/"}, 0, 1},
		{"after the snapshot is deleted, before its answer", nil, cleaned, 0, 0},
		{"when it waits for the snapshot", []moment{cleaned}, moment{arrived, "GET", "/snapshots/"}, 0, 0},
		{"when it looks whether all is done", []moment{cleaned}, moment{arrived, "GET", "/servers/"}, 0, 0},
	}
}

func testCrashes(t *testing.T, newStage func(*testing.T) *stage) {
	killed := 0
	for _, point := range killPoints() {
		t.Run(point.name, func(t *testing.T) {
			s := newStage(t)
			options := arguments{"delete_snapshots": true}
			s.dieAt(point, options)
			killed++
			if point.snapshots == 0 { // which Cinder deletes in its own time
				s.awaitNoSnapshot()
			}
			s.wants(point.attachments, point.snapshots)
			if touched := point.attachments+point.snapshots < 3; touched && len(s.backups()) == 0 {
				t.Error("it was changed without a backup")
			}
			s.start(options).Done(point.attachments+point.snapshots > 0)
			s.wants(0, 0)
			s.start(options).Done(false)
		})
	}
	t.Logf("kill points: %d", killed)
	if want := len(killPoints()); killed != want {
		t.Errorf("killed at %d points of %d", killed, want)
	}
}

func (s *stage) awaitNoSnapshot() {
	s.t.Helper()
	err := await(s.t.Context(), func() (bool, error) { return len(s.world.Snapshots(s.root)) == 0, nil })
	if err != nil {
		s.t.Fatal(err)
	}
}

// dieAt runs the module and kills it at the point.
func (s *stage) dieAt(point killPoint, options arguments) {
	s.t.Helper()
	started := make(chan *ansibletest.Process, 1)
	die := func() bool {
		(<-started).Kill()
		return false
	}
	arm := func() { s.proxy.At(point.at.when, point.at.method, point.at.path, die) }
	for i := len(point.after) - 1; i >= 0; i-- {
		after, next := point.after[i], arm
		arm = func() { s.proxy.At(after.when, after.method, after.path, func() bool { next(); return true }) }
	}
	arm()
	r := s.start(options)
	started <- r
	r.Killed()
}
