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

// killPoints are moments at which the module is killed; after, if set, must have passed before.
func killPoints() []struct {
	name  string
	after *point
	at    point
	// deleted and reset say what the service had carried out.
	deleted, reset bool
} {
	reset, deleted := &point{answered, "POST", "/servers/"}, &point{answered, "DELETE", "/servers/"}
	return []struct {
		name           string
		after          *point
		at             point
		deleted, reset bool
	}{
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
	s := newStage(t)
	for _, kill := range killPoints() {
		t.Run(kill.name, func(t *testing.T) {
			s := &stage{nova: s.nova, t: t, proxy: s.proxy, folder: t.TempDir()}
			uuid := s.boot(kill.deleted) // the API deletes one without a host at once
			s.volume(uuid, randomUUID())
			s.set(uuid, "error", "deleting", time.Hour)
			all := options{"reset_state": true, "preserve_volumes": true}
			s.dieAt(kill.after, kill.at, uuid, all)
			if written := kill.reset || kill.deleted; written && len(s.backups(uuid)) != 1 {
				t.Errorf("backups: %v", s.backups(uuid))
			}
			if !kill.deleted {
				s.wantsThere(uuid)
			}
			answer := s.start(uuid, all).Done(!kill.deleted)
			if answer.Get("outcome").String() != "gone" || kill.deleted && answer.Get("requests.#").Int() > 0 {
				t.Errorf("got %s", answer)
			}
			s.wantsGone(uuid)
			s.start(uuid, all).Done(false)
		})
	}
	t.Logf("kill points: %d", len(killPoints()))
}

// dieAt runs the module and kills it at the point.
func (s *stage) dieAt(after *point, at point, uuid string, all options) {
	s.t.Helper()
	started := make(chan *ansibletest.Process, 1)
	die := func() bool {
		(<-started).Kill()
		return false
	}
	if after == nil {
		s.proxy.At(at.when, at.method, at.path, die)
	} else {
		s.at(after.when, after.method, after.path, func() { s.proxy.At(at.when, at.method, at.path, die) })
	}
	process := s.start(uuid, all)
	started <- process
	process.Killed()
}
