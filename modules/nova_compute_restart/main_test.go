package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
	testscript.Main(m, map[string]func(){
		"nova_compute_restart": main,
		"would_it_start":       func() { os.Exit(ansible.Main(os.Args, os.Stdout, wouldItStart)) },
	})
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

// stage is a compute host with a libvirt in memory, a log, and a systemctl and a journalctl that do what asked says of each question.
type stage struct {
	*hypervisortest.Fake
	t     *testing.T
	log   string
	conf  string
	sent  []string
	asked func(ctx context.Context, question string) (string, error)
	// engine answers for that of containers, of which there is none.
	engine func(argv ...string) (string, error)
}

const active = "Id=nova-compute.service\nLoadState=loaded\nActiveState=active\n"

func newStage(t *testing.T, guests ...hypervisortest.Guest) *stage {
	t.Helper()
	s := &stage{Fake: hypervisortest.NewFake(), t: t, log: filepath.Join(t.TempDir(), "nova-compute.log"), conf: t.TempDir()}
	s.asked = func(_ context.Context, question string) (string, error) {
		return map[bool]string{true: active}[question == "show"], nil
	}
	s.engine = func(...string) (string, error) { return "", exec.ErrNotFound }
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
		return p.do(ctx, call, host{s, s.command, time.Millisecond})
	}
	return ansibletest.Call(s.t, faked, all)
}

func (s *stage) command(ctx context.Context, argv ...string) (string, error) {
	if slices.Contains([]string{"docker", "podman", "systemd-run"}, argv[0]) {
		return s.engine(argv...)
	}
	s.sent = append(s.sent, strings.Join(argv, " "))
	out, err := s.asked(ctx, argv[1])
	if strings.Contains(out, "LoadState=loaded") {
		out += fmt.Sprintf("InvocationID=%t\n", s.restarts())
	}
	return out, err
}

func (s *stage) restarts() bool {
	return slices.Contains(s.sent, "systemctl restart --no-block --no-ask-password -- nova-compute")
}

