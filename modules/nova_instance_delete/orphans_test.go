package main

import (
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/openstack/openstacktest"
)

const (
	arrived  = openstacktest.Arrived
	answered = openstacktest.Answered
)

func TestWhatBecomesOfAnInstance(t *testing.T) { testOrphans(t, newFakeStage) }

func testOrphans(t *testing.T, newStage func(*testing.T) *stage) {
	for _, orphan := range []struct {
		name string
		test func(*stage)
	}{
		{"in ERROR, on a host: deleted", deletesOnHost},
		{"in ERROR, without a host: deleted by force, and again is nothing to do", deletesHomeless},
		{"in the middle of a delete: stays, and goes once its state is reset", deletesStuck},
		{"on a host that is forced down: goes at once, though in the middle of a delete", deletesLocally},
		{"in the middle of a rebuild: refused, and goes once its state is reset", deletesRebuilding},
		{"half deleted: deleted", deletesHalfDeleted},
		{"nova-compute fails to delete it: stays, and the fault is told", tellsFault},
		{"nova-compute fails to delete it by any method: each is tried once", triesAll},
		{"in the middle of a delete, and every method is allowed: its state is reset at once", skipsDelete},
		{"volumes are kept", keepsVolumes},
		{"alive, resized, shelved, locked, migrating, elsewhere: refused", refusesLive},
		{"without a mapping: it says so", tellsUnmapped},
		{"written a moment ago: refused, but not to whom has written it", knowsOwnTrace},
		{"locked in the middle of a delete: refused, and goes by consent", asksForConsent},
		{"a migration stuck for days: refused, and goes by consent", deletesMoving},
		{"a resize that nobody can confirm any more: refused, and goes by consent", deletesUnconfirmed},
		{"deleted by its owner: refused, and goes by consent", deletesSoftDeleted},
		{"a check changes nothing", checks},
	} {
		t.Run(orphan.name, func(t *testing.T) { orphan.test(newStage(t)) })
	}
}

func deletesOnHost(s *stage) {
	uuid := s.boot(true)
	answer := s.start(uuid, options{"host": theHost}).Done(true)
	if answer.Get("outcome").String() != "gone" || answer.Get("verdict").String() != "stuck" ||
		answer.Get("server_before.host").String() != theHost ||
		answer.Get("requests.#").Int() != 1 || answer.Get("requests.0.request_id").String() == "" {
		s.t.Errorf("got %s", answer)
	}
	s.wantsGone(uuid)
}

func deletesHomeless(s *stage) {
	uuid := s.boot(false)
	s.start(uuid, options{"methods": byForce}).Done(true)
	s.wantsGone(uuid)
	answer := s.start(uuid, nil).Done(false)
	if answer.Get("verdict").String() != "absent" || answer.Get("outcome").String() != "gone" || len(s.backups(uuid)) != 1 {
		s.t.Errorf("got %s", answer)
	}
}

func deletesStuck(s *stage) {
	uuid := s.boot(true)
	s.set(uuid, "error", "deleting", time.Hour)
	answer := s.start(uuid, nil).Failed(false, "Nova ignores another one while the host is up (methods: reset_state")
	if answer.Get("outcome").String() != "still_there" || answer.Get("verdict").String() != "stuck" || answer.Get("requests.#").Int() != 0 {
		s.t.Errorf("got %s", answer)
	}
	s.wantsThere(uuid)
	answer = s.start(uuid, options{"methods": byReset}).Done(true)
	if answer.Get("requests.#").Int() != 2 {
		s.t.Errorf("got %s", answer)
	}
	s.wantsGone(uuid)
}

func deletesLocally(s *stage) {
	uuid := s.boot(true)
	s.set(uuid, "error", "deleting", time.Hour)
	s.t.Cleanup(func() { s.forceDown(false) })
	s.forceDown(true)
	started := time.Now()
	answer := s.start(uuid, nil).Done(true)
	if took := time.Since(started); took > 30*time.Second || !strings.Contains(answer.Get("plan").String(), "by the API alone") {
		s.t.Errorf("after %s: %s", took, answer)
	}
	s.wantsGone(uuid)
}

func deletesRebuilding(s *stage) {
	uuid := s.boot(true)
	s.set(uuid, "error", "rebuilding", time.Hour)
	s.start(uuid, nil).Failed(false, "task_state = rebuilding", "methods: reset_state")
	s.wantsThere(uuid)
	s.start(uuid, options{"methods": byReset}).Done(true)
	s.wantsGone(uuid)
}

