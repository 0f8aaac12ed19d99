package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

const (
	first  = "6695eb01-f6a4-8304-79aa-97f2502e193f"
	second = "7795eb01-f6a4-8304-79aa-97f2502e193f"
	third  = "8895eb01-f6a4-8304-79aa-97f2502e193f"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"nova_compute_restart": main})
}

func TestTheBinaryWithoutLibvirt(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: ansibletest.Commands("nova_compute_restart")})
}

func TestTheDocumentationSaysWhatTheModuleTakes(t *testing.T) {
	ansibletest.CheckDocumentation(t, module, "nova_compute_restart.yml")
}

func TestTheTimeThatIsWaitedIsTheCallsToo(t *testing.T) {
	for _, test := range []struct {
		state string
		want  int
	}{{"restarted", 5}, {"reaped", 5 + 180 + 30 + 2*2}} {
		values := map[string]any{"state": test.state, "reap": []any{first, second}, "timeout": 5, "pass_deadline": 180, "reap_deadline": 30}
		if err := leaveTimeToWait(values); err != nil || values["timeout"] != test.want {
			t.Errorf("%s: got %v, %v", test.state, values["timeout"], err)
		}
	}
}

// stage is a compute host with a libvirt in memory, a log, and a systemctl that does what asked says of each question.
type stage struct {
	*hypervisortest.Fake
	t     *testing.T
	log   string
	conf  string
	sent  []string
	asked func(ctx context.Context, question string) (string, error)
}

func newStage(t *testing.T, guests ...hypervisortest.Guest) *stage {
	t.Helper()
	s := &stage{Fake: hypervisortest.NewFake(), t: t, log: filepath.Join(t.TempDir(), "nova-compute.log"), conf: t.TempDir()}
	s.asked = func(_ context.Context, question string) (string, error) {
		return map[bool]string{true: "LoadState=loaded\nActiveState=active"}[question == "show"], nil
	}
	for _, guest := range guests {
		guest.Name = "instance-" + guest.UUID[:8]
		s.Make(t, guest)
	}
	s.write(s.log, "what was before\n")
	return s
}

func (s *stage) write(path, text string) {
	s.t.Helper()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// call calls the module as Ansible does, but against this host.
func (s *stage) call(arguments map[string]any) gjson.Result {
	s.t.Helper()
	all := map[string]any{"log": s.log, "conf": []any{s.conf}, "pass_deadline": 0, "reap_deadline": 0, "_ansible_no_log": true}
	for key, value := range arguments {
		all[key] = value
	}
	faked := module
	faked.Run = func(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
		var p parameters
		if err := call.Decode(&p); err != nil {
			return nil, err
		}
		return p.do(ctx, call, host{s, s.systemctl, time.Millisecond})
	}
	return ansibletest.Call(s.t, faked, all)
}

func (s *stage) systemctl(ctx context.Context, arguments ...string) (string, error) {
	s.sent = append(s.sent, strings.Join(arguments, " "))
	return s.asked(ctx, arguments[0])
}

func (s *stage) restarts() bool { return slices.Contains(s.sent, "restart -- nova-compute") }

func TestWhatIsRefused(t *testing.T) {
	active, stopped := parseUnit("LoadState=loaded\nActiveState=active\n"), parseUnit("ActiveState=inactive\nLoadState=loaded\n")
	for _, test := range []struct {
		name    string
		destroy bool
		seen    evidence
		want    []string
	}{
		{"nothing", false, evidence{nil, true, active}, nil},
		{"a guest that runs", false, evidence{[]string{first, second}, true, active},
			[]string{"a guest of " + first + ", " + second + " runs", "destroy: true"}},
		{"no guest that may go", true, evidence{[]string{first}, true, active}, nil},
		{"a log that is not there", true, evidence{nil, false, active}, []string{"there is no /l (log)"}},
		{"a unit that is not there", true, evidence{nil, true, unit{"LoadState": "not-found", "ActiveState": "inactive"}},
			[]string{"no unit nova-compute (service)"}},
		{"a unit that is just being started", true, evidence{nil, true, unit{"LoadState": "loaded", "ActiveState": "activating"}}, nil},
		{"a unit that was stopped", true, evidence{nil, true, stopped}, []string{"the unit nova-compute is inactive", "start_compute: true"}},
		{"a unit that has failed", true, evidence{nil, true, unit{"LoadState": "loaded", "ActiveState": "failed"}}, []string{"is failed"}},
		{"all at once", false, evidence{[]string{first}, false, unit{}}, []string{"a guest of", "there is no", "no unit"}},
	} {
		err := parameters{Destroy: test.destroy, Log: "/l", Service: "nova-compute"}.refusal(test.seen)
		if (err == nil) != (test.want == nil) {
			t.Errorf("%s: got %v", test.name, err)
		}
		for _, part := range test.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q is not in %q", test.name, part, err)
			}
		}
	}
	if err := (parameters{StartCompute: true}).refusal(evidence{nil, true, stopped}); err != nil {
		t.Errorf("it may be started, and is refused: %v", err)
	}
}