func TestWhatIsRefused(t *testing.T) {
	stopped := compute{refusals: []string{"the unit nova-compute is inactive"}}
	for _, test := range []struct {
		name    string
		destroy bool
		running []string
		service compute
		want    string
	}{
		{"nothing", false, nil, compute{}, ""},
		{"a guest that runs", false, []string{first, second}, compute{}, "a guest of " + first + ", " + second +
			" runs by now: a restart of nova-compute would power it off. If it may go, destroy: true"},
		{"no guest that may go", true, []string{first}, compute{}, ""},
		{"what speaks against nova-compute", true, []string{first}, stopped, "the unit nova-compute is inactive"},
		{"all at once", false, []string{first}, stopped, "a guest of " + first +
			" runs by now: a restart of nova-compute would power it off. If it may go, destroy: true; the unit nova-compute is inactive"},
	} {
		got := ""
		if err := (parameters{Destroy: test.destroy}).refusal(test.running, test.service); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: got %q", test.name, got)
		}
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
		{"the unit is not there", "systemd has loaded none of the units nova-compute, openstack-nova-compute, ", func(s *stage) {
			s.asked = func(context.Context, string) (string, error) {
				return "Id=nova-compute.service\nLoadState=not-found\nActiveState=inactive", nil
			}
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

func TestARestartIsOneOnceTheUnitRunsAnew(t *testing.T) {
	// looks are what is seen of the unit after it was asked to restart, the last one for ever, and what was logged before.
	type look struct{ state, invocation, job, logged string }
	const old, fresh = "1", "2"
	for _, test := range []struct {
		name   string
		looks  []look
		logged string // since then
		failed string
	}{
		{"at once", []look{{"active", fresh, "", "new\n"}}, "", ""},
		{
			"the old process goes on for long",
			[]look{
				{"active", old, "7", "old\n"}, {"deactivating", old, "7", "old\n"}, {"activating", fresh, "7", "old\n"},
				{"active", fresh, "", "new\n"},
			},
			"new\n", "",
		},
		{"it has stopped, and is about to start", []look{{"inactive", old, "7", ""}, {"active", fresh, "0", "new\n"}}, "", ""},
		{"it starts again by itself", []look{{"activating", fresh, "", "old\n"}, {"active", fresh, "", "new\n"}}, "new\n", ""},
		{"it never stops", []look{{"deactivating", old, "7", "old\n"}}, "", "nova-compute does not run anew yet, which may still happen"},
		{"it never says that it is ready", []look{{"activating", fresh, "7", ""}}, "", "nova-compute does not run anew yet"},
		{"it fails", []look{{"activating", fresh, "7", ""}, {"failed", fresh, "", ""}}, "", "nova-compute is failed after its restart: start it"},
		{"it ends", []look{{"inactive", fresh, "", ""}}, "", "the unit nova-compute is inactive after its restart"},
		// systemd keeps the ID of the run before where a start does not come to a run: a condition, a unit that it requires, its limit.
		{"it does not come to a start", []look{{"deactivating", old, "7", ""}, {"inactive", old, "", ""}}, "", "is inactive after its restart"},
		{"it may not start so often", []look{{"failed", old, "", ""}}, "", "is failed after its restart"},
		{"somebody cancels it", []look{{"active", old, "", ""}}, "", "the unit nova-compute was not restarted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, asked := newStage(t), 0
			here := host{s, func(context.Context, ...string) (string, error) {
				seen := test.looks[min(asked, len(test.looks)-1)]
				asked++
				s.write(s.log, seen.logged)
				return fmt.Sprintf("Id=nova-compute.service\nLoadState=loaded\nActiveState=%s\nInvocationID=%s\nJob=%s\n",
					seen.state, seen.invocation, seen.job), nil
			}, time.Millisecond}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			service := compute{
				deployment: deploymentOf("nova-compute"), state: unit{name: "nova-compute", invocation: old}, log: &fileLog{path: s.log},
			}
			end, err := here.awaitRestart(ctx, service)
			if test.failed != "" {
				if err == nil || !strings.Contains(err.Error(), test.failed) {
					t.Errorf("got %q, %v", end, err)
				}
				return
			}
			log, unread := here.openLog(end)
			if err = errors.Join(err, unread); err != nil {
				t.Fatal(err)
			}
			if got, err := log.read(t.Context()); got != test.logged || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestAContainerThatNoUnitStartsIsRestartedByItsEngine(t *testing.T) {
	s := newStage(t, hypervisortest.Guest{UUID: first})
	s.asked = func(context.Context, string) (string, error) {
		return "Id=nova-compute.service\nLoadState=not-found\nActiveState=inactive", nil
	}
	since := "2026-11-28T06:00:00Z"
	s.engine = func(argv ...string) (string, error) {
		switch command := strings.Join(argv, " "); {
		case strings.HasPrefix(command, "docker container inspect ") && argv[len(argv)-1] == "nova_compute":
			return `{"Status": "running", "StartedAt": "` + since + `"}`, nil
		case strings.HasPrefix(command, "systemd-run ") && strings.HasSuffix(command, " -- docker restart -t 60 nova_compute"):
			s.write(s.log, "the last line of the old process\n")
			since = "2026-11-28T07:00:00Z"
			return "", nil
		}
		return "", exec.ErrNotFound
	}
	answer := s.call(map[string]any{"reap": first})
	if !answer.Get("changed").Bool() || answer.Get("service").String() != "nova_compute" || since != "2026-11-28T07:00:00Z" {
		t.Fatalf("got %s, sent %q", answer, s.sent)
	}
	log, err := host{}.openLog(answer.Get("log_end").String())
	if err != nil {
		t.Fatal(err)
	}
	if text, err := log.read(t.Context()); text != "" || err != nil {
		t.Errorf("read %q, %v", text, err)
	}
}

func TestALogThatIsBeingRotatedIsThereAgainInAMoment(t *testing.T) {
	s, asked := newStage(t, hypervisortest.Guest{UUID: first}), 0
	s.asked = func(_ context.Context, question string) (string, error) {
		if asked++; question == "restart" {
			return "", os.Rename(s.log, s.log+".1")
		}
		if asked == 5 {
			s.write(s.log, "")
		}
		return active, nil
	}
	answer := s.call(map[string]any{"reap": first})
	if !answer.Get("changed").Bool() || answer.Get("failed").Bool() || !strings.HasSuffix(answer.Get("log_end").String(), "+0") {
		t.Errorf("got %s", answer)
	}
}

func TestARestartThatDoesNotEndIsNotARestart(t *testing.T) {
	s := newStage(t, hypervisortest.Guest{UUID: first})
	s.asked = func(ctx context.Context, question string) (string, error) {
		if question == "show" {
			return active, nil
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
					return strings.Replace(active, "=active", "=deactivating", 1), nil
				}
				if strings.HasPrefix(test.msg, "nothing") {
					s.Remove(first)
				}
				return strings.Replace(active, "=active", "="+test.then, 1), nil
			}
			reap := map[string]any{"reap": first}
			answer := s.call(reap)
			if s.restarts() != test.restarts || !strings.HasPrefix(answer.Get("msg").String(), test.msg) {
				t.Errorf("got %s, sent %q", answer, s.sent)
			}
		})
	}
}
