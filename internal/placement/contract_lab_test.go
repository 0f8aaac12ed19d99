//go:build lab

package placement_test

import (
	"os"
	"testing"
)

// The OS_* environment (an openrc file) says where the real Placement is.
func TestTheRealPlacementKeepsTheContract(t *testing.T) {
	if os.Getenv("OS_AUTH_URL") == "" {
		t.Fatal("OS_AUTH_URL is not set: source an openrc file")
	}
	testContract(t)
}
