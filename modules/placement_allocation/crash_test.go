package main

import (
	"testing"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestAKilledRunIsFinishedByTheNext(t *testing.T) { testCrashes(t, newFakeStage) }

// killPoint is a moment at which the module is killed. after, if set, is a moment
// that must have passed before.
type killPoint struct {
	name    string
	restore bool // else a removal
	tree    bool // of one tree only
	second  bool // of another consumer, after the first is done
	after   *at
	at      at
	// written says that the service had carried the write out.
	written bool
}

type at struct {
	when         openstacktest.When
	method, path string
}

func killPoints() []killPoint {
	const arrived, answered = openstacktest.Arrived, openstacktest.Answered
	written := &at{answered, "PUT", "/allocations/"}
	return []killPoint{
		{name: "when it asks for a token", at: at{arrived, "POST", "/auth/tokens"}},
		{name: "when it reads", at: at{arrived, "GET", "/allocations/"}},
		{name: "when it asks Nova", at: at{arrived, "GET", "/servers/"}},
		{name: "after the backup, before the write", at: at{arrived, "PUT", "/allocations/"}},
		{name: "after the write, before its answer", at: at{answered, "PUT", "/allocations/"}, written: true},
		{name: "after the answer, before it reads back", after: written, at: at{arrived, "GET", "/allocations/"}, written: true},
		{name: "after it has read back, before it asks Nova again", after: written, at: at{arrived, "GET", "/servers/"}, written: true},
		{name: "between two consumers", second: true, written: true},
		{name: "after the write of one tree, before its answer", tree: true, at: at{answered, "PUT", "/allocations/"}, written: true},
		{name: "in a restore, before the write", restore: true, at: at{arrived, "PUT", "/allocations/"}},
		{name: "in a restore, after the write, before its answer", restore: true, at: at{answered, "PUT", "/allocations/"}, written: true},
		{name: "in a restore, after the answer, before it reads back", restore: true, after: written, at: at{arrived, "GET", "/allocations/"},
			written: true},
	}
}

func testCrashes(t *testing.T, newStage func(*testing.T) *stage) {
	killed := 0
	for _, point := range killPoints() {
		t.Run(point.name, func(t *testing.T) {
			s := newStage(t)
			full := holdings{s.host: 2, s.child: 1, s.storage: 3}
			s.set(s.consumer, full)
			gone, options := holdings{}, arguments{"consumer": s.consumer, "state": "absent"}
			if point.tree {
				gone, options["resource_provider"] = holdings{s.storage: 3}, s.child
			}
			before, after, undo := full, gone, ""
			if point.restore {
				s.start(options).Done(true)
				before, after, undo = gone, full, s.backups(s.consumer)[0]
				options = arguments{"state": "present", "backup_file": undo}
			}
			second := openstacktest.UUID()
			if point.second {
				s.set(second, holdings{s.other: 1})
				options["consumer"] = []string{s.consumer, second}
			}
			if point.second {
				s.dieBetween(s.consumer, second, options)
			} else {
				s.dieAt(point, options)
			}
			killed++

			if point.written {
				before = after
			}
			s.wants(s.consumer, before)
			if point.second {
				s.wants(second, holdings{s.other: 1})
			}
			if files := s.backups(s.consumer); point.written && len(files) == 0 {
				t.Error("it was changed without a backup")
			}

			// The next run finishes it.
			s.start(options).Done(!point.written || point.second)
			s.wants(s.consumer, after)
			if point.second {
				s.wants(second, nil)
			}
			s.start(options).Done(false)
			if point.restore {
				return
			}
			// The first backup puts it back, whichever run wrote it.
			s.start(arguments{"state": "present", "backup_file": s.backups(s.consumer)[0]}).Done(true)
			s.wants(s.consumer, full)
			s.start(arguments{"state": "present", "backup_file": s.backups(s.consumer)[0]}).Done(false)
		})
	}
	t.Logf("kill points: %d", killed)
	if want := len(killPoints()); killed != want {
		t.Errorf("killed at %d points of %d", killed, want)
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
	if point.after == nil {
		s.proxy.At(point.at.when, point.at.method, point.at.path, die)
	} else {
		s.proxy.At(point.after.when, point.after.method, point.after.path, func() bool {
			s.proxy.At(point.at.when, point.at.method, point.at.path, die)
			return true
		})
	}
	r := s.start(options)
	started <- r
	r.Killed()
}

// dieBetween runs the module and kills it when the first consumer is done and the second is not.
func (s *stage) dieBetween(first, second string, options arguments) {
	s.t.Helper()
	written, started := make(chan struct{}), make(chan *ansibletest.Process, 1)
	s.proxy.At(openstacktest.Answered, "PUT", "/allocations/"+first, func() bool { close(written); return true })
	s.proxy.At(openstacktest.Arrived, "PUT", "/allocations/"+second, func() bool {
		<-written
		(<-started).Kill()
		return false
	})
	r := s.start(options)
	started <- r
	r.Killed()
}
