package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestTheLadderGoesOnOnlyWhileTheInstanceIsStillThere(t *testing.T) {
	all, isGone := []string{byForce, byReset, byDelete}, "it is gone"
	for _, test := range []struct {
		name    string
		given   []string
		changes []change
		comes   []string // what comes of each method that is tried
		want    string   // one method a word, with its outcome
		words   string   // of the last
	}{
		{"the first helps", all, nil, []string{gone}, "delete:gone reset_state:skipped force_delete:skipped", isGone},
		{"the second helps", all, nil, []string{stillThere, gone}, "delete:still_there reset_state:gone force_delete:skipped", isGone},
		{"none helps", all, nil, []string{stillThere, stillThere, stillThere},
			"delete:still_there reset_state:still_there force_delete:still_there", ""},
		{"a refusal is a stop", all, nil, []string{refused}, "delete:refused reset_state:skipped force_delete:skipped",
			"it was stopped: the outcome of delete is refused"},
		{"not to know is a stop", all, nil, []string{stillThere, unknown}, "delete:still_there reset_state:unknown force_delete:skipped",
			"it was stopped: the outcome of reset_state is unknown"},
		{"each once", []string{byReset, byDelete, byReset}, nil, []string{stillThere, stillThere},
			"delete:still_there reset_state:still_there", ""},
		{"in a task", all, []change{inTask("deleting")}, []string{stillThere, gone},
			"delete:skipped reset_state:still_there force_delete:gone", ""},
		{"in a task, and force comes next", []string{byForce, byDelete}, []change{inTask("rebuilding")}, []string{gone},
			"delete:skipped force_delete:gone", ""},
		{"in a task, and delete alone is given", []string{byDelete}, []change{inTask("deleting")}, []string{stillThere},
			"delete:still_there", ""},
		{"a build request", all, []change{request}, []string{stillThere}, "delete:still_there reset_state:skipped force_delete:skipped",
			"a delete of its build request is all that there is"},
		{"a build request, and delete is not given", []string{byReset, byForce}, []change{request}, []string{stillThere, gone},
			"reset_state:still_there force_delete:gone", ""},
		{"gone already", all, []change{func(e *evidence, _ *parameters) { e.server = nil }}, nil,
			"delete:skipped reset_state:skipped force_delete:skipped", "the API does not find it"},
		{"a check", all, nil, []string{planned}, "delete:planned reset_state:planned force_delete:planned", "if it is still there then"},
		{"a check, in a task", all, []change{inTask("deleting")}, []string{planned}, "delete:skipped reset_state:planned force_delete:planned",
			"if it is still there then"},
		{"a check of a build request", all, []change{request}, []string{planned}, "delete:planned reset_state:skipped force_delete:skipped", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := base()
			for _, one := range test.changes {
				one(&e, &parameters{})
			}
			l, goOn := newLadder(test.given), true
			l.leaveOut(e.server)
			for i, outcome := range test.comes {
				if !goOn {
					t.Errorf("it ends before it is %s", outcome)
				}
				goOn = l.note(outcome, "")
				if last := i == len(test.comes)-1; last == goOn {
					t.Errorf("after %s it goes on: %v", outcome, goOn)
				}
			}
			if got := inOneLine(l); got != test.want || !strings.Contains(l[len(l)-1].Msg, test.words) {
				t.Errorf("got %s, %q, want %s, %q", got, l[len(l)-1].Msg, test.want, test.words)
			}
		})
	}
}

func inOneLine(l ladder) string {
	var words []string
	for _, one := range l {
		words = append(words, one.Method+":"+one.Outcome)
	}
	return strings.Join(words, " ")
}

// became is inOneLine of an answer, with what was sent.
func became(answer gjson.Result) string {
	var words []string
	for _, one := range answer.Get("tries").Array() {
		words = append(words, one.Get("method").String()+":"+one.Get("outcome").String())
	}
	for _, one := range answer.Get("requests").Array() {
		words = append(words, one.Get("method").String())
	}
	return strings.Join(words, " ")
}