func TestItIsRestartedForWhatIsThere(t *testing.T) {
	guests := []hypervisortest.Guest{{UUID: first}, {UUID: second}}
	for _, test := range []struct {
		name      string
		arguments map[string]any
		running   string
		left      string
		restarts  bool
		msg       string
	}{
		{"one of two has a domain", map[string]any{"reap": []any{first, third}}, "", `["` + first + `"]`, true, "restart nova-compute"},
		{"none has one", map[string]any{"reap": third}, "", "[]", false, "nothing is left"},
		{"nothing is asked for", nil, "", "[]", false, "nothing is left"},
		{"a deletion without a domain", map[string]any{"resume": third}, "", "[]", true, "restart nova-compute"},
		{"check mode", map[string]any{"reap": first, "_ansible_check_mode": true}, "", `["` + first + `"]`, false, "restart nova-compute"},
		{"a guest that runs", map[string]any{"reap": []any{first, second}}, first, `["` + first + `","` + second + `"]`, false, "a guest of " + first + " runs"},
		{"a guest of another that runs", map[string]any{"reap": first}, second, `["` + first + `"]`, true, "restart nova-compute"},
		{"a guest that runs, of a deletion", map[string]any{"resume": first}, first, "[]", false, "a guest of " + first + " runs"},
		{"a guest that runs, of both", map[string]any{"reap": first, "resume": first}, first, `["` + first + `"]`, false, "a guest of " + first + " runs"},
		{"an objection", map[string]any{"reap": first, "objections": []any{"no!", "never"}}, "", `["` + first + `"]`, false, "no!; never"},
		{"an objection to nothing", map[string]any{"reap": third, "objections": []any{"no!"}}, "", "[]", false, "nothing is left"},
		{"a guest that runs and may go", map[string]any{"reap": first, "destroy": true}, first, `["` + first + `"]`, true, "restart nova-compute"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t, guests...)
			if test.running != "" {
				s.Start(test.running)
			}
			answer := s.call(test.arguments)
			planned := test.restarts || test.arguments["_ansible_check_mode"] == true
			if got := answer.Get("left").Raw; got != test.left || s.restarts() != test.restarts || answer.Get("changed").Bool() != planned ||
				answer.Get("log_end").Exists() != planned || !strings.HasPrefix(answer.Get("msg").String(), test.msg) {
				t.Errorf("got %s, sent %q", answer, s.sent)
			}
			if len(s.Writes) > 0 {
				t.Errorf("libvirt was asked for %q", s.Writes)
			}
		})
	}
}

func TestWhatIsNotKnownIsAStop(t *testing.T) {
	for _, test := range []struct {
		name, want string
		spoil      func(*stage)
	}{
		{"libvirt does not answer", "read domain", func(s *stage) {
			s.Before = func(string, string) error { return errors.New("read domain: it hangs") }
		}},
		{"the log is not there", "there is no ", func(s *stage) { _ = os.Remove(s.log) }},
		{"the log cannot be read", "read nova-compute's log: ", func(s *stage) { s.log += "/log" }},
		{"the unit is not there", "systemd has loaded no unit nova-compute", func(s *stage) {
			s.asked = func(context.Context, string) (string, error) { return "LoadState=not-found\nActiveState=inactive", nil }
		}},
		{"systemd does not answer", "systemctl show: no bus", func(s *stage) {
			s.asked = func(context.Context, string) (string, error) { return "", errors.New("systemctl show: no bus") }
		}},
		{"guests are resumed, and cannot be listed", "it hangs", func(s *stage) {
			s.write(filepath.Join(s.conf, "nova.conf"), "[DEFAULT]\nresume_guests_state_on_host_boot = true\n")
			s.Before = func(request, _ string) error { return map[string]error{"list": errors.New("it hangs")}[request] }
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t, hypervisortest.Guest{UUID: first})
			test.spoil(s)
			answer := s.call(map[string]any{"reap": first})
			if !answer.Get("failed").Bool() || s.restarts() || answer.Get("log_end").Exists() ||
				!strings.Contains(answer.Get("msg").String(), test.want) {
				t.Errorf("got %s, sent %q", answer, s.sent)
			}
		})
	}
}

