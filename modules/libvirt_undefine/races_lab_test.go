//go:build lab

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nova-orphan/internal/hypervisor/hypervisortest"
)

// moments of an undefine of a domain that is off.
var (
	afterJudging = call(hypervisortest.LookupByUUID, 2) // and the backup; before libvirt is looked at again
	veryInstant  = call(hypervisortest.UndefineFlags, 1)
)

// racing is a guest, and what others do to it at a moment of the run.
type racing struct {
	guest     func(*hypervisortest.Guest)
	at        hypervisortest.Message
	arguments map[string]any
	meanwhile func(t *testing.T, guest hypervisortest.Guest)
	want      map[string]string
	// after is virsh's state of the domain; empty is none.
	after string
}

func virsh(args ...string) func(*testing.T, hypervisortest.Guest) {
	return func(t *testing.T, _ hypervisortest.Guest) { system.Run(t, args...) }
}

// defineAnother gives the guest's uuid a definition that no backup holds yet.
func defineAnother(t *testing.T, guest hypervisortest.Guest) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "another.xml")
	text := strings.Replace(guest.XML(), "<vcpu", "<description>another</description><vcpu", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	system.Run(t, "define", file)
}

var undefineRaces = map[string]racing{
	"started after it was judged": {
		at: afterJudging, meanwhile: virsh("start", "lab-race"),
		want:  map[string]string{"failed": "true", "changed": "false", "msg": "it was started meanwhile, so it was left as it is"},
		after: "running",
	},
	"started in the very instant: it runs on, defined": {
		at: veryInstant, meanwhile: virsh("start", "lab-race"),
		want:  map[string]string{"failed": "true", "changed": "true", "msg": "got its definition back"},
		after: "running",
	},
	"undefined by another": {
		at: veryInstant, meanwhile: virsh("undefine", "lab-race"),
		want: map[string]string{"failed": "false", "changed": "false", "msg": "was gone before"},
	},
	"powered off by another": {
		guest: func(g *hypervisortest.Guest) { g.Running = true },
		at:    call(hypervisortest.DestroyFlags, 1), meanwhile: virsh("destroy", "lab-race"),
		want: map[string]string{"failed": "false", "changed": "true", "verdict": ""},
	},
	"started anew before it was powered off": {
		guest: func(g *hypervisortest.Guest) { g.Running = true },
		at:    call(hypervisortest.LookupByUUID, 2),
		meanwhile: func(t *testing.T, _ hypervisortest.Guest) {
			system.Run(t, "destroy", "lab-race")
			system.Run(t, "start", "lab-race")
		},
		want:  map[string]string{"failed": "true", "changed": "false", "msg": "started anew since it was looked at"},
		after: "running",
	},
	"another definition under the same uuid: that is backed up, too": {
		at: afterJudging,
		meanwhile: func(t *testing.T, guest hypervisortest.Guest) {
			system.Run(t, "undefine", guest.Name)
			defineAnother(t, guest)
		},
		want: map[string]string{"failed": "false", "changed": "true"},
	},
	"another project's definition under the same uuid": {
		at: afterJudging, arguments: map[string]any{"project_id": "p1"},
		meanwhile: func(t *testing.T, guest hypervisortest.Guest) {
			system.Run(t, "undefine", guest.Name)
			guest.ProjectID = "p2"
			defineAnother(t, guest)
		},
		want: map[string]string{"failed": "true", "changed": "false", "msg": "it belongs to project p2", "verdict": "",
			"domain.nova.project_id": "p2", "plan": "[]"},
		after: "shut off",
	},
	"renamed, and its name was given": {
		at: afterJudging, arguments: map[string]any{"name": "lab-race"}, meanwhile: virsh("domrename", "lab-race", "lab-renamed"),
		want:  map[string]string{"failed": "true", "changed": "false", "msg": "its name is lab-renamed, not lab-race"},
		after: "shut off",
	},
	"a snapshot was taken: it is backed up, too": {
		guest: func(g *hypervisortest.Guest) { g.Disk = "/var/lib/libvirt/images/lab-race.qcow2" },
		at:    afterJudging, meanwhile: virsh("snapshot-create-as", "lab-race", "late"),
		want: map[string]string{"failed": "false", "changed": "true", "flags": `["snapshots_metadata"]`, "warnings.#": "1"},
	},
}