func TestWhatComesInBetweenEndsTheLadder(t *testing.T) {
	const afterDelete = "delete:still_there reset_state:%s force_delete:skipped DELETE"
	for _, test := range []struct {
		name string
		// then happens when the first delete has ended in an error.
		then    func(s *stage, uuid string)
		want    string
		outcome string
		words   []string
	}{
		{"somebody starts it", func(s *stage, uuid string) { s.set(uuid, "active", "", 0) }, fmt.Sprintf(afterDelete, refused), refused,
			[]string{"nothing was deleted", "is live"}},
		{"somebody has it rebuilt in the very second", func(s *stage, uuid string) { s.set(uuid, "error", "rebuilding", 0) },
			fmt.Sprintf(afterDelete, refused), refused, []string{"is busy", "rebuilding", "reset_state resets the task only when"}},
		{"somebody locks it", func(s *stage, uuid string) { s.lock(uuid) }, fmt.Sprintf(afterDelete, refused), refused, []string{"locked"}},
		{"somebody deletes it", func(s *stage, uuid string) { s.vanish(uuid) },
			"delete:still_there reset_state:skipped force_delete:skipped DELETE", gone, []string{"is gone by now"}},
		{"somebody deletes it just before the next delete", func(s *stage, uuid string) {
			s.at(arrived, "DELETE", "/servers/", func() { s.vanish(uuid) })
		}, "delete:still_there reset_state:gone force_delete:skipped DELETE DELETE", gone, []string{"is gone by now"}},
		{"Nova refuses the next", func(s *stage, _ string) {
			s.nova.(fakeNova).cloud.Fail(openstacktest.Failure{Method: "DELETE", Path: servicesPath, Times: 1, Status: 403})
		}, fmt.Sprintf(afterDelete, refused) + " DELETE", refused, []string{"nova answered 403"}},
		{"the next gets no certain answer", func(s *stage, _ string) {
			s.nova.(fakeNova).cloud.Fail(openstacktest.Failure{Method: "DELETE", Path: servicesPath, Times: 1, Status: 504})
		}, fmt.Sprintf(afterDelete, unknown) + " DELETE", unknown, []string{"no trace of the delete is seen", "nova answered 504"}},
		{"Nova cannot be read", func(s *stage, _ string) {
			s.nova.(fakeNova).cloud.Fail(openstacktest.Failure{Method: "GET", Path: servicesPath + "os-migrations", Times: 1, Status: 500})
		}, fmt.Sprintf(afterDelete, unknown), unknown, []string{"cannot tell what instance", "nova answered 500"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newFakeStage(t)
			uuid := s.boot(true)
			s.spoil(uuid)
			look := func(do func()) func() { return func() { s.at(answered, "GET", "/servers/", do) } }
			s.at(answered, "DELETE", "/servers/", look(look(func() { test.then(s, uuid) }))) // the second look has the error
			answer := s.start(uuid, options{"methods": methods, "timeout": 2}).Answer()
			if got := became(answer); got != test.want || answer.Get("outcome").String() != test.outcome || !answer.Get("changed").Bool() {
				t.Errorf("got %s, want %s: %s", got, test.want, answer)
			}
			for _, words := range test.words {
				if msg := answer.Get("msg").String(); !strings.Contains(msg, words) {
					t.Errorf("want %q, got %s", words, msg)
				}
			}
			if files := s.backups(uuid); len(files) != 1 {
				t.Errorf("backups: %v", files)
			}
		})
	}
}

func TestEachMethodHasTheWholeTimeAndTakesWhatTheOneBeforeWroteForNoSignOfLife(t *testing.T) {
	s := newFakeStage(t)
	cloud, uuid := s.nova.(fakeNova).cloud, s.boot(true)
	cloud.Do(func() { cloud.Services[0].Agent = "hangs" })
	s.at(arrived, "POST", "/servers/", func() { cloud.Do(func() { cloud.Services[0].Agent = "" }) })
	started := time.Now()
	answer := s.start(uuid, options{"methods": methods, "timeout": 2}).Done(true)
	if got := became(answer); got != "delete:still_there reset_state:gone force_delete:skipped DELETE POST DELETE" {
		t.Errorf("got %s: %s", got, answer)
	}
	if msg := answer.Get("tries.0.msg").String(); !strings.Contains(msg, "was not over in time") || time.Since(started) < time.Second {
		t.Errorf("after %s: %s", time.Since(started), msg)
	}
	if plan := answer.Get("plan.#").Int(); plan != 5 || len(s.backups(uuid)) != 1 {
		t.Errorf("backups %v, the plan is %s", s.backups(uuid), answer.Get("plan"))
	}
}

