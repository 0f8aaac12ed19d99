//go:build lab

package main

import (
	"testing"

	"nova-orphan/internal/compute/computelab"
)

func TestARealCellThatIsDownKeepsItsInstancesVolumes(t *testing.T) {
	s := realStages(t)(t)
	computelab.New(t).DownCell("test-host-of-a-cell-that-is-down")
	answer := s.start(arguments{}).Failed(false, "a cell of Nova's may be down")
	if answer.Get("verdict").String() != "unknown" || len(s.world.Attachments(s.instance)) != 2 {
		t.Errorf("got %s", answer)
	}
}