func deletesHalfDeleted(s *stage) {
	uuid := s.boot(true)
	s.set(uuid, "deleted", "", time.Hour)
	s.start(uuid, nil).Done(true)
	s.wantsGone(uuid)
}

func tellsFault(s *stage) {
	uuid := s.boot(true)
	s.spoil(uuid)
	answer := s.start(uuid, nil).Failed(true, "is still there (status ERROR, task state none, on compute1, which is UP, fault of 20",
		"the delete ended in an error", "see the log of nova-compute on compute1")
	if answer.Get("outcome").String() != "still_there" || answer.Get("server.fault.message").String() == "" {
		s.t.Errorf("got %s", answer)
	}
	s.wantsThere(uuid)
}

func triesAll(s *stage) {
	uuid := s.boot(true)
	s.spoil(uuid)
	s.migration(uuid, "running", 72*time.Hour) // by which a row that was just written looks busy
	answer := s.start(uuid, options{"methods": methods, "allow_stuck_migration": true}).Failed(true, "the delete ended in an error")
	if got := became(answer); got != "delete:still_there reset_state:still_there force_delete:still_there DELETE DELETE POST" {
		s.t.Errorf("got %s: %s", got, answer)
	}
	if files := s.backups(uuid); len(files) != 1 {
		s.t.Errorf("backups: %v", files)
	}
	s.wantsThere(uuid)
}

func skipsDelete(s *stage) {
	uuid := s.boot(true)
	s.set(uuid, "error", "deleting", time.Hour)
	answer := s.start(uuid, options{"methods": methods}).Done(true)
	if got := became(answer); got != "delete:skipped reset_state:gone force_delete:skipped POST DELETE" {
		s.t.Errorf("got %s: %s", got, answer)
	}
	s.wantsGone(uuid)
}

func keepsVolumes(s *stage) {
	uuid, volume := s.boot(false), openstacktest.UUID()
	s.volume(uuid, volume)
	check := s.start(uuid, options{"_ansible_check_mode": true}).Done(true)
	if !strings.Contains(check.Get("plan.0").String(), "Nova DELETES volume "+volume) {
		s.t.Errorf("got %s", check)
	}
	flag := ""
	s.at(arrived, "DELETE", "/servers/", func() {
		flag = s.start(uuid, options{"_ansible_check_mode": true}).Answer().Get("server.volumes").Raw
	})
	s.start(uuid, options{"preserve_volumes": true}).Done(true)
	if flag != `[{"delete_on_termination":false,"id":"`+volume+`"}]` {
		s.t.Errorf("when it was deleted, its volumes were %s", flag)
	}
	s.wantsGone(uuid)
}

func refusesLive(s *stage) {
	uuid := s.boot(true)
	everything := options{"methods": methods, "min_age": 0}
	for _, state := range []string{"active", "stopped", "paused", "suspended", "rescued", "resized", "shelved", "shelved_offloaded",
		"soft-delete", "building"} {
		s.set(uuid, state, "", time.Hour)
		s.start(uuid, everything).Failed(false, "refused", "vm_state = "+state)
	}
	s.set(uuid, "active", "rebooting", time.Hour)
	s.start(uuid, everything).Failed(false, "task_state = rebooting", "vm_state = active")
	s.set(uuid, "error", "", time.Hour)
	s.lock(uuid)
	s.start(uuid, options{"host": "elsewhere"}).Failed(false, "locked", `host is "elsewhere"`)
	s.migration(uuid, "finished", time.Hour)
	s.start(uuid, everything).Failed(false, "a resize waits for its confirmation", "locked")
	s.wantsThere(uuid)
	if files := s.backups(uuid); len(files) > 0 {
		s.t.Errorf("backups: %v", files)
	}
}

func deletesMoving(s *stage) {
	uuid, consent := s.boot(true), options{"allow_stuck_migration": true}
	s.migration(uuid, "running", 72*time.Hour)
	s.start(uuid, nil).Failed(false, "is busy", "s ago: a move is under way", "allow_stuck_migration: true")
	s.set(uuid, "error", "", time.Second)
	s.start(uuid, consent).Failed(false, "is busy", "only when nothing was written")
	s.set(uuid, "active", "", time.Hour)
	s.start(uuid, consent).Failed(false, "is busy", "openstack server set --state error")
	s.set(uuid, "error", "", time.Hour)
	s.start(uuid, consent).Done(true)
	s.wantsGone(uuid)

	fresh := s.boot(true)
	s.migration(fresh, "running", time.Second)
	s.start(fresh, options{"allow_stuck_migration": true, "min_age": 0}).Failed(false, "is busy", "at least 1m0s")
	s.wantsThere(fresh)
}