func TestARestartThatDoesNotEndIsNotARestart(t *testing.T) {
	s := newStage(t, hypervisortest.Guest{UUID: first})
	s.asked = func(ctx context.Context, question string) (string, error) {
		if question == "show" {
			return "LoadState=loaded\nActiveState=active", nil
		}
		<-ctx.Done()
		return "", fmt.Errorf("systemctl restart has not come back, what was asked may still happen: %w", ctx.Err())
	}
	answer := s.call(map[string]any{"reap": first, "timeout": 1})
	if !s.restarts() || answer.Get("changed").Bool() || answer.Get("log_end").Exists() || !answer.Get("failed").Bool() ||
		!strings.Contains(answer.Get("msg").String(), "may still happen") || !strings.Contains(answer.Get("msg").String(), "timeout of 1s") {
		t.Errorf("got %s", answer)
	}
}

func TestWhichGuestsItsStartStarts(t *testing.T) {
	const on = "resume_guests_state_on_host_boot"
	for _, test := range []struct {
		name   string
		files  map[string]string
		want   string
		unread int
	}{
		{"none, where nothing is said", map[string]string{"nova.conf": "[DEFAULT]\n"}, "[]", 0},
		{"none, where it is off", map[string]string{"nova.conf": "[DEFAULT]\n" + on + " = false\n"}, "[]", 0},
		{"none, where it is a comment", map[string]string{"nova.conf": "[DEFAULT]\n#" + on + " = true\n"}, "[]", 0},
		{"none, in a file that is not read", map[string]string{"nova.conf.bak": "[DEFAULT]\n" + on + " = true\n"}, "[]", 0},
		{"those that are off, but for what is reaped", map[string]string{"nova.conf": "[DEFAULT]\n" + on + ": True\n"}, `["` + second + `"]`, 0},
		{"by any file", map[string]string{"nova.conf": "[DEFAULT]\n", "nova.conf.d/x.conf": "[DEFAULT]\n" + on + "=1\n"}, `["` + second + `"]`, 0},
		{"by one file, where another cannot be read", map[string]string{"a.conf": "nonsense", "b.conf": "[DEFAULT]\n" + on + " = on\n"},
			`["` + second + `"]`, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t, hypervisortest.Guest{UUID: first}, hypervisortest.Guest{UUID: second}, hypervisortest.Guest{UUID: third, Running: true})
			for name, text := range test.files {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(s.conf, name)), 0o700); err != nil {
					t.Fatal(err)
				}
				s.write(filepath.Join(s.conf, name), text)
			}
			answer := s.call(map[string]any{"reap": first})
			if got := answer.Get("starts").Raw; got != test.want || len(answer.Get("unread").Array()) != test.unread || !s.restarts() {
				t.Errorf("got %s", answer)
			}
		})
	}
	s := newStage(t, hypervisortest.Guest{UUID: first})
	s.conf += "/nowhere"
	if answer := s.call(map[string]any{"reap": first}); !strings.Contains(answer.Get("unread.0").String(), "/nowhere") || !s.restarts() {
		t.Errorf("got %s", answer)
	}
}

func TestWhatAnotherRunRestartsIsLookedAtAnewWhenThatIsDone(t *testing.T) {
	for _, test := range []struct {
		name     string
		then     string
		restarts bool
		msg      string
	}{
		{"it has reaped the domain", "active", false, "nothing is left"},
		{"it runs again, and the domain is there", "active", true, "restart nova-compute"},
		{"it was stopped", "inactive", false, "the unit nova-compute is inactive"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t, hypervisortest.Guest{UUID: first})
			looks := 0
			s.asked = func(_ context.Context, question string) (string, error) {
				if looks++; question == "show" && looks < 3 {
					return "LoadState=loaded\nActiveState=deactivating", nil
				}
				if strings.HasPrefix(test.msg, "nothing") {
					s.Remove(first)
				}
				return "LoadState=loaded\nActiveState=" + test.then, nil
			}
			reap := map[string]any{"reap": first}
			answer := s.call(reap)
			if s.restarts() != test.restarts || !strings.HasPrefix(answer.Get("msg").String(), test.msg) {
				t.Errorf("got %s, sent %q", answer, s.sent)
			}
		})
	}
}
