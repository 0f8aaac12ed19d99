//go:build lab

package hypervisor_test

import (
	"os/exec"
	"strings"
	"testing"
)

// suspendDaemon stops libvirtd in its tracks, as a hung disk does.
func suspendDaemon(t *testing.T) (resume func()) {
	t.Helper()
	out, err := exec.Command("systemctl", "show", "--property=MainPID", "--value", "libvirtd").Output()
	if err != nil {
		t.Fatal(err)
	}
	pid := strings.TrimSpace(string(out))
	if pid == "0" {
		t.Fatal("libvirtd does not run")
	}
	signal := func(name string) {
		if err := exec.Command("kill", "-"+name, pid).Run(); err != nil {
			t.Fatal(err)
		}
	}
	signal("STOP")
	return func() { signal("CONT") }
}