func TestWhatNovaComputeWritesLastOfADeleteThatFailedIsNoSignOfLife(t *testing.T) {
	for _, test := range []struct {
		name    string
		written func(*openstacktest.Server) // a second after the error
		want    string
	}{
		{"it takes its task away", func(*openstacktest.Server) {}, "delete:still_there reset_state:gone force_delete:skipped DELETE DELETE"},
		{"somebody changes what this module does not look at, too", func(s *openstacktest.Server) { s.UserData = "mine" },
			"delete:still_there reset_state:refused force_delete:skipped DELETE"},
		{"somebody attaches a volume, too", func(s *openstacktest.Server) { s.Volumes = map[string]bool{openstacktest.UUID(): false} },
			"delete:still_there reset_state:refused force_delete:skipped DELETE"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newFakeStage(t)
			cloud, uuid := s.nova.(fakeNova).cloud, s.boot(true)
			s.spoil(uuid)
			s.migration(uuid, "running", 72*time.Hour)
			look := func(do func()) func() { return func() { s.at(answered, "GET", "/servers/", do) } }
			s.at(answered, "DELETE", "/servers/", look(look(func() { // the second look has the error
				s.nova.(fakeNova).change(uuid, func(server *openstacktest.Server) {
					test.written(server)
					server.Updated = server.Updated.Add(time.Second)
				})
				cloud.Do(func() { cloud.Services[0].Agent = "" })
			})))
			answer := s.start(uuid, options{"methods": methods, "allow_stuck_migration": true}).Answer()
			if got := became(answer); got != test.want {
				t.Errorf("got %s, want %s: %s", got, test.want, answer)
			}
		})
	}
}

func TestADeleteWhoseAnswerWasLostIsNotTakenForThisCallsOwn(t *testing.T) {
	s := newFakeStage(t)
	cloud, uuid := s.nova.(fakeNova).cloud, s.boot(true)
	cloud.Do(func() { cloud.Services[0].Agent = "hangs" })
	cloud.Fail(openstacktest.Failure{Method: "DELETE", Path: servicesPath, Times: 1, Status: 504, Lost: true})
	answer := s.start(uuid, options{"methods": methods, "timeout": 1}).Failed(true, "the delete that is under way was not over in time")
	if got := became(answer); got != "delete:still_there reset_state:refused force_delete:skipped DELETE" {
		t.Errorf("got %s: %s", got, answer)
	}
}

func TestNoOtherMethodIsBegunWhenAnsibleGoesAway(t *testing.T) {
	s := newFakeStage(t)
	uuid := s.boot(true)
	s.spoil(uuid)
	started := make(chan interface{ Interrupt() }, 1)
	s.at(answered, "DELETE", "/servers/", func() { (<-started).Interrupt() })
	process := s.start(uuid, options{"methods": methods})
	started <- process
	answer := process.Failed(true, "the delete ended in an error", "(reset_state was not tried: ")
	if got := became(answer); got != "delete:still_there reset_state:skipped force_delete:skipped DELETE" {
		t.Errorf("got %s: %s", got, answer)
	}
	if msg := answer.Get("tries.2.msg").String(); !strings.HasPrefix(msg, "it was stopped: ") {
		t.Errorf("got %s", msg)
	}
}

func TestWhatThisCallWroteIsNoSignOfLifeOnlyAsLongAsNobodyElseHasWritten(t *testing.T) {
	left := compute.Server{Updated: now.Format(time.RFC3339), VMState: "error", TaskState: "deleting"}
	for _, test := range []struct {
		name   string
		change func(*compute.Server)
		fresh  bool
	}{
		{"as it was left", func(*compute.Server) {}, false},
		{"written later", func(s *compute.Server) { s.Updated = now.Add(time.Second).Format(time.RFC3339) }, true},
		{"in another task", func(s *compute.Server) { s.TaskState = "rebuilding" }, true},
		{"in another state", func(s *compute.Server) { s.VMState = "active" }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			server, p := left, parameters{}
			p.MinAge = 300
			test.change(&server)
			e := evidence{server: &server, own: &left}
			if fresh := e.policy(p).Fresh(now.Add(2*time.Second), server.UpdatedAt()); fresh != test.fresh {
				t.Errorf("it counts as fresh: %v", fresh)
			}
		})
	}
}