func TestRacesWithAnUndefine(t *testing.T) {
	for title, race := range undefineRaces {
		t.Run(title, func(t *testing.T) {
			guest, dir := hypervisortest.Guest{UUID: "c0000000-0000-4000-8000-000000000002", Name: "lab-race", ProjectID: "p1"}, t.TempDir()
			if race.guest != nil {
				race.guest(&guest)
			}
			system.Make(t, guest)
			gate := newGate(t, race.at)
			arguments := map[string]any{"backup_dir": dir, "destroy": guest.Running, "uri": gate.uri}
			for key, value := range race.arguments {
				arguments[key] = value
			}
			run := start(t, guest, arguments)
			gate.wait(t, run)
			race.meanwhile(t, guest)
			now, _ := system.Try("dumpxml", "--security-info", "--inactive", guest.UUID)
			gate.open(true)
			answer := run.answer(t)
			wantAnswer(t, answer, race.want)
			wantState(t, guest, race.after)
			// What was removed is in the backup that the answer names.
			if answer.Get("changed").Bool() && race.after == "" {
				restored := start(t, guest, map[string]any{"backup_dir": dir, "state": present,
					"backup_file": answer.Get("backup_file").String()}).answer(t)
				wantAnswer(t, restored, map[string]string{"failed": "false", "changed": "true"})
				if again := system.Run(t, "dumpxml", "--security-info", "--inactive", guest.UUID); again != now {
					t.Errorf("came back as %s, was %s", again, now)
				}
			}
		})
	}
	t.Logf("races with an undefine: %d", len(undefineRaces))
}

func TestTwoRunsAtOnceUndefineOnce(t *testing.T) {
	guest, dir := hypervisortest.Guest{UUID: "c0000000-0000-4000-8000-000000000002", Name: "lab-race", Running: true}, t.TempDir()
	system.Make(t, guest)
	arguments := func(uri string) map[string]any { return map[string]any{"backup_dir": dir, "destroy": true, "uri": uri} }
	ours, theirs := newGate(t, call(hypervisortest.DestroyFlags, 1)), newGate(t, call(hypervisortest.DestroyFlags, 1))
	run, rival := start(t, guest, arguments(ours.uri)), start(t, guest, arguments(theirs.uri))
	ours.wait(t, run)
	theirs.wait(t, rival)
	theirs.open(true)
	wantAnswer(t, rival.answer(t), map[string]string{"failed": "false", "changed": "true", "verdict": ""})
	ours.open(true)
	wantAnswer(t, run.answer(t), map[string]string{"failed": "false", "changed": "false"})
	wantState(t, guest, "")
}

func TestRacesWithARestore(t *testing.T) {
	races := map[string]struct {
		at        hypervisortest.Message
		meanwhile func(t *testing.T, guest hypervisortest.Guest)
		want      map[string]string
		after     string
	}{
		"another defines the uuid": {
			call(hypervisortest.LookupByUUID, 2), defineAnother,
			map[string]string{"failed": "true", "changed": "false", "msg": "is another now than when it was looked at"}, "shut off",
		},
		"another takes the name": {
			call(hypervisortest.DefineXML, 1),
			func(t *testing.T, guest hypervisortest.Guest) {
				guest.UUID = "c0000000-0000-4000-8000-000000000003"
				system.Make(t, guest)
			},
			map[string]string{"failed": "true", "changed": "false", "libvirt_code": "9"}, "",
		},
		"another restores it at once": {
			call(hypervisortest.DefineXML, 1),
			func(t *testing.T, guest hypervisortest.Guest) {
				file := filepath.Join(t.TempDir(), "same.xml")
				if err := os.WriteFile(file, []byte(guest.XML()), 0o600); err != nil {
					t.Fatal(err)
				}
				system.Run(t, "define", file)
			},
			map[string]string{"failed": "false", "changed": "true"}, "shut off",
		},
	}
	for title, race := range races {
		t.Run(title, func(t *testing.T) {
			guest, dir := hypervisortest.Guest{UUID: "c0000000-0000-4000-8000-000000000002", Name: "lab-race", ProjectID: "p1"}, t.TempDir()
			system.Make(t, guest)
			purged := start(t, guest, map[string]any{"backup_dir": dir}).answer(t)
			gate := newGate(t, race.at)
			run := start(t, guest, map[string]any{"backup_dir": dir, "state": present, "backup_file": purged.Get("backup_file").String(),
				"uri": gate.uri})
			gate.wait(t, run)
			race.meanwhile(t, guest)
			gate.open(true)
			wantAnswer(t, run.answer(t), race.want)
			wantState(t, guest, race.after)
		})
	}
	t.Logf("races with a restore: %d", len(races))
}
