//go:build lab

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nova-orphan/internal/hypervisor/hypervisortest"
)

const (
	instances   = "/var/lib/nova/instances"
	orphanUUID  = "c0000000-0000-4000-8000-000000000005"
	rescueUUID  = "c0000000-0000-4000-8000-000000000006"
	orphanDisk  = instances + "/" + orphanUUID + "/disk"
	elsewhere   = "/var/lib/libvirt/images/lab-rescue.qcow2"
	outsideDisk = "/var/lib/libvirt/images/lab-outside.qcow2"
)

// held is somebody who uses the orphan's files; let ends that.
type held struct {
	want map[string]string
	let  func(t *testing.T)
}

// rescueDomain is defined by hand: another uuid and name, and no Nova metadata.
func rescueDomain(t *testing.T, guest hypervisortest.Guest) held {
	t.Helper()
	guest.UUID, guest.Name, guest.Foreign = rescueUUID, "lab-rescue", true
	system.Make(t, guest)
	want := map[string]string{"users.0.kind": aDomain, "users.0.name": "lab-rescue", "users.0.uuid": rescueUUID, "users.0.pid": ""}
	if guest.Running {
		want["users.0.pid"] = shell(t, "cat", "/run/libvirt/qemu/lab-rescue.pid")
	}
	return held{want, func(t *testing.T) {
		t.Helper()
		system.Clean(hypervisortest.Guest{UUID: rescueUUID})
	}}
}

// holder is a process that has the file open until it is let go.
func holder(t *testing.T, command ...string) held {
	t.Helper()
	process := exec.Command(command[0], command[1:]...)
	input, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := output.Read(make([]byte, 1)); err != nil { // it has said that it is there
		t.Fatal(err)
	}
	let := func(t *testing.T) {
		t.Helper()
		_ = input.Close()
		_ = process.Process.Kill()
		_ = process.Wait()
	}
	t.Cleanup(func() { let(t) })
	return held{map[string]string{"users.0.kind": aProcess, "users.0.name": command[0], "users.0.pid": strconv.Itoa(process.Process.Pid)}, let}
}

func TestFilesThatOthersUseKeepTheOrphan(t *testing.T) {
	link := filepath.Join(t.TempDir(), "rescue")
	backing := func(running bool) func(t *testing.T) held {
		return func(t *testing.T) held {
			return rescueDomain(t, hypervisortest.Guest{Disk: elsewhere, Backing: orphanDisk, Running: running})
		}
	}
	for title, c := range map[string]struct {
		disk string // the orphan's
		by   func(t *testing.T) held
	}{
		"a domain that runs from its disk": {orphanDisk, func(t *testing.T) held {
			return rescueDomain(t, hypervisortest.Guest{Disk: orphanDisk, Running: true})
		}},
		"a domain that is off": {orphanDisk, func(t *testing.T) held {
			return rescueDomain(t, hypervisortest.Guest{Disk: orphanDisk})
		}},
		"a domain that runs from an overlay of it": {orphanDisk, backing(true)},
		"a domain that is off, with an overlay":    {orphanDisk, backing(false)},
		"a domain that is off, by a link": {orphanDisk, func(t *testing.T) held {
			if err := os.Symlink(filepath.Dir(orphanDisk), link); err != nil {
				t.Fatal(err)
			}
			return rescueDomain(t, hypervisortest.Guest{Disk: link + "/disk"})
		}},
		"a domain with a disk that is elsewhere": {outsideDisk, func(t *testing.T) held {
			return rescueDomain(t, hypervisortest.Guest{Disk: outsideDisk, Running: true})
		}},
		"a process that has it open": {orphanDisk, func(t *testing.T) held {
			return holder(t, "bash", "-c", `exec 7<"$1" && echo && read -r`, "bash", orphanDisk)
		}},
		"a QEMU that somebody has started by hand, with the uuid": {orphanDisk, func(t *testing.T) held {
			found := holder(t, "qemu-system-x86_64", "-uuid", orphanUUID, "-m", "32", "-display", "none", "-monitor", "stdio", "-S",
				"-drive", "file="+orphanDisk+",format=qcow2")
			found.want["users.0.name"], found.want["users.0.uuid"] = "qemu-system-x86", orphanUUID
			return found
		}},
	} {
		for _, orphaned := range []bool{true, false} {
			if !orphaned && c.disk == outsideDisk {
				continue // nothing says then that it was the orphan's
			}
			t.Run(title+map[bool]string{true: "", false: ", without a domain of the uuid"}[orphaned], func(t *testing.T) {
				orphan := hypervisortest.Guest{UUID: orphanUUID, Name: "lab-orphan", ProjectID: "p1", Disk: c.disk}
				if err := os.MkdirAll(filepath.Dir(orphanDisk), 0o755); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					_ = os.Remove(link)
					_ = os.RemoveAll(filepath.Dir(orphanDisk))
				})
				system.Make(t, orphan)
				if !orphaned {
					system.Run(t, "undefine", orphanUUID)
				}
				by, dir := c.by(t), t.TempDir()
				for i, check := range []bool{true, false, true, false} {
					answer := start(t, orphan, map[string]any{"backup_dir": dir, "_ansible_check_mode": check,
						"instance_files": []string{keep, remove}[i/2], "min_age": 0}).answer(t)
					if _, err := os.Stat(filepath.Dir(orphanDisk)); err != nil {
						t.Error(err)
					}
					wantAnswer(t, answer, by.want)
					wantAnswer(t, answer, map[string]string{
						"failed": "true", "changed": "false", "users.#": "1", "images": "[]", "reasons.#": "1", "msg": c.disk,
						"verdict": "live", "found": strconv.FormatBool(orphaned),
					})
					if !strings.Contains(answer.Get("reasons.0").String(), by.want["users.0.name"]) || len(backups(t, dir, orphan)) > 0 {
						t.Errorf("got %s", answer)
					}
				}
				if orphaned {
					wantState(t, orphan, "shut off")
				}
				by.let(t)
				answer := start(t, orphan, map[string]any{"backup_dir": dir}).answer(t)
				wantAnswer(t, answer, map[string]string{"failed": "false", "changed": strconv.FormatBool(orphaned), "users": "[]"})
				wantState(t, orphan, "")
			})
		}
	}
}

