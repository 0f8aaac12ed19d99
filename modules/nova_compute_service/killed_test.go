package main

import (
	"testing"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestAKilledRunIsFinishedByTheNextAndUndoneByItsBackup(t *testing.T) { testKills(t, newFakeStage) }

type point struct {
	when         openstacktest.When
	method, path string
}

// kill is a moment at which the module is killed; after, if set, must have passed before.
type kill struct {
	name  string
	after *point
	at    point
	// saved and written say what had been done by then.
	saved, written bool
}

func kills() []kill {
	put := &point{answered, "PUT", "/os-services/"}
	return []kill{
		{name: "when it asks for a token", at: point{arrived, "POST", "/auth/tokens"}},
		{name: "when it reads", at: point{arrived, "GET", "/os-services"}},
		{name: "when it counts the servers", at: point{arrived, "GET", "/servers"}},
		{name: "after the backup, before the write", at: point{arrived, "PUT", "/os-services/"}, saved: true},
		{name: "after the write, before its answer", at: *put, saved: true, written: true},
		{name: "after the answer, before it reads back", after: put, at: point{arrived, "GET", "/os-services"}, saved: true, written: true},
		{name: "after it has read back", after: put, at: point{answered, "GET", "/os-services"}, saved: true, written: true},
		// It asks for nothing any more: its answer is what is lost.
		{name: "after it has written down what it read back", saved: true, written: true},
	}
}

func testKills(t *testing.T, newStage func(*testing.T) *stage) {
	for _, k := range kills() {
		t.Run(k.name, func(t *testing.T) {
			s := newStage(t)
			down := options{"forced_down": true}
			s.dieAt(k, down)
			s.wants(k.written)
			if saved := len(s.backups()) == 1; saved != k.saved {
				t.Fatalf("backups: %v", s.backups())
			}
			// The backup puts it back, also where the run did not come to write down what it did.
			if k.saved {
				s.start(options{"backup_file": s.backups()[0]}).Done(k.written)
				s.wants(false)
				s.start(options{"backup_file": s.backups()[0]}).Done(false)
			}
			// The next run finishes it, and a second call puts it back, too.
			s.start(down).Done(true)
			s.wants(true)
			s.start(down).Done(false)
			s.start(options{"forced_down": false}).Done(true)
			s.wants(false)
		})
	}
	t.Run("while it is put back", func(t *testing.T) {
		for _, k := range []kill{{name: "before", at: point{arrived, "PUT", "/os-services/"}},
			{name: "after", at: point{answered, "PUT", "/os-services/"}, written: true}} {
			s := newStage(t)
			s.start(options{"forced_down": true}).Done(true)
			back := options{"backup_file": s.backups()[0]}
			s.dieAt(k, back)
			s.wants(!k.written)
			s.start(back).Done(!k.written)
			s.wants(false)
		}
	})
	t.Logf("kill points: %d", len(kills())+2)
}

// dieAt runs the module and kills it at the point.
func (s *stage) dieAt(k kill, all options) {
	s.t.Helper()
	started := make(chan *ansibletest.Process, 1)
	die := func() bool {
		(<-started).Kill()
		return false
	}
	switch {
	case k.at == point{}:
		s.start(all).Done(true)
		return
	case k.after == nil:
		s.proxy.At(k.at.when, k.at.method, k.at.path, die)
	default:
		s.proxy.At(k.after.when, k.after.method, k.after.path, func() bool { s.proxy.At(k.at.when, k.at.method, k.at.path, die); return true })
	}
	process := s.start(all)
	started <- process
	process.Killed()
}

func TestWhatOthersChangeMeanwhileStays(t *testing.T) { testMeanwhile(t, newFakeStage) }

func testMeanwhile(t *testing.T, newStage func(*testing.T) *stage) {
	s := newStage(t)
	s.proxy.At(arrived, "PUT", "/os-services/", func() bool { s.disable("somebody else"); return true })
	t.Cleanup(func() { s.disable("") })
	answer := s.start(options{"forced_down": true}).Done(true)
	if answer.Get("service.disabled_reason").String() != "somebody else" || answer.Get("requests.0.request_id").String() == "" {
		t.Errorf("got %s", answer)
	}
	s.start(options{"backup_file": s.backups()[0]}).Done(true)
	s.wants(false)
	shown := s.start(nil).Done(false)
	if shown.Get("service.disabled_reason").String() != "somebody else" {
		t.Errorf("got %s", shown)
	}
}

func TestACheckChangesNothing(t *testing.T) { testCheck(t, newFakeStage) }

func testCheck(t *testing.T, newStage func(*testing.T) *stage) {
	s := newStage(t)
	s.proxy.Passed()
	check := s.start(options{"forced_down": true, "_ansible_check_mode": true}).Done(true)
	if writes := openstacktest.Writes(s.proxy.Passed()); len(writes) > 0 || len(s.backups()) > 0 {
		t.Errorf("it wrote: %v, %v", writes, s.backups())
	}
	s.wants(false)
	done := s.start(options{"forced_down": true}).Done(true)
	if check.Get("plan").Raw != done.Get("plan").Raw || check.Get("diff").Raw != done.Get("diff").Raw ||
		check.Get("servers").Raw != done.Get("servers").Raw {
		t.Errorf("the check said %s, the run did %s", check, done)
	}
	s.start(options{"forced_down": false}).Done(true)
}
