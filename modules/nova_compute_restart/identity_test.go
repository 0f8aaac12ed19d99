package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

func TestANovaComputeThatWouldNotStartAgainIsNotRestarted(t *testing.T) {
	const lost, another = "nova-compute would not start again, since none of ", " names " + second + ", which is no compute node of this host"
	for _, test := range []struct {
		name  string
		nodes []any
		files map[string]string
		want  string // the refusal; "" is a restart
	}{
		{"its release has no such file", nil, nil, ""},
		{"it is where the state is", []any{first}, map[string]string{"state/compute_id": first + "\n"}, ""},
		{"it is beside its configuration", []any{third, first}, map[string]string{"etc/compute_id": strings.ToUpper(first)}, ""},
		{"it is written without hyphens", []any{first}, map[string]string{"state/compute_id": strings.ReplaceAll(first, "-", "")}, ""},
		{"it is lost", []any{first}, nil, lost},
		{"it is empty", []any{first}, map[string]string{"state/compute_id": " \n"}, lost},
		{"it is of another host", []any{first}, map[string]string{"state/compute_id": second}, another},
		{"one of two is of another host", []any{first}, map[string]string{"etc/compute_id": first, "state/compute_id": second}, another},
		{"it cannot be read", []any{first}, map[string]string{"state/compute_id/x": ""}, "read which compute node nova-compute is: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, folder := newStage(t, hypervisortest.Guest{UUID: third}), t.TempDir()
			s.conf = filepath.Join(folder, "etc")
			for _, name := range []string{"etc", "state"} {
				if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			s.write(filepath.Join(s.conf, "nova.conf"), "[DEFAULT]\nstate_path = "+filepath.Join(folder, "state")+"\n")
			for name, text := range test.files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o700); err != nil {
					t.Fatal(err)
				}
				s.write(filepath.Join(folder, name), text)
			}
			answer := s.call(map[string]any{"reap": third, "compute_id": test.nodes})
			if s.restarts() != (test.want == "") || !strings.Contains(answer.Get("msg").String(), test.want) {
				t.Errorf("got %s", answer)
			}
		})
	}
}

func TestWhereNothingOfItsStateIsToBeSeenARestartIsNoRisk(t *testing.T) {
	for name, conf := range map[string]string{
		"its state is elsewhere":         "[DEFAULT]\nstate_path = /nowhere/nova\n",
		"where its state is, is unknown": "[DEFAULT]\nstate_path = $nowhere/nova\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, hypervisortest.Guest{UUID: third})
			s.write(filepath.Join(s.conf, "nova.conf"), conf)
			if answer := s.call(map[string]any{"reap": third, "compute_id": first}); !s.restarts() {
				t.Errorf("got %s", answer)
			}
		})
	}
}

// wouldItStart is a module that goes where a process is, and looks as a restart does.
var wouldItStart = ansible.Module{
	Name: "would_it_start",
	Options: []ansible.Option{
		{Name: "pid", Type: ansible.Int}, {Name: "conf", Type: ansible.Path}, {Name: "compute_id", Type: ansible.Str},
	},
	Inside: func(call *ansible.Call) (ansible.Process, error) {
		return ansible.Process{PID: call.Value("pid").(int)}, nil
	},
	Run: func(_ context.Context, call *ansible.Call) (ansible.Answer, error) {
		why, err := ansible.OnHost(call, func() (string, error) {
			return parameters{ComputeIDs: []string{call.Value("compute_id").(string)}}.stays(call, []string{call.Value("conf").(string)})
		})
		return &ansible.Result{Msg: why}, err
	},
}

func TestTheStateOfAContainerIsLookedAtThere(t *testing.T) {
	for _, test := range []struct{ name, there, host, want string }{
		{"it is there alone", first, "", ""},
		{"it is there, and the host has what was there before", first, second, ""},
		{"it is lost there, and the host has what was there before", "", first, "nova-compute would not start again, since none of "},
		{"it is another's there", second, first, "nova-compute would not start again, since "},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			state, conf := filepath.Join(folder, "state"), filepath.Join(folder, "nova.conf")
			err := errors.Join(os.Mkdir(state, 0o700), os.WriteFile(conf, []byte("[DEFAULT]\nstate_path = "+state+"\n"), 0o600))
			if err == nil && test.host != "" {
				err = os.WriteFile(filepath.Join(state, "compute_id"), []byte(test.host), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			script := "mount -t tmpfs none " + state
			if test.there != "" {
				script += "\nprintf " + test.there + " > " + state + "/compute_id"
			}
			arguments := filepath.Join(folder, "arguments")
			text := fmt.Sprintf(`{"pid": %d, "conf": %q, "compute_id": %q}`, ansibletest.Elsewhere(t, script), conf, first)
			if err = os.WriteFile(arguments, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			said, err := exec.Command("would_it_start", arguments).Output()
			got := gjson.GetBytes(said, "msg").String()
			if err != nil || !strings.HasPrefix(got, test.want) || (got == "") != (test.want == "") {
				t.Errorf("got %s, %v", said, err)
			}
		})
	}
}
