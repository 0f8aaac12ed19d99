package main

import (
	"strings"
	"sync"
	"testing"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestWhatOthersDoMeanwhileIsJudgedAnew(t *testing.T) { testRaces(t, newFakeStage) }

const (
	arrived  = openstacktest.Arrived
	answered = openstacktest.Answered
)

// beforeTheWrite lets something happen when the module's write arrives, before the
// service sees it: after it was judged.
func (s *stage) beforeTheWrite(do func()) { s.beforeTheWriteOf("", do) }

// beforeTheWriteOf is beforeTheWrite of one consumer of a list.
func (s *stage) beforeTheWriteOf(consumer string, do func()) {
	s.proxy.At(arrived, "PUT", "/allocations/"+consumer, func() bool { do(); return true })
}

func testRaces(t *testing.T, newStage func(*testing.T) *stage) {
	races := 0
	for _, race := range []struct {
		name string
		test func(*stage)
	}{
		{"someone adds to the allocation: that is backed up, too", addedTo},
		{"someone sets it to less: that is backed up, too", setToLess},
		{"someone removes it: nothing is left to do", removedMeanwhile},
		{"someone removes it and makes another: that is judged and backed up", madeAgain},
		{"two remove it at once: one changes it, both succeed", twoRemovals},
		{"two put it back at once: both succeed", twoRestores},
		{"someone takes the consumer while it is put back: refused", consumerTaken},
		{"someone takes the room while it is put back: refused", roomTaken},
		{"the server comes back to life before the write: it gets its allocation back", revived},
		{"the server comes back to life, and the next of the list fails: both are told", revivedBeforeAFailure},
		{"the server comes back to life with another allocation: that stays", revivedElsewhere},
		{"the server comes back to life before the second try: refused", revivedBeforeRetry},
		{"an evacuated server loses the old half while someone writes: judged anew", evacuatedMeanwhile},
		{"an evacuated server goes back while its old half is taken: it gets it back", wentBack},
	} {
		t.Run(race.name, func(t *testing.T) {
			race.test(newStage(t))
			races++
		})
	}
	t.Logf("races: %d", races)
}

func (s *stage) removal() arguments {
	return arguments{"consumer": s.consumer, "state": "absent", "_ansible_diff": true}
}

func addedTo(s *stage) {
	s.set(s.consumer, holdings{s.host: 2})
	s.beforeTheWrite(func() { s.set(s.consumer, holdings{s.host: 2, s.storage: 1}) })
	s.start(s.removal()).Done(true)
	s.wants(s.consumer, nil)
	if files := s.backups(s.consumer); len(files) != 2 {
		s.t.Fatalf("backups: %v", files)
	}
	s.start(arguments{"state": "present", "backup_file": s.backups(s.consumer)[1]}).Done(true)
	s.wants(s.consumer, holdings{s.host: 2, s.storage: 1})
}

func setToLess(s *stage) {
	s.set(s.consumer, holdings{s.host: 2, s.child: 1})
	s.beforeTheWrite(func() { s.set(s.consumer, holdings{s.host: 1}) })
	s.start(s.removal()).Done(true)
	s.wants(s.consumer, nil)
	s.start(arguments{"state": "present", "backup_file": s.backups(s.consumer)[1]}).Done(true)
	s.wants(s.consumer, holdings{s.host: 1})
}

func removedMeanwhile(s *stage) {
	s.set(s.consumer, holdings{s.host: 2})
	s.beforeTheWrite(func() { s.set(s.consumer, nil) })
	answer := s.start(s.removal()).Done(false)
	if answer.Get("msg").String() != "nothing to change: someone else did it meanwhile" || answer.Get("diff").Exists() {
		s.t.Errorf("got %s", answer)
	}
	s.wants(s.consumer, nil)
}

func madeAgain(s *stage) {
	s.set(s.consumer, holdings{s.host: 1})
	s.set(s.consumer, holdings{s.host: 2})
	s.beforeTheWrite(func() {
		s.set(s.consumer, nil)
		s.set(s.consumer, holdings{s.other: 1})
	})
	s.start(s.removal()).Done(true)
	s.wants(s.consumer, nil)
	s.start(arguments{"state": "present", "backup_file": s.backups(s.consumer)[1]}).Done(true)
	s.wants(s.consumer, holdings{s.other: 1})
}

// together starts two calls and lets neither write before both want to, and tells how many say that they changed it.
func (s *stage) together(options arguments) (changed int) {
	s.t.Helper()
	var both sync.WaitGroup
	both.Add(2)
	for range 2 {
		s.beforeTheWrite(func() { both.Done(); both.Wait() })
	}
	runs := []*ansibletest.Process{s.start(options), s.start(options)}
	for _, r := range runs {
		answer := r.Answer()
		if answer.Get("failed").Bool() {
			s.t.Errorf("one failed: %s", answer)
		}
		if answer.Get("changed").Bool() {
			changed++
		}
	}
	return changed
}

func twoRemovals(s *stage) {
	s.set(s.consumer, holdings{s.host: 2, s.storage: 1})
	if changed := s.together(s.removal()); changed != 1 {
		s.t.Errorf("%d of two say that they changed it", changed)
	}
	s.wants(s.consumer, nil)
}

func twoRestores(s *stage) {
	s.set(s.consumer, holdings{s.host: 2, s.storage: 1})
	// Placement takes both if both find no consumer and make it: it then compares no generation (placement/handlers/util.py _create_consumer).
	if changed := s.together(s.putBack()); changed != 1 && changed != 2 {
		s.t.Errorf("%d of two say that they changed it", changed)
	}
	s.wants(s.consumer, holdings{s.host: 2, s.storage: 1})
}

// putBack removes the allocation, and says how to put it back.
func (s *stage) putBack() arguments {
	s.t.Helper()
	s.start(s.removal()).Done(true)
	return arguments{"state": "present", "backup_file": s.backups(s.consumer)[0]}
}

func consumerTaken(s *stage) {
	s.set(s.consumer, holdings{s.host: 2})
	back := s.putBack()
	s.beforeTheWrite(func() { s.set(s.consumer, holdings{s.other: 1}) })
	s.start(back).Failed(false, "holds something else by now on other-")
	s.wants(s.consumer, holdings{s.other: 1})
}

func roomTaken(s *stage) {
	s.set(s.consumer, holdings{s.host: 2, s.storage: 1})
	back, rival := s.putBack(), openstacktest.UUID()
	s.beforeTheWrite(func() { s.set(rival, holdings{s.host: 7}) })
	s.start(back).Failed(false, "placement refuses", "someone else has taken the room by now")
	s.wants(s.consumer, nil)
	s.set(rival, nil)
	s.start(back).Done(true)
	s.wants(s.consumer, holdings{s.host: 2, s.storage: 1})
}

func (s *stage) server(hypervisor string) {
	s.t.Helper()
	s.consumer = s.nova.boot(hypervisor)
}

func revived(s *stage) {
	s.server("")
	s.nova.vanish(s.consumer)
	s.set(s.consumer, holdings{s.host: 2, s.storage: 1})
	s.beforeTheWrite(func() { s.nova.revive(s.consumer) })
	answer := s.start(s.removal()).Failed(false, "came to life while its allocation was removed", "it was put back")
	if answer.Get("verdict").String() != "live" || answer.Get("diff").Exists() {
		s.t.Errorf("got %s", answer)
	}
	s.wants(s.consumer, holdings{s.host: 2, s.storage: 1})
}

func revivedBeforeAFailure(s *stage) {
	s.server("")
	next := s.nova.boot("")
	for _, uuid := range []string{s.consumer, next} {
		s.nova.vanish(uuid)
		s.set(uuid, holdings{s.host: 2})
	}
	s.beforeTheWriteOf(s.consumer, func() { s.nova.revive(s.consumer) })
	s.beforeTheWriteOf(next, func() {
		s.set(next, holdings{s.host: 1})
		s.nova.revive(next)
	})
	answer := s.start(arguments{"consumer": []string{s.consumer, next}, "state": "absent"}).
		Failed(false, s.consumer, "came to life while its allocation was removed", "it was put back", next, "is a server that Nova's API knows")
	for i, words := range []string{"it was put back", "delete it there"} {
		one := answer.Get("consumers").Array()[i]
		reasons := one.Get("reasons")
		if one.Get("verdict").String() != "live" || reasons.Get("#").Int() != 1 || !strings.Contains(reasons.Get("0").String(), words) {
			s.t.Errorf("want a reason with %q: %s", words, one)
		}
	}
	s.wants(s.consumer, holdings{s.host: 2})
	s.wants(next, holdings{s.host: 1})
}

func revivedElsewhere(s *stage) {
	s.server("")
	s.nova.vanish(s.consumer)
	s.set(s.consumer, holdings{s.host: 2})
	s.beforeTheWrite(func() { s.nova.revive(s.consumer) })
	// After the write it is read back, and Nova is asked: then it has another one.
	s.proxy.At(answered, "PUT", "/allocations/", func() bool {
		s.proxy.At(answered, "GET", "/servers/", func() bool { s.set(s.consumer, holdings{s.other: 1}); return true })
		return true
	})
	s.start(s.removal()).Failed(true, "somebody has given it another one, which stays")
	s.wants(s.consumer, holdings{s.other: 1})
}

func revivedBeforeRetry(s *stage) {
	s.server("")
	s.nova.vanish(s.consumer)
	s.set(s.consumer, holdings{s.host: 2})
	s.beforeTheWrite(func() {
		s.set(s.consumer, holdings{s.host: 2, s.other: 1})
		s.nova.revive(s.consumer)
	})
	s.start(s.removal()).Failed(false, "is a server that Nova's API knows")
	s.wants(s.consumer, holdings{s.host: 2, s.other: 1})
}

// evacuate makes a server that was evacuated from the one host to the other.
func (s *stage) evacuate() arguments {
	s.t.Helper()
	s.server(named("other", s.other))
	s.nova.evacuated(s.consumer, named("host", s.host))
	s.set(s.consumer, holdings{s.host: 2, s.child: 1, s.other: 2, s.storage: 1})
	return arguments{"consumer": s.consumer, "state": "absent", "resource_provider": s.host}
}

func evacuatedMeanwhile(s *stage) {
	options := s.evacuate()
	s.beforeTheWrite(func() { s.set(s.consumer, holdings{s.host: 2, s.child: 1, s.other: 3, s.storage: 1}) })
	answer := s.start(options).Done(true)
	if answer.Get("verdict").String() != "live" || answer.Get("reasons.#").Int() != 1 {
		s.t.Errorf("got %s", answer)
	}
	s.wants(s.consumer, holdings{s.other: 3, s.storage: 1})
	s.start(arguments{"state": "present", "backup_file": s.backups(s.consumer)[1]}).Done(true)
	s.wants(s.consumer, holdings{s.host: 2, s.child: 1, s.other: 3, s.storage: 1})
}

func wentBack(s *stage) {
	options := s.evacuate()
	s.beforeTheWrite(func() { s.nova.vanish(s.consumer); s.nova.revive(s.consumer) })
	s.start(options).Failed(false, "came to life", "it was put back")
	s.wants(s.consumer, holdings{s.host: 2, s.child: 1, s.other: 2, s.storage: 1})
}

func TestAnOverCommittedProviderThatStaysIsExplained(t *testing.T) {
	testOverCommitted(newFakeStage(t))
}

// testOverCommitted: a provider that stays holds more than it has, which Placement
// before 14.0 minds.
func testOverCommitted(s *stage) {
	options := s.evacuate()
	s.resize(s.other, 1)
	s.start(options).Failed(false, "placement refuses", "placement before 14.0 (2025.2) also checks the capacity of the providers that stay",
		"other-", "allocation_ratio")
	s.wants(s.consumer, holdings{s.host: 2, s.child: 1, s.other: 2, s.storage: 1})
	s.resize(s.other, 8)
	s.start(options).Done(true)
	s.wants(s.consumer, holdings{s.other: 2, s.storage: 1})
}
