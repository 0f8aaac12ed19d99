//go:build lab

package main

import (
	"testing"

	"nova-orphan/internal/compute/computelab"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestARealCellThatIsDownIsNotOneFromWhichItIsGone(t *testing.T) {
	s := newRealStage(t)
	computelab.New(t).DownCell("test-host-of-a-cell-that-is-down")
	answer := s.start(openstacktest.UUID(), nil).Failed(false, "a cell of Nova's may be down")
	if answer.Get("verdict").String() != "unknown" || answer.Get("outcome").String() != unknown {
		t.Errorf("got %s", answer)
	}
}
