//go:build lab

package main

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"nova-orphan/internal/hypervisor/hypervisortest"
)

// asKeeper makes a user nova-orphan, and gives what calls the module as it, with a folder of its own.
func asKeeper(t *testing.T) (wrapper []string, folder func() string) {
	t.Helper()
	const name = "nova-orphan"
	shell(t, "useradd", "--system", name)
	t.Cleanup(func() { shell(t, "userdel", name) })
	uid, err := strconv.Atoi(strings.TrimSpace(shell(t, "id", "--user", name)))
	if err != nil {
		t.Fatal(err)
	}
	return as(name, name), func() string {
		dir, err := os.MkdirTemp("", "keeper")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		if err := os.Chown(dir, uid, -1); err != nil {
			t.Fatal(err)
		}
		return dir
	}
}

// grant makes these polkit's rules.
func grant(t *testing.T, rules string) {
	t.Helper()
	if err := os.WriteFile("/etc/polkit-1/rules.d/50-nova-orphan.rules", []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	// It notices by itself, but not at once, and is restarted more often than systemd
	// thinks is good, which counts only while the unit is loaded.
	shell(t, "systemctl", "restart", "polkit.service")
	shell(t, "systemctl", "reset-failed", "polkit.service")
}

func TestTheDocumentedAccessIsEnoughAndNoneIsTooMuch(t *testing.T) {
	content, err := os.ReadFile("testdata/acl/50-nova-orphan.rules")
	if err != nil {
		t.Fatal(err)
	}
	rules := string(content)
	wrapper, folder := asKeeper(t)
	t.Cleanup(func() { _ = os.Remove("/etc/polkit-1/rules.d/50-nova-orphan.rules") })
	reconfigure(t, `auth_unix_rw = "polkit"`)
	reconfigure(t, `access_drivers = ["polkit"]`)
	// A guest has snapshots or checkpoints, not both.
	guests := []hypervisortest.Guest{
		{
			UUID: "c0000000-0000-4000-8000-00000000000a", Name: "lab-acl-snapshot", ProjectID: "p1", Snapshot: "first",
			Disk: "/var/lib/libvirt/images/lab-acl-snapshot.qcow2",
		},
		{
			UUID: "c0000000-0000-4000-8000-00000000000b", Name: "lab-acl-checkpoint", ProjectID: "p1", Running: true, Checkpoint: "first",
			Disk: "/var/lib/libvirt/images/lab-acl-checkpoint.qcow2",
		},
	}
	// purgeAndRestore says what did not succeed.
	purgeAndRestore := func(guest hypervisortest.Guest) (failed string) {
		t.Helper()
		system.Make(t, guest)
		before, dir := picture(t, guest), folder()
		purged := start(t, guest, map[string]any{"backup_dir": dir, "destroy": true}, wrapper...).answer(t)
		if purged.Get("failed").Bool() {
			return purged.Raw
		}
		wantState(t, guest, "")
		restored := start(t, guest, map[string]any{"backup_dir": dir, "state": present, "backup_file": purged.Get("backup_file").String()},
			wrapper...).answer(t)
		if restored.Get("failed").Bool() {
			return restored.Raw
		}
		if picture(t, guest) != before {
			return "not as it was: " + purged.Raw
		}
		return ""
	}
	both := func() (failed string) {
		t.Helper()
		if failed = purgeAndRestore(guests[0]); failed == "" {
			failed = purgeAndRestore(guests[1])
		}
		return failed
	}
	grant(t, rules)
	if failed := both(); failed != "" {
		t.Fatalf("with all of it: %s", failed)
	}
	if testing.Short() {
		return // one without the other: make minimal
	}
	lines := 0
	for _, line := range strings.SplitAfter(rules, "\n") {
		if !strings.Contains(line, `"org.libvirt.`) {
			continue
		}
		lines++
		grant(t, strings.Replace(rules, line, "", 1))
		if failed := both(); failed == "" {
			t.Errorf("it works without: %s", line)
		}
	}
	t.Logf("permissions of SECURITY.md, each needed: %d", lines)
}
