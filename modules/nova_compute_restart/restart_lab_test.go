//go:build lab

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

func TestTheRealNovaComputeIsRestartedAndReadOn(t *testing.T) {
	pid := func() string {
		t.Helper()
		out, err := execute(t.Context(), "systemctl", "show", "--property=MainPID", "--value", "--", "nova-compute")
		if err != nil || out == "0\n" {
			t.Fatalf("nova-compute does not run: %q, %v", out, err)
		}
		return out
	}
	// A domain of an instance that no database has is none that nova-compute would touch.
	guest := hypervisortest.Guest{UUID: "d0000000-0000-4000-8000-000000000007", Name: "lab-restart"}
	hypervisortest.Virsh{URI: "qemu:///system"}.Make(t, guest)
	before := pid()
	for _, refused := range []map[string]any{
		{"reap": guest.UUID, "service": "nova-compute-of-another-name"}, {"reap": guest.UUID, "log": "/var/log/nova/none.log"},
	} {
		if answer := ansibletest.Call(t, module, refused); !answer.Get("failed").Bool() || answer.Get("left.0").String() != guest.UUID {
			t.Errorf("%v: got %s", refused, answer)
		}
	}
	check := ansibletest.Call(t, module, map[string]any{"reap": guest.UUID, "_ansible_check_mode": true})
	nothing := ansibletest.Call(t, module, map[string]any{"reap": "d0000000-0000-4000-8000-000000000008"})
	if !check.Get("changed").Bool() || nothing.Get("changed").Bool() || pid() != before {
		t.Fatalf("it was restarted: %s, %s", check, nothing)
	}

	answer := ansibletest.Call(t, module, map[string]any{"reap": guest.UUID})
	if !answer.Get("changed").Bool() || answer.Get("left.0").String() != guest.UUID || answer.Get("unread").Raw != "[]" || pid() == before {
		t.Fatalf("got %s", answer)
	}
	since := answer.Get("log_end").String()
	waitForStart(t, since)
	waited := ansibletest.Call(t, module, map[string]any{
		"state": "reaped", "reap": guest.UUID, "log_since": since, "pass_deadline": 1, "reap_deadline": 0,
	})
	if waited.Get("failed").Bool() || waited.Get("left.0").String() != guest.UUID || waited.Get("log_rotated").Bool() {
		t.Errorf("got %s", waited)
	}
}

// waitForStart reads on, as a wait does, until a new process has told that it starts.
func waitForStart(t *testing.T, place string) {
	t.Helper()
	log, err := host{command: execute}.openLog(place)
	if err != nil {
		t.Fatal(err)
	}
	for added := ""; !strings.Contains(added, "Starting compute node"); {
		text, err := log.read(t.Context())
		if added += text; err != nil {
			t.Fatal(err)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%s has no start: %s", log, added)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// OpenStack-Ansible's nova-compute writes no file, and RHOSO's to its container's output.
func TestTheRealNovaComputesJournalIsReadOn(t *testing.T) {
	const dropIn = "/run/systemd/system/nova-compute.service.d/journal.conf"
	call := func(argv ...string) {
		t.Helper()
		if _, err := execute(t.Context(), argv...); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(dropIn), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dropIn, []byte("[Service]\nEnvironment=OS_DEFAULT__USE_STDERR=true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = os.Remove(dropIn)
		call("systemctl", "daemon-reload")
		call("systemctl", "restart", "nova-compute")
	}()
	call("systemctl", "daemon-reload")
	call("systemctl", "restart", "nova-compute")
	journal := host{command: execute}.journal("nova-compute")
	for {
		has, err := journal.hasEntries(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if has {
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the journal has nothing of nova-compute")
		case <-time.After(200 * time.Millisecond):
		}
	}
	answer := ansibletest.Call(t, module, map[string]any{"resume": "d0000000-0000-4000-8000-000000000008", "log": "journal"})
	if !answer.Get("changed").Bool() || answer.Get("log").String() != "the journal of nova-compute" {
		t.Fatalf("got %s", answer)
	}
	waitForStart(t, answer.Get("log_end").String())
}
