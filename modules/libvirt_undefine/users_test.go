package main

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

const (
	otherUUID = "11111111-f6a4-8304-79aa-97f2502e193f"
	folder    = "/var/lib/nova/instances/" + uuid
	volume    = "volume-22222222-f6a4-8304-79aa-97f2502e193f"
)

func TestWhoUsesWhat(t *testing.T) {
	type (
		domain  = hypervisor.DomainUse
		process = hypervisor.ProcessUse
		disk    = hypervisor.DiskUse
	)
	orphan := func(active bool, disks ...disk) domain {
		return domain{UUID: uuid, Name: name, Active: active, QEMU: true, Disks: disks, Uses: []string{folder + "/disk", folder + "/console.log"}}
	}
	other := func(active bool, uses ...string) domain {
		return domain{UUID: otherUUID, Name: "rescue", Active: active, QEMU: true, Uses: uses}
	}
	qemu := func(pid int, of string, uses ...string) process {
		return process{PID: pid, Command: "qemu-system-x86", Guest: "g", GuestUUID: of, Uses: uses}
	}
	tool := func(command string, uses ...string) process { return process{PID: 7, Command: command, Uses: uses} }
	outside := disk{Source: "/data/disk", Target: "/mnt/disk", File: true}
	image := disk{Source: "rbd:vms/" + uuid + "_disk"}
	for title, c := range map[string]struct {
		domains   []domain
		processes []process
		want      []sharer
	}{
		"nobody":                 {},
		"the orphan itself, off": {domains: []domain{orphan(false)}},
		"the orphan's own QEMU":  {domains: []domain{orphan(true)}, processes: []process{qemu(7, uuid, folder+"/disk")}},
		"others with their own files": {domains: []domain{orphan(false),
			other(false, "/var/lib/nova/instances/"+otherUUID+"/disk", "/var/lib/nova/instances/_base/x")}},
		"a domain that is off": {
			domains: []domain{orphan(false), other(false, folder+"/disk")},
			want:    []sharer{{Kind: aDomain, Name: "rescue", UUID: otherUUID, Uses: []string{folder + "/disk"}, off: true}},
		},
		"a domain that is on, without one of the uuid": {
			domains:   []domain{other(true, folder+"_resize/disk")},
			processes: []process{qemu(7, otherUUID, folder+"_resize/disk", folder+"_resize/base")},
			want: []sharer{{Kind: aDomain, Name: "rescue", UUID: otherUUID, PID: 7,
				Uses: []string{folder + "_resize/disk", folder + "_resize/base"}}},
		},
		"a domain whose QEMU alone tells": {
			domains:   []domain{other(true, "/rescue/disk")},
			processes: []process{qemu(7, otherUUID, folder+"/disk")},
			want:      []sharer{{Kind: aDomain, Name: "rescue", UUID: otherUUID, PID: 7, Uses: []string{folder + "/disk"}}},
		},
		"a domain that was started meanwhile": {
			domains:   []domain{other(false)},
			processes: []process{qemu(7, otherUUID, folder+"/disk")},
			want:      []sharer{{Kind: aProcess, Name: "qemu-system-x86 g", UUID: otherUUID, PID: 7, Uses: []string{folder + "/disk"}}},
		},
		"an image in Ceph": {
			domains: []domain{orphan(false, image), other(false, "rbd:vms/"+uuid+"_disk.config", "rbd:vms/"+otherUUID+"_disk")},
			want:    []sharer{{Kind: aDomain, Name: "rescue", UUID: otherUUID, Uses: []string{"rbd:vms/" + uuid + "_disk.config"}, off: true}},
		},
		"an image in an option of QEMU's, and a logical volume": {
			domains: []domain{other(false, `driver=rbd,image=`+uuid+`_disk`, `json:{"image":"`+uuid+`_disk"}`, "/dev/vg/"+uuid+"_disk")},
			want: []sharer{{Kind: aDomain, Name: "rescue", UUID: otherUUID, off: true,
				Uses: []string{`driver=rbd,image=` + uuid + `_disk`, `json:{"image":"` + uuid + `_disk"}`, "/dev/vg/" + uuid + "_disk"}}},
		},
		"a name that only looks like it": {domains: []domain{other(false, folder+"0/disk", "/x/a"+uuid+"/disk", "/x/"+uuid+"-old/disk")}},
		"a disk outside, by its path or where that leads": {
			domains:   []domain{orphan(false, outside), other(false, "/data/disk")},
			processes: []process{tool("qemu-nbd", "/mnt/disk")},
			want: []sharer{
				{Kind: aDomain, Name: "rescue", UUID: otherUUID, Uses: []string{"/data/disk"}, off: true},
				{Kind: aProcess, Name: "qemu-nbd", PID: 7, Uses: []string{"/mnt/disk"}},
			},
		},
		"what both only read": {domains: []domain{orphan(false, disk{Source: "/iso", File: true, ReadOnly: true}), other(true, "/iso")},
			processes: []process{qemu(7, otherUUID)}},
		"volumes, which are Cinder's": {
			domains: []domain{
				orphan(false, disk{Source: "rbd:volumes/" + volume}, disk{Source: "/dev/sdx", Target: "/dev/dm-3"},
					disk{Source: "/mnt/" + volume, File: true},
					disk{Source: "/mnt/v", File: true, Serial: "22222222-f6a4-8304-79aa-97f2502e193f"}),
				other(false, "rbd:volumes/"+volume, "/dev/dm-3", "/mnt/"+volume, "/mnt/v"),
			},
			want: []sharer{{Kind: aVolume, Name: "rescue", UUID: otherUUID,
				Uses: []string{"rbd:volumes/" + volume, "/dev/dm-3", "/mnt/" + volume, "/mnt/v"}, off: true}},
		},
		"a process and a loop device, without a domain of the uuid": {
			processes: []process{tool("cp", folder+"/disk"), {Command: "loop0", Uses: []string{folder + "/disk"}}},
			want: []sharer{
				{Kind: aDevice, Name: "loop0", Uses: []string{folder + "/disk"}},
				{Kind: aProcess, Name: "cp", PID: 7, Uses: []string{folder + "/disk"}},
			},
		},
		"libvirt's own daemons": {processes: []process{tool("virtlogd", folder+"/console.log"), tool("virtlockd", folder+"/disk"),
			tool("libvirtd", folder+"/disk")}},
		"a QEMU with the uuid, while libvirt knows of none that is on": {
			domains: []domain{orphan(false)}, processes: []process{qemu(7, uuid, folder+"/disk")},
			want: []sharer{{Kind: aProcess, Name: "qemu-system-x86 g", UUID: uuid, PID: 7, Uses: []string{folder + "/disk"}}},
		},
		"a QEMU with the uuid besides the orphan's": {
			domains:   []domain{{UUID: uuid, Name: name, Active: true, QEMU: true, PID: 6}},
			processes: []process{qemu(6, uuid, folder+"/disk"), qemu(7, uuid, folder+"/disk")},
			want:      []sharer{{Kind: aProcess, Name: "qemu-system-x86 g", UUID: uuid, PID: 7, Uses: []string{folder + "/disk"}}},
		},
	} {
		t.Run(title, func(t *testing.T) {
			got := usage{c.domains, c.processes}.users(uuid, "/b")
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(sharer{}), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			for _, user := range got {
				if reason := user.objection(); (reason == "") != (user.Kind == aVolume) || reason != "" &&
					!strings.Contains(reason, ", then run this again") {
					t.Errorf("got %q", reason)
				}
			}
		})
	}
}