func deletesUnconfirmed(s *stage) {
	uuid := s.boot(true)
	s.migration(uuid, "finished", time.Hour)
	s.start(uuid, nil).Failed(false, "which Nova takes only in VERIFY_RESIZE", "allow_stuck_migration: true")
	s.start(uuid, options{"allow_stuck_migration": true}).Done(true)
	s.wantsGone(uuid)
}

func deletesSoftDeleted(s *stage) {
	uuid, consent := s.boot(true), options{"allow_soft_deleted": true}
	s.set(uuid, "soft-delete", "", time.Hour)
	s.start(uuid, nil).Failed(false, "is live", "openstack server restore "+uuid, "allow_soft_deleted: true")
	s.set(uuid, "soft-delete", "restoring", time.Hour)
	s.start(uuid, options{"allow_soft_deleted": true, "methods": byReset}).Failed(false, "is busy", "restoring")
	s.set(uuid, "soft-delete", "", time.Second)
	s.start(uuid, consent).Failed(false, "is live")
	s.set(uuid, "soft-delete", "", time.Hour)
	answer := s.start(uuid, consent).Done(true)
	if !strings.Contains(answer.Get("plan").String(), "forceDelete") {
		s.t.Errorf("got %s", answer)
	}
	s.wantsGone(uuid)

	// The reset makes it an instance in ERROR, of which a plain delete might only be another mark.
	hung := s.boot(true)
	s.set(hung, "soft-delete", "deleting", time.Hour)
	sent := s.start(hung, options{"allow_soft_deleted": true, "methods": byReset}).Done(true).Get("requests").String()
	if strings.Contains(sent, "DELETE") || strings.Count(sent, "POST") != 2 {
		s.t.Errorf("it sent %s", sent)
	}
	s.wantsGone(hung)
}

func tellsUnmapped(s *stage) {
	uuid := s.boot(true)
	s.unmap(uuid)
	answer := s.start(uuid, nil).Failed(false, "lists the instance, but does not find it", "map_instances")
	if answer.Get("verdict").String() != "stuck" || answer.Get("outcome").String() != "still_there" {
		s.t.Errorf("got %s", answer)
	}
}

func knowsOwnTrace(s *stage) {
	uuid := s.boot(true)
	s.set(uuid, "error", "rebuilding", 0)
	own := s.start(uuid, options{"methods": byReset}).Failed(false, "is busy", "min_age").Get("server.updated").String()
	// Somebody else writes after that.
	s.set(uuid, "error", "rebuilding", -time.Minute)
	answer := s.start(uuid, options{"methods": byReset, "unchanged_since": own}).Failed(false, "is busy", "min_age")
	if answer.Get("outcome").String() != "refused" {
		s.t.Errorf("got %s", answer)
	}
	s.wantsThere(uuid)
	s.start(uuid, options{"methods": byReset, "unchanged_since": answer.Get("server.updated").String()}).Done(true)
	s.wantsGone(uuid)
}

func asksForConsent(s *stage) {
	uuid := s.boot(false)
	s.set(uuid, "error", "deleting", time.Hour)
	s.lock(uuid)
	answer := s.start(uuid, options{"methods": byReset}).Failed(false, "locked", "allow_locked: true")
	if answer.Get("outcome").String() != "refused" || answer.Get("verdict").String() != "stuck" || answer.Get("requests.#").Int() != 0 {
		s.t.Errorf("got %s", answer)
	}
	s.wantsThere(uuid)
	s.start(uuid, options{"methods": byReset, "allow_locked": true}).Done(true)
	s.wantsGone(uuid)
}

func checks(s *stage) {
	uuid := s.boot(true)
	s.set(uuid, "error", "deleting", time.Hour)
	s.proxy.Passed()
	check := s.start(uuid, options{"methods": byReset, "_ansible_check_mode": true}).Done(true)
	if writes := openstacktest.Writes(s.proxy.Passed()); len(writes) > 0 || len(s.backups(uuid)) > 0 {
		s.t.Errorf("it wrote: %v, %v", writes, s.backups(uuid))
	}
	done := s.start(uuid, options{"methods": byReset}).Done(true)
	if check.Get("plan").Raw != done.Get("plan").Raw || check.Get("diff").Raw != done.Get("diff").Raw {
		s.t.Errorf("the check said %s, the run did %s", check, done)
	}
}

