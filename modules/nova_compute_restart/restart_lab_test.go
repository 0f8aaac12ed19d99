//go:build lab

package main

import (
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

func TestTheRealNovaComputeIsRestartedAndReadOn(t *testing.T) {
	pid := func() string {
		t.Helper()
		out, err := systemctl(t.Context(), "show", "--property=MainPID", "--value", "--", "nova-compute")
		if err != nil || out == "0" {
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
	since, err := parsePlace(answer.Get("log_end").String())
	if err != nil {
		t.Fatal(err)
	}
	// The log is read on by others, too, once it has started.
	log, added := journal{path: "/var/log/nova/nova-compute.log", at: since}, ""
	for !strings.Contains(added, "Starting compute node") {
		text, err := log.read()
		if added += text; err != nil {
			t.Fatal(err)
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("it has logged no start: %s", added)
		case <-time.After(200 * time.Millisecond):
		}
	}
	waited := ansibletest.Call(t, module, map[string]any{
		"state": "reaped", "reap": guest.UUID, "log_since": since.String(), "pass_deadline": 1, "reap_deadline": 0,
	})
	if waited.Get("failed").Bool() || waited.Get("left.0").String() != guest.UUID || waited.Get("log_rotated").Bool() {
		t.Errorf("got %s", waited)
	}
}