func TestWhatBelongsToAnInstance(t *testing.T) {
	for path, want := range map[string]bool{
		folder:                                      true,
		folder + "/disk":                            true,
		folder + "_del/disk":                        true,
		"/instances/" + uuid + "/disk":              true, // seen from another mount namespace
		"rbd:vms/" + uuid + "_disk":                 true,
		"vms/" + uuid + "_disk.config@snap":         true,
		"/dev/mapper/vg-" + uuid:                    false,
		swtpmFolder + "/" + uuid + "/tpm2/x":        false, // libvirt's
		"/b/" + uuid + "/1-x.json":                  false, // our own
		"/bb/" + uuid + "/1-x.json":                 true,
		"/var/lib/nova/instances/_base/" + uuid[:8]: false,
	} {
		if got := belongs(uuid, "/b", path); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

// rescue runs from the orphan's disk, without Nova's knowledge.
func rescue(running bool) hypervisortest.Guest {
	return hypervisortest.Guest{UUID: otherUUID, Name: "rescue", Foreign: true, Disk: folder + "/disk", Running: running}
}

func TestFilesThatOthersUseAreARefusalWithTheirNames(t *testing.T) {
	const reason = "domain rescue (" + otherUUID + ") runs from " + folder + "/disk, which may go with the instance: shut it down"
	for title, c := range map[string]struct {
		orphan bool
		want   map[string]string
	}{
		"of a domain": {true, map[string]string{"verdict": "live", "found": "true", "domain.name": name, "domain.state": "shutoff",
			"msg": "undefine domain " + name}},
		"without one": {false, map[string]string{"verdict": "live", "found": "false", "domain": "", "msg": "there is no domain " + uuid}},
	} {
		for _, check := range []bool{true, false} {
			t.Run(title, func(t *testing.T) {
				fake := hypervisortest.NewFake()
				if c.orphan {
					fake.Make(t, plain)
				}
				fake.Make(t, rescue(true))
				arguments := map[string]any{"backup_dir": t.TempDir(), "_ansible_check_mode": check}
				answer := answerOf(t, fake, arguments)
				wantAnswer(t, answer, c.want)
				wantAnswer(t, answer, map[string]string{
					"failed": "true", "changed": "false", "reasons.#": "1", "msg": reason, "images": "[]", "plan": "[]", "diff": "",
					"users": `[{"kind":"domain","name":"rescue","pid":1001,"uses":["` + folder + `/disk"],"uuid":"` + otherUUID + `"}]`,
				})
				if len(fake.Writes) > 0 {
					t.Errorf("asked %v", fake.Writes)
				}
				fake.Remove(otherUUID)
				wantAnswer(t, answerOf(t, fake, arguments), map[string]string{"failed": "false", "users": "[]", "images": "[]"})
			})
		}
	}
}

func TestOneThatComesMeanwhileIsSeenBeforeTheUndefine(t *testing.T) {
	fake, guest := hypervisortest.NewFake(), plain
	guest.Running = true
	fake.Make(t, guest)
	fake.Before = func(request, _ string) error {
		if request == "destroy" {
			fake.Make(t, rescue(true))
		}
		return nil
	}
	answer := answerOf(t, fake, map[string]any{"backup_dir": t.TempDir(), "destroy": true})
	wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "true", "verdict": "live", "users.0.name": "rescue", "users.#": "1",
		"msg": "domain rescue"})
	if !slices.Equal(fake.Writes, []string{"destroy"}) {
		t.Errorf("asked %v", fake.Writes)
	}
}