func TestTheOrphansOwnQEMUAndTheHelpersOfItsHostAreNobodyElse(t *testing.T) {
	if err := os.MkdirAll(filepath.Dir(orphanDisk), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Dir(orphanDisk)) })
	orphan := hypervisortest.Guest{UUID: orphanUUID, Name: "lab-orphan", ProjectID: "p1", Disk: orphanDisk, TPM: true, Running: true,
		Log: filepath.Dir(orphanDisk) + "/console.log"}
	system.Make(t, orphan)
	open := shell(t, "sh", "-c", "readlink /proc/[0-9]*/fd/* | sort -u")
	for _, path := range []string{orphanDisk, orphan.Log, swtpmFolder + "/" + orphanUUID + "/tpm2/.lock"} {
		if !slices.Contains(strings.Split(open, "\n"), path) {
			t.Errorf("%s is not open, so that this shows nothing", path)
		}
	}
	answer := start(t, orphan, map[string]any{"backup_dir": t.TempDir(), "_ansible_check_mode": true}).answer(t)
	// The refusal tells of the domain as it is.
	wantAnswer(t, answer, map[string]string{
		"failed": "true", "users": "[]", "found": "true", "verdict": "live", "domain.name": "lab-orphan", "domain.state": "running",
		"domain.active": "true", "domain.disks.0.source": orphanDisk, "reasons.#": "1", "msg": "it is active (running)",
	})
	answer = start(t, orphan, map[string]any{"backup_dir": t.TempDir(), "destroy": true}).answer(t)
	wantAnswer(t, answer, map[string]string{"failed": "false", "changed": "true", "users": "[]"})
}

func TestTheImagesOfADomainAreToldAndAreNotToBeShared(t *testing.T) {
	const disk = `<disk type='network' device='disk'><driver name='qemu' type='raw'/><auth username='nova'><secret type='ceph' uuid='%'/></auth>` +
		`<source protocol='rbd' name='vms/` + orphanUUID +
		`_disk'><host name='192.0.2.1' port='6789'/></source><target dev='vdb' bus='virtio'/></disk>`
	orphan := hypervisortest.Guest{UUID: orphanUUID, Name: "lab-orphan", ProjectID: "p1", Devices: strings.Replace(disk, "%", rescueUUID, 1)}
	system.Make(t, orphan)
	answer := start(t, orphan, map[string]any{"backup_dir": t.TempDir(), "_ansible_check_mode": true}).answer(t)
	wantAnswer(t, answer, map[string]string{"failed": "false", "users": "[]", "images": `[{"hosts":["192.0.2.1:6789"],"image":"` + orphanUUID +
		`_disk","pool":"vms","source":"rbd:vms/` + orphanUUID + `_disk","user":"nova"}]`})
	rescueDomain(t, hypervisortest.Guest{Devices: orphan.Devices})
	answer = start(t, orphan, map[string]any{"backup_dir": t.TempDir(), "_ansible_check_mode": true}).answer(t)
	wantAnswer(t, answer, map[string]string{"failed": "true", "users.0.name": "lab-rescue", "users.0.uses": `["rbd:vms/` + orphanUUID +
		`_disk"]`, "images.#": "1"})
}

func TestWhoMayNotSeeTheProcessesIsToldSo(t *testing.T) {
	guest := faultyGuest
	system.Make(t, guest)
	const uri = "qemu+unix:///system?socket=/var/run/libvirt/libvirt-sock-ro"
	nobody := []string{"runuser", "-u", "nobody", "--"}
	answer := start(t, guest, map[string]any{"_ansible_check_mode": true, "uri": uri}, nobody...).answer(t)
	wantAnswer(t, answer, map[string]string{"failed": "true", "verdict": "unknown", "found": "true", "domain.name": guest.Name, "users": "",
		"msg": "permission denied: run it on the hypervisor itself, as root (become: true)"})
	// Nobody needs them to write the domain down.
	answer = start(t, guest, map[string]any{"_ansible_check_mode": true, "uri": uri, "state": "saved"}, nobody...).answer(t)
	wantAnswer(t, answer, map[string]string{"failed": "false", "verdict": ""})
}
