//go:build lab

package hypervisortest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec" //nolint:depguard // a second opinion on what the module did needs another program
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
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
	t.Cleanup(func() { v.Clean(g) })
	if err := v.Add(g); err != nil {
		t.Fatal(err)
	}
}

// Add is Make without a test that cleans up; one of that uuid is removed first.
func (v Virsh) Add(g Guest) error {
	v.Clean(g)
	folder, err := os.MkdirTemp("", "guest")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file := filepath.Join(folder, "domain.xml")
	if err := errors.Join(g.makeNVRAM(), os.WriteFile(file, []byte(g.XML()), 0o600)); err != nil {
		return err
	}
	if g.Disk != "" {
		create := []string{"create", "-q", "-f", "qcow2"}
		if g.Backing != "" {
			create = append(create, "-F", "qcow2", "-b", g.Backing)
		}
		if out, err := exec.Command("qemu-img", append(create, g.Disk, "16M")...).CombinedOutput(); err != nil {
			return fmt.Errorf("qemu-img: %w: %s", err, out)
		}
	}
	for _, command := range commands(g, file) {
		if out, err := v.Try(command...); err != nil {
			return fmt.Errorf("virsh %s: %w: %s", strings.Join(command, " "), err, out)
		}
	}
	return nil
}

// Command is testscript's
//
//	guest '{"Name": ..., "Running": true}'
//
// which adds the domain that the fields of Guest describe, until the script's end.
func (v Virsh) Command(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || neg {
		ts.Fatalf("usage: guest JSON")
	}
	var guest Guest
	decoder := json.NewDecoder(strings.NewReader(args[0]))
	decoder.DisallowUnknownFields()
	ts.Check(decoder.Decode(&guest))
	ts.Defer(func() { v.Clean(guest) })
	ts.Check(v.Add(guest))
}

func commands(g Guest, file string) (list [][]string) {
	if g.Transient {
		return [][]string{{"create", file}}
	}
	list = [][]string{{"define", file}}
	// QEMU makes checkpoints and a TPM's state only while the domain runs.
	started := g.Running || g.Checkpoint != "" || g.ManagedSave || g.TPM
	if started {
		list = append(list, []string{"start", g.Name})
	}
	if g.Checkpoint != "" {
		list = append(list, []string{"checkpoint-create-as", g.Name, g.Checkpoint})
	}
	if g.Snapshot != "" {
		list = append(list, []string{"snapshot-create-as", g.Name, g.Snapshot})
	}
	switch {
	case g.ManagedSave:
		list = append(list, []string{"managedsave", g.Name})
	case started && !g.Running:
		list = append(list, []string{"destroy", g.Name})
	}
	return list
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
