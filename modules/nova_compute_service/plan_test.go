package main

import (
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/compute"
)

func TestWhatIsPutBackIsWhatWasChanged(t *testing.T) {
	plain, forced := setting{Status: "enabled"}, setting{Status: "enabled", ForcedDown: true}
	off, fan := setting{Status: "disabled", DisabledReason: "disk"}, setting{Status: "disabled", DisabledReason: "fan"}
	offForced := setting{Status: "disabled", DisabledReason: "disk", ForcedDown: true}
	for _, test := range []struct {
		name      string
		now       setting
		was, left setting
		want      setting
		refused   bool
	}{
		{"the flag", forced, plain, forced, plain, false},
		{"the flag is back already", plain, plain, forced, plain, false},
		{"the flag was set before: it stays set", forced, forced, plain, forced, false},
		{"the flag that was taken away is set again", plain, forced, plain, forced, false},
		{"the flag only: somebody else's status stays", offForced, plain, forced, off, false},
		{"the status with its reason, which an earlier version has set", plain, off, plain, plain, true},
		{"the status is back already", off, off, plain, off, false},
		{"the reason was changed since", fan, plain, off, fan, true},
		{"both", offForced, plain, offForced, offForced, true},
		{"both, and the status is back already", forced, plain, offForced, plain, false},
		{"a run that changed nothing", fan, plain, plain, fan, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			service := serviceOf(test.now)
			from := record{Before: test.was, ChangedTo: test.left, Left: &service}
			flag, told, err := restored(service, from, from.objection(service, nil, false))
			got := test.now
			if got.ForcedDown = flag; got != test.want || (err != nil) != test.refused || told != "" {
				t.Errorf("got %+v, %q, %v", got, told, err)
			}
		})
	}
}

func serviceOf(now setting) compute.Service {
	at := "2026-01-29T13:42:02.000000"
	return compute.Service{ID: "s", Host: "h", Binary: binary, ForcedDown: now.ForcedDown, Status: now.Status,
		DisabledReason: &now.DisabledReason, UpdatedAt: &at}
}

func TestTheFlagIsPutBackOnlyIfNobodyElseCanHaveSetIt(t *testing.T) {
	up, down := setting{Status: "enabled"}, setting{Status: "enabled", ForcedDown: true}
	was := func(now setting, at string) *compute.Service {
		service := serviceOf(now)
		service.UpdatedAt = &at
		return &service
	}
	same := *serviceOf(up).UpdatedAt
	for _, test := range []struct {
		name      string
		now       setting
		was, left setting
		asLeft    *compute.Service
		want      setting
		told      string
		age       time.Duration
	}{
		{name: "as it was left", now: down, was: up, left: down, asLeft: was(down, same), want: up, age: longAgo},
		{"X9 as it was left, long ago", down, up, down, was(down, same), down, "who has fenced the host since wrote nothing", longAgo +
			time.Second},
		{"written since", down, up, down, was(down, "2026-01-29T13:42:01.000000"), down, "compute service set --up h nova-compute", 0},
		{"not known how it was left", down, up, down, nil, down, "compute service set --up h nova-compute", 0},
		{"no time is known", down, up, down, &compute.Service{ForcedDown: true}, down, "did not come to write down", 0},
		{"another flag was left", down, up, down, was(up, same), down, "was written", 0},
		{"back already, and written since", up, up, down, was(down, "2026-01-29T13:42:01.000000"), up, "", 0},
		{"back already, and not known how it was left", up, up, down, nil, up, "", 0},
		{"taken away, and as it was left", up, down, up, was(up, same), down, "", 0},
		{"taken away, and written since", up, down, up, was(up, "2026-01-29T13:42:01.000000"), up, "compute service set --down h nova-compute",
			0},
	} {
		t.Run(test.name, func(t *testing.T) {
			from := record{Before: test.was, ChangedTo: test.left, Left: test.asLeft, age: test.age}
			flag, told, err := restored(serviceOf(test.now), from, from.objection(serviceOf(test.now), nil, false))
			got := test.now
			if got.ForcedDown = flag; got != test.want || err != nil || (told == "") != (test.told == "") || !strings.Contains(told, test.told) {
				t.Errorf("got %+v, %q, %v", got, told, err)
			}
		})
	}
}

func TestWhoseFlagItMayStillBe(t *testing.T) {
	up, down := setting{Status: "enabled"}, setting{Status: "enabled", ForcedDown: true}
	start := time.Date(2026, 1, 29, 13, 42, 2, 0, time.UTC)
	// run is one that wrote so many minutes later; what it changed, it came to read back.
	run := func(path string, minutes int, before, after setting) record {
		left := serviceOf(after)
		at := start.Add(time.Duration(minutes) * time.Minute)
		return record{Service: serviceOf(before), Before: before, ChangedTo: after, At: at, Left: &left, LeftAt: at.Add(time.Second), path: path,
			instance: "own"}
	}
	killed := func(r record) record { r.Left, r.LeftAt = nil, time.Time{}; return r }
	others := func(r record, age time.Duration) record { r.instance, r.age = "other", age; return r }
	elsewhere := run("elsewhere", 0, up, down)
	elsewhere.Service.ID, elsewhere.Left.ID = "o", "o"
	forced, off := run("forced", 0, up, down), setting{Status: "disabled"}
	for _, test := range []struct {
		name    string
		history []record
		want    string
	}{
		{"no run", nil, ""},
		{"forced down", []record{forced}, "forced"},
		{"killed", []record{killed(forced)}, "forced"},
		{"put back", []record{forced, run("back", 1, down, up)}, ""},
		{"killed when it put it back", []record{forced, killed(run("back", 1, down, up))}, "forced"},
		{"put back, and forced down again", []record{forced, run("back", 1, down, up), run("again", 2, up, down)}, "again"},
		{"put back by a run that had written before, and forced down by one that was killed",
			[]record{forced, run("back", 1, down, up), killed(run("again", 2, up, down))}, "again"},
		{"both found it up", []record{forced, run("too", 1, up, down)}, "too forced"},
		{"disabled since", []record{forced, run("disabled", 1, down, setting{Status: "disabled", ForcedDown: true})}, "forced"},
		{"disabled while it was up", []record{forced, run("disabled", 1, up, off)}, ""},
		{"two hosts", []record{forced, elsewhere}, "forced elsewhere"},
		{"another's", []record{others(forced, time.Minute)}, "forced"},
		{"another's, long ago", []record{others(forced, longAgo+1)}, ""},
		{"its own before another's", []record{forced, others(run("others", 1, up, down), 0)}, "forced others"},
		{"its own after another's", []record{others(run("others", 0, up, down), 0), run("own", 1, up, down)}, "own others"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, one := range leftovers(test.history, "own") {
				got = append(got, one.path)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// nova-compute writes its schedule by itself when it loses libvirt, and when it has it again.
func TestNovaComputesOwnJudgementOfLibvirtIsNobodyElses(t *testing.T) {
	at := "2026-11-26T12:00:00.000000"
	left := compute.Service{ID: "1", Host: "compute1", Binary: binary, Status: "enabled", ForcedDown: true, UpdatedAt: &at}
	r := record{Service: left, ChangedTo: settingOf(left), Left: &left, age: time.Minute}
	for reason, objects := range map[string]bool{"AUTO: Connection to libvirt lost: 1": false, "maintenance": true} {
		now := left
		now.Status, now.DisabledReason = "disabled", &reason
		if why := r.objection(now, nil, true); objects != (why != "") {
			t.Errorf("%s: %q", reason, why)
		}
	}
}