func TestWhatOthersDoMeanwhileIsJudgedAnew(t *testing.T) { testRaces(t, newFakeStage) }

func testRaces(t *testing.T, newStage func(*testing.T) *stage) {
	s := newStage(t)
	races := []struct {
		name string
		test func(*stage, string)
	}{
		{"it is started before the delete: refused", startedBeforeDelete},
		{"it is locked before the delete: refused", lockedBeforeDelete},
		{"it is started before its reset: refused", startedBeforeReset},
		{"it is reset by its user before its reset: then it is deleted", resetBeforeReset},
		{"it is started after its reset: refused", startedAfterReset},
		{"it is deleted before the delete: nothing is changed", deletedBeforeDelete},
		{"it is deleted in the very instant: nothing is changed", deletedInTheInstant},
		{"it is started in the very instant, which is the window that is left: deleted", startedInTheInstant},
	}
	for _, race := range races {
		t.Run(race.name, func(t *testing.T) {
			uuid := s.boot(false)
			race.test(s.of(t), uuid)
		})
	}
	t.Logf("races: %d", len(races))
}

// afterJudging lets something happen when all was read once.
func (s *stage) afterJudging(do func()) { s.at(answered, "GET", "/os-migrations", do) }

func startedBeforeDelete(s *stage, uuid string) {
	s.afterJudging(func() { s.set(uuid, "active", "", 0) })
	answer := s.start(uuid, nil).Failed(false, "nothing was deleted", "is live")
	if answer.Get("verdict").String() != "live" || answer.Get("requests.#").Int() != 0 {
		s.t.Errorf("got %s", answer)
	}
	s.wantsThere(uuid)
}

func lockedBeforeDelete(s *stage, uuid string) {
	s.afterJudging(func() { s.lock(uuid) })
	s.start(uuid, nil).Failed(false, "nothing was deleted", "locked")
	s.wantsThere(uuid)
}

func startedBeforeReset(s *stage, uuid string) {
	s.set(uuid, "error", "rebuilding", time.Hour)
	s.afterJudging(func() { s.set(uuid, "active", "rebooting", 0) })
	answer := s.start(uuid, options{"methods": byReset}).Failed(false, "is busy")
	if answer.Get("requests.#").Int() != 0 {
		s.t.Errorf("got %s", answer)
	}
	s.wantsThere(uuid)
}

func resetBeforeReset(s *stage, uuid string) {
	s.set(uuid, "error", "rebuilding", time.Hour)
	s.afterJudging(func() { s.set(uuid, "error", "", 0) })
	answer := s.start(uuid, options{"methods": byReset}).Done(true)
	if answer.Get("requests.#").Int() != 1 {
		s.t.Errorf("got %s", answer)
	}
	s.wantsGone(uuid)
}

func startedAfterReset(s *stage, uuid string) {
	s.set(uuid, "error", "rebuilding", time.Hour)
	s.at(answered, "POST", "/servers/", func() { s.set(uuid, "active", "", 0) })
	answer := s.start(uuid, options{"methods": byReset}).Failed(true, "nothing was deleted", "is live")
	if answer.Get("requests.#").Int() != 1 {
		s.t.Errorf("got %s", answer)
	}
	s.wantsThere(uuid)
}

func deletedBeforeDelete(s *stage, uuid string) {
	s.afterJudging(func() { s.vanish(uuid) })
	answer := s.start(uuid, nil).Done(false)
	if answer.Get("outcome").String() != "gone" || answer.Get("requests.#").Int() != 0 {
		s.t.Errorf("got %s", answer)
	}
}

func deletedInTheInstant(s *stage, uuid string) {
	s.at(arrived, "DELETE", "/servers/", func() { s.vanish(uuid) })
	answer := s.start(uuid, nil).Done(false)
	if answer.Get("outcome").String() != "gone" || answer.Get("requests.0.status").Int() != 404 {
		s.t.Errorf("got %s", answer)
	}
}

func startedInTheInstant(s *stage, uuid string) {
	s.at(arrived, "DELETE", "/servers/", func() { s.set(uuid, "error", "powering-on", 0) })
	s.start(uuid, nil).Done(true)
	s.wantsGone(uuid)
}
