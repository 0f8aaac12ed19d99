//go:build lab

package cinder_test

import (
	"os"
	"testing"

	"nova-orphan/internal/cinder/cinderlab"
)

// The OS_* environment (an openrc file of an admin) says where the real Cinder is.
func TestTheRealCinderKeepsTheContract(t *testing.T) {
	if os.Getenv("OS_AUTH_URL") == "" {
		t.Fatal("OS_AUTH_URL is not set: source an openrc file")
	}
	testContract(t, func(t *testing.T) *world {
		t.Helper()
		return newWorld(t, realMaker{cinderlab.New(t)})
	})
}

type realMaker struct{ *cinderlab.Lab }

func (r realMaker) volume(multiattach bool) string         { return r.Volume(multiattach) }
func (r realMaker) snapshot(volume string) string          { return r.Snapshot(volume) }
func (r realMaker) reserve(volume, instance string) string { return r.Reserve(volume, instance) }
func (r realMaker) attach(volume, instance string) string  { return r.Attach(volume, instance) }
func (r realMaker) lose(volume, attachment string)         { r.Lose(volume, attachment) }
