//go:build lab

package main

import (
	"testing"
	"time"

	"nova-orphan/internal/compute/computelab"
	"nova-orphan/internal/openstack/openstacktest"
)

// newRealStage has a host whose nova-compute runs.
func newRealStage(t *testing.T) *stage {
	t.Helper()
	return newStage(t, realNova{computelab.New(t), theHost})
}

// newQuietStage has a host whose nova-compute has just stopped, so that nobody but the
// test writes its service.
func newQuietStage(t *testing.T) *stage {
	t.Helper()
	n := realNova{computelab.New(t), "test-" + openstacktest.UUID()[:8]}
	n.Cell("INSERT INTO services (created_at, updated_at, last_seen_up, host, `binary`, topic, report_count, disabled, deleted, version, "+
		"uuid, forced_down) SELECT UTC_TIMESTAMP(), UTC_TIMESTAMP(), UTC_TIMESTAMP(), '%s', `binary`, topic, 1, 0, 0, version, UUID(), 0 FROM "+
		"services WHERE host = '%s' AND `binary` = 'nova-compute' AND deleted = 0", n.name, theHost)
	t.Cleanup(func() { n.Cell("DELETE FROM services WHERE host = '%s'", n.name) })
	return newStage(t, n)
}

func TestAKilledRunIsFinishedByTheNextAndUndoneByItsBackupOnTheRealNova(t *testing.T) {
	testKills(t, newQuietStage)
}

func TestWhatOthersChangeMeanwhileStaysInTheRealNova(t *testing.T) { testMeanwhile(t, newQuietStage) }

func TestAHostOfTheRealNovaIsPutBackOnlyWhileItIsAsTheRunLeftIt(t *testing.T) {
	testFence(t, newQuietStage)
}

func TestOfTwoRunsOnOneHostOfTheRealNovaNeitherLeavesItDownForGood(t *testing.T) {
	testTwoRuns(t, newQuietStage)
}

func TestAHostWhoseRealNovaComputeReportsIsPutBack(t *testing.T) {
	s := newRealStage(t)
	first := s.start(options{"forced_down": true}).Done(true)
	written := first.Get("service.updated_at").String()
	for end := time.Now().Add(time.Minute); s.start(nil).Done(false).Get("service.updated_at").String() == written; {
		if time.Now().After(end) {
			t.Fatal("nova-compute does not report while it is forced down")
		}
	}
	s.start(options{"backup_file": first.Get("backup_file").String()}).Done(true)
	s.wants(false)
}

func TestACheckChangesNothingInTheRealNova(t *testing.T) { testCheck(t, newRealStage) }

func TestAnUnknownHostIsToldWithThoseThatThereAre(t *testing.T) {
	s := newRealStage(t)
	s.start(options{"host": "compute1.lab.example"}).Failed(false, `there is no service nova-compute on host "compute1.lab.example"`,
		"there is one on compute1, compute2")
	s.start(options{"host": "controller", "forced_down": true}).Failed(false, `there is no service nova-compute on host "controller"`)
}

type realNova struct {
	*computelab.Nova
	name string
}

func (n realNova) host() string { return n.name }

func (n realNova) forcedDown() bool { return n.ForcedDown(n.name) }

// set writes the row, a second later than it was written before at least.
func (n realNova) set(columns string) {
	n.Cell("UPDATE services SET %s, updated_at = GREATEST(updated_at + INTERVAL 1 SECOND, UTC_TIMESTAMP()) WHERE host = '%s' AND `binary` "+
		"= 'nova-compute' AND deleted = 0", columns, n.name)
}

func (n realNova) report() { n.set("report_count = report_count + 1") }

func (n realNova) forceDown(value bool) {
	if n.forcedDown() == value {
		return
	}
	if value {
		n.set("forced_down = 1")
		return
	}
	n.set("forced_down = 0")
}

func (n realNova) disable(reason string) {
	if reason == "" {
		n.set("disabled = 0, disabled_reason = NULL")
		return
	}
	n.set("disabled = 1, disabled_reason = '" + reason + "'")
}
