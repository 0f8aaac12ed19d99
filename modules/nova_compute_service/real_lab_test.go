//go:build lab

package main

import (
	"testing"

	"nova-orphan/internal/compute/computelab"
)

func newRealStage(t *testing.T) *stage {
	t.Helper()
	return newStage(t, realNova{computelab.New(t)})
}

func TestAKilledRunIsFinishedByTheNextAndUndoneByItsBackupOnTheRealNova(t *testing.T) {
	testKills(t, newRealStage)
}

func TestWhatOthersChangeMeanwhileStaysInTheRealNova(t *testing.T) { testMeanwhile(t, newRealStage) }

func TestACheckChangesNothingInTheRealNova(t *testing.T) { testCheck(t, newRealStage) }

func TestAnUnknownHostIsToldWithThoseThatThereAre(t *testing.T) {
	s := newRealStage(t)
	s.start(options{"host": "compute1.lab.example"}).Failed(false, `there is no service nova-compute on host "compute1.lab.example"`, "there is one on compute1, compute2")
	s.start(options{"host": "controller", "binary": "nova-scheduler", "forced_down": true}).Failed(false, "nova changes services nova-compute only")
}

type realNova struct{ *computelab.Nova }

func (n realNova) forcedDown() bool { return n.ForcedDown(theHost) }

func (n realNova) set(columns string) {
	n.Cell("UPDATE services SET %s WHERE host = '%s' AND `binary` = 'nova-compute' AND deleted = 0", columns, theHost)
}

func (n realNova) forceDown(value bool) {
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
