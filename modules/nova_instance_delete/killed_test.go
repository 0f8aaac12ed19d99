package main

import (
	"testing"
	"time"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestAKilledRunIsFinishedByTheNext(t *testing.T) { testKills(t, newFakeStage) }

type point struct {
	when         openstacktest.When
	method, path string
}

// kill is a moment at which the module is killed; after, if set, must have passed before.
type kill struct {
	name  string
	after *point
	at    point
	// deleted and reset say what Nova had carried out by then.
	deleted, reset bool
}

func kills() []kill {
	reset, deleted := &point{answered, "POST", "/servers/"}, &point{answered, "DELETE", "/servers/"}
	return []kill{
		{name: "when it asks for a token", at: point{arrived, "POST", "/auth/tokens"}},
		{name: "when it reads", at: point{arrived, "GET", "/servers/"}},
		{name: "when it keeps a volume", at: point{arrived, "PUT", "/servers/"}},
		{name: "when it has kept a volume", at: point{answered, "PUT", "/servers/"}},
		{name: "before the reset", at: point{arrived, "POST", "/servers/"}},
		{name: "after the reset, before its answer", at: *reset, reset: true},
		{name: "after the reset, when it judges again", after: reset, at: point{arrived, "GET", "/os-migrations"}, reset: true},
		{name: "before the delete", at: point{arrived, "DELETE", "/servers/"}, reset: true},
		{name: "after the delete, before its answer", at: *deleted, reset: true, deleted: true},
		{name: "after the delete, while it waits", after: deleted, at: point{arrived, "GET", "/servers/"}, reset: true, deleted: true},
	}
}

func testKills(t *testing.T, newStage func(*testing.T) *stage) {
	all := newStage(t)
	for _, k := range kills() {
		t.Run(k.name, func(t *testing.T) {
			s := all.of(t)
			uuid := s.boot(k.deleted) // the API deletes one without a host at once
			s.volume(uuid, openstacktest.UUID())
			s.set(uuid, "error", "deleting", time.Hour)
			both := options{"methods": byReset, "preserve_volumes": true}
			s.dieAt(k, uuid, both)
			if written := k.reset || k.deleted; written && len(s.backups(uuid)) != 1 {
				t.Errorf("backups: %v", s.backups(uuid))
			}
			if !k.deleted {
				s.wantsThere(uuid)
			}
			answer := s.start(uuid, both).Done(!k.deleted)
			if answer.Get("outcome").String() != "gone" || k.deleted && answer.Get("requests.#").Int() > 0 {
				t.Errorf("got %s", answer)
			}
			s.wantsGone(uuid)
			s.start(uuid, both).Done(false)
		})
	}
	t.Logf("kill points: %d", len(kills()))
}

func TestADeleteThatWasSentIsWaitedForWhenAnsibleGoesAway(t *testing.T) {
	s := newFakeStage(t)
	uuid := s.boot(true)
	started := make(chan *ansibletest.Process, 1)
	s.at(answered, "DELETE", "/servers/", func() { (<-started).Interrupt() })
	process := s.start(uuid, nil)
	started <- process
	if answer := process.Done(true); answer.Get("outcome").String() != "gone" {
		t.Errorf("got %s", answer)
	}
	s.wantsGone(uuid)
}

// dieAt runs the module and kills it at the point.
func (s *stage) dieAt(k kill, uuid string, all options) {
	s.t.Helper()
	started := make(chan *ansibletest.Process, 1)
	die := func() bool {
		(<-started).Kill()
		return false
	}
	if k.after == nil {
		s.proxy.At(k.at.when, k.at.method, k.at.path, die)
	} else {
		s.at(k.after.when, k.after.method, k.after.path, func() { s.proxy.At(k.at.when, k.at.method, k.at.path, die) })
	}
	process := s.start(uuid, all)
	started <- process
	process.Killed()
}
