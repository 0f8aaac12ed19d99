//go:build lab

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

// process is a run of the real binary.
type process struct {
	command        *exec.Cmd
	stdout, stderr bytes.Buffer
}

// start calls the module on a guest as Ansible does, by way of a wrapper (unshare, runuser) if one is given.
func start(t *testing.T, guest hypervisortest.Guest, arguments map[string]any, wrapper ...string) *process {
	t.Helper()
	all := map[string]any{"uuid": guest.UUID, "_ansible_diff": true}
	for key, value := range arguments {
		all[key] = value
	}
	content, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "call")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	file := filepath.Join(folder, "arguments.json")
	binary, err := exec.LookPath("libvirt_undefine")
	if err = errors.Join(err, os.Chmod(folder, 0o755), os.WriteFile(file, content, 0o644)); err != nil {
		t.Fatal(err)
	}
	if len(wrapper) > 0 { // which another user may run
		copied := filepath.Join(folder, "libvirt_undefine")
		if out, err := exec.Command("cp", binary, copied).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		binary = copied
	}
	line := append(slices.Clone(wrapper), binary, file)
	p := &process{command: exec.Command(line[0], line[1:]...)}
	p.command.Stdout, p.command.Stderr = &p.stdout, &p.stderr
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// answer waits for the run's end and holds it to one JSON object that tells no secret.
func (p *process) answer(t *testing.T) gjson.Result {
	t.Helper()
	err := p.command.Wait()
	out := p.stdout.String()
	if p.stderr.Len() > 0 || strings.Count(out, "\n") != 1 || !gjson.Valid(out) {
		t.Fatalf("not one JSON object: %v: %s%s", err, out, p.stderr.String())
	}
	if strings.Contains(out, "hunter22") {
		t.Errorf("tells a secret: %s", out)
	}
	answer := gjson.ParseBytes(ansibletest.Only(p.stdout.Bytes()))
	if failed := answer.Get("failed").Bool(); failed != (p.command.ProcessState.ExitCode() == 1) || !failed && err != nil {
		t.Fatalf("failed is %v: %v", failed, err)
	}
	return answer
}

// kill ends the run as a power cut does.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := p.command.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 || p.stdout.Len() > 0 {
		t.Fatalf("was not killed: %v: %s", err, p.stdout.String())
	}
}

// gate stops the run at one message to or from libvirt.
type gate struct {
	uri             string
	reached, opened chan struct{}
	forward         bool // decided when it opens
	once            sync.Once
}

func newGate(t *testing.T, at hypervisortest.Message) *gate {
	t.Helper()
	g := &gate{reached: make(chan struct{}), opened: make(chan struct{})}
	g.uri = hypervisortest.Listen(t, func(m hypervisortest.Message) bool {
		if m != at {
			return true
		}
		close(g.reached)
		<-g.opened
		return g.forward
	})
	t.Cleanup(func() { g.open(false) })
	return g
}

func (g *gate) open(forward bool) {
	g.once.Do(func() {
		g.forward = forward
		close(g.opened)
	})
}

// wait for the run to come to the gate.
func (g *gate) wait(t *testing.T, p *process) {
	t.Helper()
	select {
	case <-g.reached:
	case <-time.After(20 * time.Second):
		_ = p.command.Process.Kill()
		_ = p.command.Wait()
		t.Fatalf("the run never came there: %s", p.stdout.String())
	}
}

// backups lists the backups of a guest, oldest first, without the records of restores.
func backups(t *testing.T, dir string, guest hypervisortest.Guest) (paths []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, guest.UUID, "*-libvirt_undefine.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !gjson.GetBytes(content, "data.restored").Exists() {
			paths = append(paths, path)
		}
	}
	return paths
}

// picture is all of a guest that must come back.
func picture(t *testing.T, guest hypervisortest.Guest) string {
	t.Helper()
	var text strings.Builder
	show := func(args ...string) {
		out, err := system.Try(args...)
		if err != nil {
			t.Fatalf("virsh %v: %s", args, out)
		}
		text.WriteString(out + "\n")
	}
	show("dumpxml", "--security-info", "--inactive", guest.UUID)
	if guest.Snapshot != "" {
		show("snapshot-dumpxml", "--security-info", guest.UUID, guest.Snapshot)
		show("snapshot-current", "--name", guest.UUID)
	}
	if guest.Checkpoint != "" {
		show("checkpoint-dumpxml", "--security-info", guest.UUID, guest.Checkpoint)
	}
	paths := []string{guest.NVRAM}
	if guest.TPM {
		paths = append(paths, filepath.Join(swtpmFolder, guest.UUID))
	}
	for _, path := range paths {
		if path == "" {
			continue
		}
		out, err := exec.Command("sh", "-c",
			`find "$1" ! -name .lock -printf '%p %U:%G %m\n' | sort && find "$1" -type f ! -name .lock -exec sha256sum {} +`, "sh",
			path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		text.Write(out)
	}
	return text.String()
}

// wantState wants virsh to call the guest's state so; empty is no such domain.
func wantState(t *testing.T, guest hypervisortest.Guest, want string) bool {
	t.Helper()
	state, err := system.Try("domstate", guest.UUID)
	as := state == want || want == "" && err != nil && strings.Contains(state, "failed to get domain")
	if !as {
		t.Errorf("virsh: %q, want %q", state, want)
	}
	return as
}
