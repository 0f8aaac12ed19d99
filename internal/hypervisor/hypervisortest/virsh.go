//go:build lab

package hypervisortest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Virsh prepares domains at a URI by libvirt's own command, and looks at them.
type Virsh struct{ URI string }

// Run runs virsh and returns what it prints; the test fails with it.
func (v Virsh) Run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := v.Try(args...)
	if err != nil {
		t.Fatalf("virsh %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// Try is Run for a command that may fail.
func (v Virsh) Try(args ...string) (string, error) {
	out, err := exec.Command("virsh", append([]string{"--quiet", "-c", v.URI}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Make adds the domain, which is removed again after the test.
func (v Virsh) Make(t testing.TB, g Guest) {
	t.Helper()
	v.Clean(g)
	t.Cleanup(func() { v.Clean(g) })
	g.makeNVRAM(t)
	file := filepath.Join(t.TempDir(), "domain.xml")
	if err := os.WriteFile(file, []byte(g.XML()), 0o600); err != nil {
		t.Fatal(err)
	}
	if g.Disk != "" {
		if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", g.Disk, "16M").CombinedOutput(); err != nil {
			t.Fatalf("qemu-img: %v: %s", err, out)
		}
	}
	if g.Transient {
		v.Run(t, "create", file)
		return
	}
	v.Run(t, "define", file)
	if g.Running || g.Checkpoint != "" || g.ManagedSave || g.TPM {
		v.Run(t, "start", g.Name)
	}
	if g.Checkpoint != "" {
		v.Run(t, "checkpoint-create-as", g.Name, g.Checkpoint)
	}
	if g.Snapshot != "" {
		v.Run(t, "snapshot-create-as", g.Name, g.Snapshot)
	}
	if g.ManagedSave {
		v.Run(t, "managedsave", g.Name)
	}
	if !g.Running && !g.ManagedSave {
		_, _ = v.Try("destroy", g.Name)
	}
}

// Clean removes the domain with all that belongs to it.
func (v Virsh) Clean(g Guest) {
	_, _ = v.Try("destroy", g.UUID)
	_, _ = v.Try("undefine", g.UUID, "--managed-save", "--snapshots-metadata", "--checkpoints-metadata", "--nvram", "--tpm")
	for _, file := range []string{g.Disk, g.NVRAM} {
		if file != "" {
			_ = os.Remove(file)
		}
	}
}

// Wait asks virsh until it answers want, for at most ten seconds.
func (v Virsh) Wait(t testing.TB, want string, args ...string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		out, _ := v.Try(args...)
		if out == want {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("virsh %s: %q, want %q", strings.Join(args, " "), out, want)
		case <-tick.C:
		}
	}
}
