//go:build lab

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/hypervisor/hypervisortest"
)

// point is where a run is killed, by the message to libvirt that it stands at.
type point struct {
	name  string
	at    hypervisortest.Message
	state string // in which the kill leaves the domain; empty is none
}

func call(procedure, nth int) hypervisortest.Message {
	return hypervisortest.Message{Procedure: procedure, Nth: nth}
}

func reply(procedure int) hypervisortest.Message {
	return hypervisortest.Message{Procedure: procedure, Reply: true, Nth: 1}
}

// The killed run's request is lost where it stands at a call, and done where it
// stands at the reply.
var (
	undefinePoints = []point{
		{"while it reads", call(hypervisortest.GetXMLDesc, 1), "running"},
		{"backed up, not powered off", call(hypervisortest.DestroyFlags, 1), "running"},
		{"powered off, not told so", reply(hypervisortest.DestroyFlags), "shut off"},
		{"powered off, not undefined", call(hypervisortest.UndefineFlags, 1), "shut off"},
		{"undefined, not told so", reply(hypervisortest.UndefineFlags), ""},
		{"undefined, not verified", call(hypervisortest.LookupByUUID, 6), ""},
	}
	restorePoints = []point{
		{"files written, not defined", call(hypervisortest.DefineXML, 1), ""},
		{"defined, not told so", reply(hypervisortest.DefineXML), "shut off"},
		{"defined, without its snapshot", call(hypervisortest.SnapshotCreate, 1), "shut off"},
		{"with its snapshot, not told so", reply(hypervisortest.SnapshotCreate), "shut off"},
		{"without its checkpoint", call(hypervisortest.CheckpointCreate, 1), "shut off"},
		{"with its checkpoint, not told so", reply(hypervisortest.CheckpointCreate), "shut off"},
		{"restored, not read back", call(hypervisortest.GetXMLDesc, 1), "shut off"},
	}
	// It has all that a domain can have at once: libvirt takes no snapshot of a running one with UEFI variables.
	wholeGuest = hypervisortest.Guest{
		UUID: "c0000000-0000-4000-8000-000000000001", Name: "lab-killed", ProjectID: "p1", Running: true,
		Snapshot: "s1", Checkpoint: "c1", TPM: true, Disk: "/var/lib/libvirt/images/lab-killed.qcow2",
	}
)

// killAt runs the module up to the point, and kills it there.
func killAt(t *testing.T, guest hypervisortest.Guest, at point, arguments map[string]any) {
	t.Helper()
	gate := newGate(t, at.at)
	arguments["uri"] = gate.uri
	run := start(t, guest, arguments)
	gate.wait(t, run)
	run.kill(t)
	gate.open(false)
	arguments["uri"] = systemURI
	if !wantState(t, guest, at.state) {
		t.Fatal("it was killed elsewhere")
	}
}

func TestKilledAnywhereARunCanBeRunAgain(t *testing.T) {
	for _, at := range undefinePoints {
		t.Run(at.name, func(t *testing.T) {
			guest, dir := wholeGuest, t.TempDir()
			system.Make(t, guest)
			before := picture(t, guest)
			purge := map[string]any{"backup_dir": dir, "destroy": true}
			killAt(t, guest, at, purge)
			wantAnswer(t, start(t, guest, purge).answer(t), map[string]string{"failed": "false"})
			wantAnswer(t, start(t, guest, purge).answer(t), map[string]string{"failed": "false", "changed": "false", "verdict": absent})
			for _, backup := range backups(t, dir, guest) {
				restore := map[string]any{"backup_dir": dir, "state": present, "backup_file": backup}
				wantAnswer(t, start(t, guest, restore).answer(t), map[string]string{"failed": "false", "changed": "true"})
				if diff := cmp.Diff(before, picture(t, guest)); diff != "" {
					t.Error(diff)
				}
				wantAnswer(t, start(t, guest, restore).answer(t), map[string]string{"failed": "false", "changed": "false", "verdict": ""})
				wantAnswer(t, start(t, guest, purge).answer(t), map[string]string{"failed": "false", "changed": "true"})
			}
		})
	}
	t.Logf("kill points of an undefine: %d", len(undefinePoints))
}

func TestKilledAnywhereARestoreCanBeRunAgain(t *testing.T) {
	for _, at := range restorePoints {
		t.Run(at.name, func(t *testing.T) {
			guest, dir := wholeGuest, t.TempDir()
			system.Make(t, guest)
			before := picture(t, guest)
			purged := start(t, guest, map[string]any{"backup_dir": dir, "destroy": true}).answer(t)
			restore := map[string]any{"backup_dir": dir, "state": present, "backup_file": purged.Get("backup_file").String()}
			killAt(t, guest, at, restore)
			wantAnswer(t, start(t, guest, restore).answer(t), map[string]string{"failed": "false"})
			if diff := cmp.Diff(before, picture(t, guest)); diff != "" {
				t.Error(diff)
			}
			wantAnswer(t, start(t, guest, restore).answer(t), map[string]string{"failed": "false", "changed": "false", "verdict": ""})
			if state := system.Run(t, "domstate", guest.Name); state != "shut off" {
				t.Errorf("it is %s", state)
			}
		})
	}
	t.Logf("kill points of a restore: %d", len(restorePoints))
}
