package main

import (
	"os"
	"strings"
	"sync"
	"testing"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestWhatOthersDoMeanwhile(t *testing.T) { testRaces(t, newFakeStage) }

func testRaces(t *testing.T, newStage func(*testing.T) *stage) {
	races := 0
	for _, race := range []struct {
		name string
		test func(*stage)
	}{
		{"check mode sends no write", checkOnly},
		{"two release at once: both succeed, and others keep theirs", twoAtOnce},
		{"somebody detaches it before: nothing is left to do", detachedBefore},
		{"the answer is lost: read back, and not sent twice", answerLost},
		{"the request is lost: sent again", requestLost},
		{"somebody attaches the freed volume to another instance: that stays", attachedElsewhere},
		{"somebody attaches a second volume meanwhile: that goes, too, with a backup of its own", attachedMeanwhile},
	} {
		t.Run(race.name, func(t *testing.T) {
			race.test(newStage(t))
			races++
		})
	}
	t.Logf("races: %d", races)
}

func checkOnly(s *stage) {
	s.start(arguments{"_ansible_check_mode": true, "_ansible_diff": true, "delete_snapshots": true}).Done(true)
	if got := s.writes(); len(got) > 0 {
		s.t.Errorf("it sent %v", got)
	}
	s.wants(2, 1)
}

func twoAtOnce(s *stage) {
	var both sync.WaitGroup
	both.Add(2)
	for range 2 {
		s.proxy.At(arrived, "DELETE", "/attachments/", func() bool { both.Done(); both.Wait(); return true })
	}
	runs, changed := []*ansibletest.Process{s.start(arguments{}), s.start(arguments{})}, 0
	for _, r := range runs {
		answer := r.Answer()
		if answer.Get("failed").Bool() {
			s.t.Errorf("one failed: %s", answer)
		}
		if answer.Get("changed").Bool() {
			changed++
		}
	}
	if changed == 0 {
		s.t.Error("nobody says that it was changed")
	}
	s.wants(0, 1)
}

// before lets something happen when the first detach arrives, before Cinder sees it.
func (s *stage) before(do func() bool) { s.proxy.At(arrived, "DELETE", "/attachments/", do) }

func detachedBefore(s *stage) {
	second := s.start(arguments{})
	second.Done(true)
	s.proxy.Passed()
	s.start(arguments{}).Done(false)
	if got := s.writes(); len(got) > 0 {
		s.t.Errorf("it sent %v", got)
	}
}

func answerLost(s *stage) {
	s.proxy.At(answered, "DELETE", "/attachments/", func() bool { return false })
	answer := s.start(arguments{}).Done(true)
	if got := answer.Get("warnings.0").String(); !strings.Contains(got, "the answer was lost") {
		s.t.Errorf("got %s", answer)
	}
	if got := s.writes(); len(got) != 2 {
		s.t.Errorf("it sent %v", got)
	}
	s.wants(0, 1)
}

func requestLost(s *stage) {
	s.before(func() bool { return false })
	s.start(arguments{}).Done(true)
	if got := s.writes(); len(got) != 3 {
		s.t.Errorf("it sent %v", got)
	}
	s.wants(0, 1)
}

func TestAWriteWhoseAnswerWasLostIsToldBesideARefusal(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	s := newStage(t, fakeWorld{cloud})
	s.proxy.At(answered, "DELETE", "/attachments/", func() bool {
		cloud.Do(func() { cloud.Servers[s.instance] = openstacktest.Server{Status: "ACTIVE", Host: "compute1"} })
		return false
	})
	s.start(arguments{}).Failed(false, "is live", "cinder gave no usable answer to DELETE", "run the module again to see what came of it")
}

func TestASnapshotThatIsKeptByNowIsNotSaidToBeDeletedByARequestThatWasLost(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	s := newStage(t, fakeWorld{cloud})
	s.proxy.At(arrived, "DELETE", "/snapshots/", func() bool {
		s.world.Attach(s.root, s.others)
		return false
	})
	answer := s.start(arguments{"delete_snapshots": true}).Done(true)
	if len(s.world.Snapshots(s.root)) != 1 || strings.Contains(answer.Get("warnings").String(), "it had happened") {
		t.Errorf("got %s", answer)
	}
}

func TestAnImageThatWasMadeBetweenTwoLooksKeepsItsSnapshot(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	s := newStage(t, fakeWorld{cloud})
	s.before(func() bool {
		cloud.Do(func() {
			cloud.Images = append(cloud.Images, openstacktest.Image{ID: "i1", Mapping: `[{"snapshot_id": "` + cloud.Snapshots[0].ID + `"}]`})
		})
		return false
	})
	answer := s.start(arguments{"delete_snapshots": true}).Done(true)
	if len(s.world.Snapshots(s.root)) != 1 {
		t.Errorf("the image's snapshot is deleted: %s", answer)
	}
}

func attachedElsewhere(s *stage) {
	rival := openstacktest.UUID()
	s.proxy.At(answered, "DELETE", "/attachments/"+s.rootAttachment, func() bool { s.world.Attach(s.root, rival); return true })
	s.start(arguments{}).Done(true)
	if got := s.world.Attachments(rival); len(got) != 1 || s.world.Status(s.root) != "in-use" {
		s.t.Errorf("the other one has %v, and the volume is %s", got, s.world.Status(s.root))
	}
	if got := s.world.Attachments(s.instance); len(got) > 0 {
		s.t.Errorf("left are %v", got)
	}
}

func attachedMeanwhile(s *stage) {
	volume := s.world.Volume(false)
	s.before(func() bool { s.world.Attach(volume, s.instance); return true })
	answer := s.start(arguments{}).Done(true)
	if s.world.Status(volume) != "available" || len(s.backups()) != 2 {
		s.t.Errorf("the volume is %s, got %s", s.world.Status(volume), answer)
	}
	content, err := os.ReadFile(s.backups()[1])
	if err != nil || !strings.Contains(string(content), volume) {
		s.t.Errorf("the backup says nothing of it: %v", err)
	}
}