func TestAVolumeThatAnotherUsesIsToldAndNoRefusal(t *testing.T) {
	fake, guest, other := hypervisortest.NewFake(), plain, rescue(false)
	guest.Disk, other.Disk = "/mnt/"+volume, "/mnt/"+volume
	fake.Make(t, guest)
	fake.Make(t, other)
	answer := answerOf(t, fake, map[string]any{"backup_dir": t.TempDir()})
	wantAnswer(t, answer, map[string]string{"failed": "false", "changed": "true", "users": `[{"kind":"volume","name":"rescue","uses":["/mnt/` +
		volume + `"],"uuid":"` + otherUUID + `"}]`})
}

func TestWhoUsesItCannotBeToldIsAFailure(t *testing.T) {
	for title, c := range map[string]struct {
		orphan  bool
		prepare func(*hypervisortest.Fake)
		found   string
	}{
		"the domains":                     {true, func(f *hypervisortest.Fake) { f.Before = failing("list") }, "true"},
		"the processes":                   {true, func(f *hypervisortest.Fake) { f.Before = failing("processes") }, "true"},
		"the domains, without its own":    {false, func(f *hypervisortest.Fake) { f.Before = failing("list") }, "false"},
		"the processes, without a domain": {false, func(f *hypervisortest.Fake) { f.Before = failing("processes") }, "false"},
	} {
		t.Run(title, func(t *testing.T) {
			fake := hypervisortest.NewFake()
			if c.orphan {
				fake.Make(t, plain)
			}
			c.prepare(fake)
			answer := answerOf(t, fake, map[string]any{"backup_dir": t.TempDir()})
			wantAnswer(t, answer, map[string]string{
				"failed": "true", "changed": "false", "verdict": "unknown", "found": c.found, "users": "", "images": "",
				"reasons.0": "who uses the files of instance " + uuid + " could not be read", "libvirt_code": "1",
			})
			if len(fake.Writes) > 0 {
				t.Errorf("asked %v", fake.Writes)
			}
		})
	}
}

func failing(request string) func(string, string) error {
	return func(got, _ string) error {
		if got == request {
			return hypervisortest.Said(1, "internal error")
		}
		return nil
	}
}

// blind sees no processes of the host, as in a container with processes of its own.
type blind struct{ *hypervisortest.Fake }

func (b blind) ProcessUses(context.Context, func(string) bool) ([]hypervisor.ProcessUse, error) {
	return nil, nil
}

func TestADomainThatIsOnWithoutAProcessMeansThatTheHostIsNotSeen(t *testing.T) {
	fake := hypervisortest.NewFake()
	fake.Make(t, plain)
	fake.Make(t, hypervisortest.Guest{UUID: otherUUID, Name: "neighbour", Running: true})
	answer := answerOf(t, blind{fake}, map[string]any{"backup_dir": t.TempDir()})
	wantAnswer(t, answer, map[string]string{"failed": "true", "verdict": "unknown", "found": "true", "domain.name": name,
		"msg": "domain neighbour (" + otherUUID + ") is on, but its QEMU is not among"})
}

func TestTheImagesOfAnInstanceAreTold(t *testing.T) {
	own := hypervisor.Image{Pool: "vms", Image: uuid + "_disk", User: "nova", Hosts: []string{"192.0.2.1:6789"}}
	domain := hypervisor.DomainUse{UUID: uuid, Disks: []hypervisor.DiskUse{
		{Image: &own}, {Image: &hypervisor.Image{Pool: "vms", Image: otherUUID + "_disk"}},
		{Image: &hypervisor.Image{Pool: "volumes", Image: volume}}, {Source: "/i"},
	}}
	if diff := cmp.Diff([]hypervisor.Image{own}, imagesOf(domain)); diff != "" {
		t.Error(diff)
	}
}
