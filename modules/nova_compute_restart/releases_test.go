//go:build releases

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

// novaCompute is the one of RELEASE (lab/releases/compute.py), with what systemd does to it.
type novaCompute struct {
	t                 *testing.T
	folder, placement string

	mu         sync.Mutex
	process    *exec.Cmd
	ended      chan struct{}
	invocation int
	// asked is how much of the log there was when it was last asked to end, and stopping whether it has not yet.
	asked    int
	stopping bool
}

func newNovaCompute(t *testing.T) *novaCompute {
	t.Helper()
	// All that a start asks Placement is what it is; it does without the rest.
	placement := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"versions": [{"id": "v1.0", "min_version": "1.0", "max_version": "1.39", "status": "CURRENT",
			"links": [{"rel": "self", "href": ""}]}]}`))
	}))
	n := &novaCompute{t: t, folder: t.TempDir(), placement: placement.URL}
	t.Cleanup(func() {
		placement.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		_ = n.process.Process.Kill()
	})
	if out, err := n.python("seed.py").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.WriteFile(n.conf(), []byte("[DEFAULT]\nstate_path = "+n.folder+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *novaCompute) python(script string, arguments ...string) *exec.Cmd {
	releases := "../../lab/releases/"
	python := filepath.Join("../../.cache/releases", os.Getenv("RELEASE"), "bin/python")
	command := exec.Command(python, append([]string{releases + script}, arguments...)...)
	command.Env = append(os.Environ(), "OS_DEFAULT__MANAGER_SHUTDOWN_TIMEOUT=8") // instead of 160 seconds
	return command
}

func (n *novaCompute) conf() string { return filepath.Join(n.folder, "nova.conf") }

func (n *novaCompute) logFile() string { return filepath.Join(n.folder, "nova-compute.log") }

func (n *novaCompute) logged() []byte {
	content, _ := os.ReadFile(n.logFile()) // there is none before its first start
	return content
}

func (n *novaCompute) start() {
	n.process, n.ended, n.stopping = n.python("compute.py", n.folder, n.placement), make(chan struct{}), false
	n.invocation++
	if err := n.process.Start(); err != nil {
		n.t.Error(err)
	}
	go func(process *exec.Cmd, ended chan struct{}) {
		defer close(ended)
		_ = process.Wait() // how it ended is looked at where it matters
	}(n.process, n.ended)
}

// pass waits for one of its periodic tasks, after what was logged before.
func (n *novaCompute) pass(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); !bytes.Contains(n.logged()[before:], []byte("instances on the hypervisor")); {
		select {
		case <-n.ended:
			t.Fatalf("it does not run: %v: %s", n.process.ProcessState, n.logged()[before:])
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("no pass: %s", n.logged()[before:])
		}
	}
}

// command does to it what systemctl would.
func (n *novaCompute) command(_ context.Context, argv ...string) (string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch argv[1] {
	case "show":
		state := map[bool]string{false: "active", true: "deactivating"}[n.stopping]
		return fmt.Sprintf("Id=nova-compute.service\nLoadState=loaded\nActiveState=%s\nInvocationID=%d\n", state, n.invocation), nil
	case "restart":
		n.asked, n.stopping = len(n.logged()), true
		err := n.process.Process.Signal(syscall.SIGTERM)
		go func(ended chan struct{}) {
			<-ended
			n.mu.Lock()
			defer n.mu.Unlock()
			n.start()
		}(n.ended)
		return "", err
	}
	return "", errors.New("the test has no " + strings.Join(argv, " "))
}

// call calls the module on its host, where an instance's domain is left.
func (n *novaCompute) call(more map[string]any) gjson.Result {
	n.t.Helper()
	libvirt := hypervisortest.NewFake()
	libvirt.Make(n.t, hypervisortest.Guest{UUID: first, Name: "instance-1"})
	all := map[string]any{"reap": first, "log": n.logFile(), "conf": []any{n.conf()}, "_ansible_no_log": true}
	for key, value := range more {
		all[key] = value
	}
	here := module
	here.Run = func(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
		var p parameters
		if err := call.Decode(&p); err != nil {
			return nil, err
		}
		return p.do(ctx, call, host{libvirt, n.command, 100 * time.Millisecond})
	}
	return ansibletest.Call(n.t, here, all)
}

func TestTheNovaComputeOfANewerReleaseStopsAndStartsAsItIsTakenTo(t *testing.T) {
	n := newNovaCompute(t)
	n.start()
	n.pass(t, 0)

	t.Run("F3 what the old process does after SIGTERM is not the new one's", func(t *testing.T) {
		old := n.process.Process.Pid
		place := n.call(nil).Get("log_end").String()
		end, err := strconv.Atoi(place[strings.LastIndexByte(place, '+')+1:])
		if err != nil {
			t.Fatalf("it was not restarted: %q, %v", place, err)
		}
		n.pass(t, end)
		passes := regexp.MustCompile(fmt.Sprintf(`(?m)^\S+ \S+ %d .* instances on the hypervisor`, old))
		log := n.logged()
		if !passes.Match(log[n.asked:]) {
			t.Error("this release makes no pass after SIGTERM: it is not the one that shows it")
		}
		if passes.Match(log[end:]) {
			t.Errorf("a pass of the old process is taken for the new one's: %s", log[end:])
		}
	})

	t.Run("F8 one that has lost its identity would not start again", func(t *testing.T) {
		file := filepath.Join(n.folder, "compute_id")
		id, err := os.ReadFile(file)
		if err = errors.Join(err, os.Remove(file)); err != nil {
			t.Fatal(err)
		}
		check := map[string]any{"compute_id": string(id), "_ansible_check_mode": true}
		if answer := n.call(check); !answer.Get("failed").Bool() || !strings.Contains(answer.Get("msg").String(), "would not start again") {
			t.Errorf("got %s", answer)
		}
		before := len(n.logged())
		_ = n.process.Process.Kill()
		<-n.ended
		n.start()
		if <-n.ended; n.process.ProcessState.Success() || !bytes.Contains(n.logged()[before:], []byte("No local node identity found")) {
			t.Errorf("it started again: %v: %s", n.process.ProcessState, n.logged()[before:])
		}
		// What the refusal says to write is what it takes to start.
		if err = os.WriteFile(file, id, 0o600); err != nil {
			t.Fatal(err)
		}
		if answer := n.call(check); answer.Get("failed").Bool() || !answer.Get("changed").Bool() {
			t.Errorf("got %s", answer)
		}
		before = len(n.logged())
		n.start()
		n.pass(t, before)
	})
}
