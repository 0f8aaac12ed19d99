package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/openstack/openstacktest"
)

func TestAHostIsPutBackOnlyWhileItIsAsTheRunLeftIt(t *testing.T) { testFence(t, newFakeStage) }

// testFence is harm.md X9.
func testFence(t *testing.T, newStage func(*testing.T) *stage) {
	for _, test := range []struct {
		name      string
		meanwhile func(*stage)
		asLeft    bool
		down      bool
	}{
		{"nothing has happened", func(*stage) {}, true, false},
		{"somebody put it back", func(s *stage) { s.forceDown(false) }, false, false},
		{"somebody put it back, and somebody has fenced it since", func(s *stage) { s.forceDown(false); s.report(); s.forceDown(true) }, false,
			true},
		{"it was written since, and its nova-compute does not report", func(s *stage) { s.report() }, false, true},
		{"somebody has disabled it since", func(s *stage) { s.disable("fenced") }, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newStage(t)
			file := s.start(options{"forced_down": true}).Done(true).Get("backup_file").String()
			test.meanwhile(s)
			left := s.left()
			if len(left) > 1 || test.asLeft != (len(left) == 1 && left[0].Get("as_left").Bool()) || (test.asLeft || test.down) != (len(left) == 1) {
				t.Fatalf("left: %v", left)
			}
			if len(left) == 1 && (left[0].Get("host").String() != s.host() || left[0].Get("backup_file").String() != file) {
				t.Errorf("left: %s", left[0])
			}
			own := s.start(options{"host": nil, "put_back": true, "timeout": 5, "_ansible_check_mode": true}).Done(test.asLeft)
			if got := own.Get("services.#").Int() == 1; got != test.asLeft || own.Get("left_forced_down.#").Int() != int64(len(left)) {
				t.Errorf("put_back would do %s", own)
			}
			check := s.start(options{"backup_file": file, "timeout": 5, "_ansible_check_mode": true}).Done(test.asLeft)
			done := s.start(options{"backup_file": file, "timeout": 5}).Done(test.asLeft)
			if check.Get("plan").Raw != done.Get("plan").Raw || check.Get("warnings").Raw != done.Get("warnings").Raw {
				t.Errorf("the check said %s, the run did %s", check, done)
			}
			s.wants(test.down)
			told := "nova-compute on " + s.host() + " is forced down, and stays so"
			if test.down != strings.Contains(done.Get("msg").String(), told) ||
				test.down != strings.Contains(done.Get("warnings.0").String(), told) {
				t.Errorf("got %s", done)
			}
			// Whoever is told may say so.
			s.start(options{"forced_down": false}).Done(test.down)
			if left = s.left(); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestAHostWhoseNovaComputeReportsIsPutBack(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	cloud.Services = []openstacktest.Service{{ID: "f86eb1b1-347d-4f09-a306-455707d1478c", Host: theHost, Binary: "nova-compute",
		Reports: true}}
	s := newStage(t, fakeNova{cloud})
	file := s.start(options{"forced_down": true}).Done(true).Get("backup_file").String()
	left := s.left()
	if len(left) != 1 || !left[0].Get("as_left").Bool() || left[0].Get("backup_file").String() != file {
		t.Fatalf("left: %v", left)
	}
	s.start(options{"backup_file": file}).Done(true)
	s.wants(false)
}

func TestWhatRunsHaveLeftIsPutBackWhereItIsCertainlyTheirs(t *testing.T) {
	s := newFakeStage(t)
	s.start(options{"forced_down": true}).Done(true)
	for _, change := range []bool{true, false} {
		answer := s.start(options{"host": nil, "put_back": true}).Done(change)
		if got := answer.Get("left_forced_down.#").Int() == 1; got != change {
			t.Errorf("got %s", answer)
		}
		s.wants(false)
	}
}

func TestWhatARunForAnotherInstanceHasLeftIsPutBack(t *testing.T) {
	s := newFakeStage(t)
	file := s.start(options{"forced_down": true, "instance_uuid": another}).Done(true).Get("backup_file").String()
	// That run may still be at work.
	s.start(options{"host": nil, "put_back": true}).Done(false)
	s.wants(true)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"at", "left_at"} {
		when := gjson.GetBytes(content, "data."+at)
		content = bytes.ReplaceAll(content, []byte(when.Raw), []byte(strconv.Quote(when.Time().Add(-3*time.Minute).Format(time.RFC3339Nano))))
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(options{"host": nil, "put_back": true}).Done(true)
	s.wants(false)
}

func TestAReportIsWaitedForUntilTheTimeIsUp(t *testing.T) {
	s := newFakeStage(t)
	failed := s.start(options{"wait_for_report": true, "timeout": 1}).Failed(false,
		"nova-compute on compute1 has not reported to Nova since (last: ")
	if got := failed.Get("services.0.service.host").String(); got != theHost {
		t.Errorf("got %s", failed)
	}
	s.proxy.At(answered, "GET", "/os-services", func() bool { s.report(); return true })
	answer := s.start(options{"wait_for_report": true, "timeout": 20}).Done(false)
	if got := answer.Get("services.0"); got.Get("service.updated_at").String() == got.Get("service_before.updated_at").String() {
		t.Errorf("got %s", answer)
	}
}

func TestAFlagThatStaysSetIsNotSaidToBePutBackByAWriteThatWasLost(t *testing.T) {
	s := newFakeStage(t)
	file := s.start(options{"forced_down": true}).Done(true).Get("backup_file").String()
	s.proxy.At(arrived, "PUT", "/os-services/", func() bool {
		s.disable("fenced")
		return false
	})
	answer := s.start(options{"backup_file": file}).Done(false)
	if !strings.Contains(answer.Get("msg").String(), "stays so") || strings.Contains(answer.Get("warnings").String(), "it had happened") {
		t.Errorf("got %s", answer)
	}
	s.wants(true)
}

func TestWhatIsNoBackupStopsNoRunForAnotherInstance(t *testing.T) {
	for name, spoil := range map[string]func(folder string) error{
		"a copy that somebody keeps": func(folder string) error { return os.CopyFS(folder+".keep", os.DirFS(folder)) },
		"a file that ends early": func(folder string) error {
			return os.WriteFile(filepath.Join(folder, "20261127T000000.000000Z-nova_compute_service.json"), []byte(`{"format": 1, "mod`), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFakeStage(t)
			file := s.start(options{"forced_down": true}).Done(true).Get("backup_file").String()
			s.start(options{"backup_file": file}).Done(true)
			if err := spoil(filepath.Dir(file)); err != nil {
				t.Fatal(err)
			}
			answer := s.start(options{"host": nil, "instance_uuid": another}).Done(false)
			told := strings.Contains(answer.Get("warnings").String(), "is no backup")
			if answer.Get("left_forced_down").Raw != "[]" || told != (name == "a file that ends early") {
				t.Errorf("got %s", answer)
			}
		})
	}
}

func TestARunOfAnotherInstanceIsLeftAlone(t *testing.T) {
	s := newFakeStage(t)
	s.start(options{"forced_down": true}).Done(true)
	left := s.start(options{"host": nil, "instance_uuid": another}).Done(false).Get("left_forced_down").Array()
	if len(left) != 1 || left[0].Get("as_left").Bool() || !strings.Contains(left[0].Get("msg").String(), "by a run for "+instance) {
		t.Errorf("left: %v", left)
	}
}

// left asks what earlier runs have left, without naming a host. A short time is left for nova-compute to report.
func (s *stage) left() []gjson.Result {
	s.t.Helper()
	return s.start(options{"host": nil, "timeout": 5}).Done(false).Get("left_forced_down").Array()
}

func TestOfTwoRunsOnOneHostNeitherLeavesItDownForGood(t *testing.T) { testTwoRuns(t, newFakeStage) }

// testTwoRuns is review.md 8.3: one run's "before" may be what the other one has written.
func testTwoRuns(t *testing.T, newStage func(*testing.T) *stage) {
	down, up := options{"forced_down": true}, options{"forced_down": false}
	of := func(all options, uuid string) options {
		return options{"instance_uuid": uuid, "forced_down": all["forced_down"]}
	}
	t.Run("the second finds it down", func(t *testing.T) {
		s := newStage(t)
		s.start(of(down, instance)).Done(true)
		second := s.start(of(down, another)).Done(false)
		if second.Get("backup_file").String() != "" {
			t.Errorf("it has something to put back: %s", second)
		}
		s.start(of(up, instance)).Done(true)
		s.wants(false)
		if left := s.start(options{"host": nil, "instance_uuid": another}).Done(false).Get("left_forced_down").Raw; left != "[]" {
			t.Errorf("left: %s", left)
		}
	})
	t.Run("the second finds it down, and the first is killed", func(t *testing.T) {
		s := newStage(t)
		s.start(of(down, instance)).Done(true)
		s.start(of(down, another)).Done(false)
		left := s.left()
		if len(left) != 1 || !left[0].Get("as_left").Bool() {
			t.Fatalf("left: %v", left)
		}
		s.start(options{"backup_file": left[0].Get("backup_file").String()}).Done(true)
		s.wants(false)
	})
	for name, secondFirst := range map[string]bool{"both found it up, and the first puts it back first": false,
		"both found it up, and the second puts it back first": true} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.proxy.At(arrived, "PUT", "/os-services/", func() bool { s.start(of(down, another)).Done(true); return true })
			s.start(of(down, instance)).Done(true)
			files := append(s.backups(), s.backupsOf(another)...)
			if len(files) != 2 {
				t.Fatalf("backups: %v", files)
			}
			order := []string{instance, another}
			if secondFirst {
				order = []string{another, instance}
			}
			s.start(of(up, order[0])).Done(true)
			s.start(of(up, order[1])).Done(false)
			s.wants(false)
			for _, file := range files {
				s.start(options{"instance_uuid": nil, "backup_file": file}).Done(false)
				s.wants(false)
			}
		})
	}
}

func TestABackupThatIsNoneIsNamed(t *testing.T) {
	s := newFakeStage(t)
	s.start(options{"forced_down": true}).Done(true)
	file := s.backups()[0]
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(options{"host": nil}).Failed(false, filepath.Base(file), "no backup of nova-orphan")
	s.wants(true)
}
