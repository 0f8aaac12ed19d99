package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
