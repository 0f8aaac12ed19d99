//go:build lab

package main

import (
	"testing"

	"nova-orphan/internal/compute/computelab"
	"nova-orphan/internal/orphan"
)

func TestARealCellThatIsDownMakesAConsumerUnknown(t *testing.T) {
	s := newRealStage(t)
	s.set(s.consumer, holdings{s.host: 1})
	t.Run("while it is down", func(t *testing.T) {
		computelab.New(t).DownCell("test-host-of-a-cell-that-is-down")
		answer := s.start(s.removal()).Failed(false, "a cell of Nova's may be down")
		if answer.Get("verdict").String() != string(orphan.Unknown) {
			t.Errorf("got %s", answer)
		}
		s.wants(s.consumer, holdings{s.host: 1})
	})
	s.start(s.removal()).Done(true)
	s.wants(s.consumer, nil)
}
