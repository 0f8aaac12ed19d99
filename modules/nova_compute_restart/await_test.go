package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/hypervisor/hypervisortest"
)

func TestUntilWhenItIsWaited(t *testing.T) {
	begun := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	p := parameters{Reap: []string{first, second}, PassDeadline: 180, ReapDeadline: 30}
	for _, test := range []struct {
		name   string
		traced time.Time
		want   time.Duration
	}{
		{"the pass was not seen", time.Time{}, 180 * time.Second},
		{"the pass was seen at once", begun, 34 * time.Second},
		{"the pass was seen late", begun.Add(170 * time.Second), 204 * time.Second},
	} {
		if got := p.until(begun, test.traced).Sub(begun); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

func TestWhatIsATraceOfThePass(t *testing.T) {
	for line, want := range map[string]bool{
		"found 1 instances in the database and 2 instances on the hypervisor.":                             true,
		"[instance: " + first + "] Destroying instance with name label 'i' which is marked as DELETED but": true,
		"[instance: " + second + "] Instance destroyed successfully.":                                      true,
		"[instance: " + third + "] Instance destroyed successfully.":                                       false,
		"[instance: " + first + "] VM Stopped (Lifecycle Event)\n[x] Instance destroyed":                   false,
		"Compute_service record updated for compute2:compute2":                                             false,
	} {
		if got := traces([]string{first, second}).MatchString(line); got != want {
			t.Errorf("%q: got %t", line, got)
		}
	}
}

// since restarts, and returns what a wait begins with.
func (s *stage) since(reap ...any) map[string]any {
	s.t.Helper()
	answer := s.call(map[string]any{"resume": third})
	return map[string]any{"state": "reaped", "log_since": answer.Get("log_end").String(), "reap": reap}
}

func TestItIsWaitedUntilTheDomainsAreGone(t *testing.T) {
	s := newStage(t, hypervisortest.Guest{UUID: first}, hypervisortest.Guest{UUID: second})
	call := s.since(first, second)
	call["pass_deadline"], call["reap_deadline"] = 60, 60
	looks := 0
	s.Before = func(string, string) error {
		switch looks++; looks {
		case 3:
			s.write(s.log, "["+first+"] which is marked as DELETED\n")
			s.Remove(first)
		case 5:
			return errors.New("libvirtd restarts")
		case 8:
			s.Remove(second)
		}
		return nil
	}
	answer := s.call(call)
	if answer.Get("failed").Bool() || answer.Get("left").Raw != "[]" || answer.Get("changed").Bool() || looks < 9 ||
		answer.Get("warnings").Exists() {
		t.Errorf("got %s after %d looks", answer, looks)
	}
}

func TestWhatIsNotReapedInTimeIsTold(t *testing.T) {
	for _, test := range []struct{ name, logged, over string }{
		{"no pass is seen", "nothing to do with it", "pass_deadline"},
		{"a pass is seen, and does not reap", "2 instances on the hypervisor.", "reap_deadline"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t, hypervisortest.Guest{UUID: first})
			call := s.since(first, second)
			// Only the deadline that counts is over.
			call["pass_deadline"], call["reap_deadline"] = 60, 60
			call[test.over] = 0
			if test.over == "reap_deadline" {
				call["reap"] = []any{first}
			}
			s.write(s.log, test.logged+"\n")
			answer := s.call(call)
			if answer.Get("failed").Bool() || answer.Get("left").Raw != `["`+first+`"]` || answer.Get("warnings.0").String() != "nova-compute has not reaped "+first {
				t.Errorf("got %s", answer)
			}
		})
	}
}

func TestALogThatSaysNothingIsTold(t *testing.T) {
	for logged, silent := range map[string]bool{"": true, "half a line": true, "a line\n": false} {
		s := newStage(t, hypervisortest.Guest{UUID: first})
		call := s.since()
		s.write(s.log, logged)
		answer := s.call(call)
		if answer.Get("log_silent").Bool() != silent || answer.Get("warnings").Exists() != silent || answer.Get("failed").Bool() {
			t.Errorf("%q: got %s", logged, answer)
		}
	}
}

func TestALibvirtThatIsGoneIsNoReapedDomain(t *testing.T) {
	s := newStage(t, hypervisortest.Guest{UUID: first})
	call := s.since(first)
	s.Before = func(string, string) error { return errors.New("libvirtd is gone") }
	answer := s.call(call)
	if !answer.Get("failed").Bool() || answer.Get("left").Exists() || !strings.Contains(answer.Get("msg").String(), "libvirtd is gone") {
		t.Errorf("got %s", answer)
	}
}

func TestWhatIsComplainedOfSinceTheRestart(t *testing.T) {
	const complaint = "] Instance " + first + " is not being actively managed by this compute host but has allocations referencing it\n"
	other := strings.ReplaceAll(complaint, first, second)
	fresh := func(s *stage, text string) { // a rotation by rename
		_ = os.Rename(s.log, s.log+".1")
		s.write(s.log, text)
	}
	for _, test := range []struct {
		name    string
		before  string
		then    func(*stage)
		want    string
		rotated bool
		failed  bool
	}{
		{"nothing", "", func(*stage) {}, "[]", false, false},
		{"once, whoever it is", "", func(s *stage) { s.write(s.log, other+complaint+complaint) }, `["` + second + `","` + first + `"]`, false, false},
		{"nothing that was before", complaint, func(s *stage) { s.write(s.log, other) }, `["` + second + `"]`, false, false},
		{"nothing that is half written", "", func(s *stage) { s.write(s.log, strings.TrimSuffix(complaint, "\n")) }, "[]", false, false},
		{"after a rotation by rename", complaint, func(s *stage) { fresh(s, other) }, `["` + second + `"]`, true, false},
		{"after one to a longer log", "", func(s *stage) { fresh(s, other+strings.Repeat("x\n", 200)) }, `["` + second + `"]`, true, false},
		{"after a rotation by truncation", complaint, func(s *stage) {
			_ = os.Truncate(s.log, 0)
			s.write(s.log, other)
		}, `["` + second + `"]`, true, false},
		{"not known where there is no log any more", "", func(s *stage) { _ = os.Remove(s.log) }, "", false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t)
			s.write(s.log, test.before)
			call := s.since()
			s.write(s.log, "Starting compute node\n")
			test.then(s)
			answer := s.call(call)
			if got := answer.Get("complained").Raw; got != test.want || answer.Get("log_rotated").Bool() != test.rotated ||
				answer.Get("failed").Bool() != test.failed || answer.Get("warnings").Exists() != test.rotated {
				t.Errorf("got %s", answer)
			}
		})
	}
}

func TestALogThatIsRotatedWhileItIsReadIsReadOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s, log := &stage{t: t}, &fileLog{path: path}
	s.write(path, "before\n")
	if _, err := log.place(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := func(text string, rotated bool) {
		t.Helper()
		if got, err := log.read(t.Context()); got != text || err != nil || log.rotated() != rotated {
			t.Errorf("got %q, rotated %t, %v", got, log.rotated(), err)
		}
	}
	want("", false)
	s.write(path, "one\ntw")
	want("one\n", false)
	s.write(path, "o\n")
	want("two\n", false)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if _, err := log.read(t.Context()); err == nil {
		t.Error("a log between two files is read")
	}
	s.write(path, "three\n")
	want("three\n", true)
	want("", true)
}
