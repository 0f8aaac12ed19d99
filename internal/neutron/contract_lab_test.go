//go:build lab

package neutron_test

import (
	"os"
	"testing"

	"nova-orphan/internal/neutron/neutronlab"
)

// The OS_* environment (an openrc file of an admin) says where the real Neutron is.
func TestTheRealNeutronKeepsTheContract(t *testing.T) {
	if os.Getenv("OS_AUTH_URL") == "" {
		t.Fatal("OS_AUTH_URL is not set: source an openrc file")
	}
	testContract(t, func(t *testing.T) *world {
		t.Helper()
		return newWorld(t, func(w *world) maker { return realMaker{neutronlab.New(t, w.service)} })
	})
}

type realMaker struct{ *neutronlab.Lab }

func (r realMaker) port(device string) string { return r.Port(device) }
func (r realMaker) change(port string)        { r.Set(port, "name", "renamed") }
