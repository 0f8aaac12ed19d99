package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

const (
	first  = "6695eb01-f6a4-8304-79aa-97f2502e193f"
	second = "7795eb01-f6a4-8304-79aa-97f2502e193f"
	third  = "8895eb01-f6a4-8304-79aa-97f2502e193f"
)

// answerOf calls the module as Ansible does, but against this libvirt, and with a folder of its own.
func answerOf(t *testing.T, host libvirt, arguments map[string]any) gjson.Result {
	t.Helper()
	all := map[string]any{"instances_path": t.TempDir(), "_ansible_no_log": true}
	for key, value := range arguments {
		all[key] = value
	}
	faked := module
	faked.Run = func(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
		var p parameters
		if err := call.Decode(&p); err != nil {
			return nil, err
		}
		return p.read(ctx, host)
	}
	return ansibletest.Call(t, faked, all)
}

func wantAnswer(t *testing.T, answer gjson.Result, want map[string]string) {
	t.Helper()
	for path, part := range want {
		if got := answer.Get(path).String(); got != part {
			t.Errorf("%s: got %q, want %q", path, got, part)
		}
	}
}

func makeFolders(t *testing.T, names ...string) (root string) {
	t.Helper()
	root = t.TempDir()
	for _, name := range names {
		if err := os.Mkdir(filepath.Join(root, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestAllIsToldOfADomain(t *testing.T) {
	fake := hypervisortest.NewFake()
	fake.Make(t, hypervisortest.Guest{
		UUID: first, Name: "instance-00000001", ProjectID: "p1", Running: true, Snapshot: "s1", Disk: "/i/disk", Backing: "/b/base",
		NVRAM: filepath.Join(t.TempDir(), "v.fd"),
		Devices: `<disk type='network' device='lun'><source protocol='rbd' name='volumes/volume-1'/><target dev='sdb'/><readonly/>` +
			`<serial>` + third + `</serial></disk>` +
			`<disk type='file'><source file='/i/eph0'/><target dev='vdc'/><serial>disk-7</serial></disk>`,
	})
	answer := answerOf(t, fake, nil)
	wantAnswer(t, answer, map[string]string{
		"changed": "false", "msg": "domains: 1, folders of instances without a domain: 0, unread: 0", "unread": "[]", "instance_files": "[]",
		"hypervisor_hostname": "compute1.example.com", "libvirt_version": "9.0.0", "driver": "QEMU",
		"domains.0.nova": `{"created_at":"2026-11-01T08:00:00Z",` +
			`"flavor":{"disk_gb":1,"ephemeral_gb":0,"memory_mb":32,"name":"m1.nano","swap_mb":0,"vcpus":1},` +
			`"name":"web","project_id":"p1","project_name":"demo","user_id":"u1","user_name":"nova"}`,
		"domains.0.state": "running", "domains.0.state_reason": "booted", "domains.0.active": "true", "domains.0.persistent": "true",
		"domains.0.autostart": "false", "domains.0.vcpus": "1", "domains.0.memory_mb": "32", "domains.0.managed_save": "false",
		"domains.0.snapshots": "1", "domains.0.uuid": first, "domains.0.name": "instance-00000001",
		"domains.0.disks.0": `{"backing":["/b/base"],"device":"disk","image":null,"read_only":false,"source":"/i/disk","target":"vda",` +
			`"type":"file","used_by":[],"volume_id":""}`,
		"domains.0.disks.1": `{"backing":[],"device":"lun","image":{"image":"volume-1","pool":"volumes"},"read_only":true,` +
			`"source":"rbd:volumes/volume-1","target":"sdb","type":"network","used_by":[],"volume_id":"` + third + `"}`,
		"domains.0.disks.2.volume_id": "",
	})
	if nvram := answer.Get("domains.0.nvram").String(); !strings.HasSuffix(nvram, "/v.fd") {
		t.Errorf("nvram: got %q", nvram)
	}
	if strings.Contains(answer.Raw, "hunter22") {
		t.Errorf("it tells a secret: %s", answer)
	}
}

func TestInBriefADomainIsWhatTheAuditJudgesBy(t *testing.T) {
	fake := hypervisortest.NewFake()
	fake.Make(t, hypervisortest.Guest{UUID: first, Name: "instance-00000001", ProjectID: "p1", Running: true, Disk: "/i/disk",
		Devices: `<disk type='network'><source protocol='rbd' name='volumes/volume-1'/><target dev='sdb'/><serial>` + third + `</serial></disk>`})
	fake.Make(t, hypervisortest.Guest{UUID: second, Name: "backup-server", Foreign: true, Disk: "/i/disk"})
	answer := answerOf(t, fake, map[string]any{"brief": true})
	wantAnswer(t, answer, map[string]string{
		"domains.0": `{"disks":[{"used_by":["` + second + `"]},{"volume_id":"` + third + `"}],"name":"instance-00000001",` +
			`"nova":{"name":"web","project_id":"p1"},"state":"running","uuid":"` + first + `"}`,
		"domains.1.nova": "",
	})
}

func TestADomainThatIsNotNovasHasNoInstance(t *testing.T) {
	fake := hypervisortest.NewFake()
	fake.Make(t, hypervisortest.Guest{UUID: first, Name: "backup-server", Foreign: true})
	answer := answerOf(t, fake, nil)
	if nova := answer.Get("domains.0.nova"); nova.Raw != "null" || answer.Get("domains.0.disks").Raw != "[]" {
		t.Errorf("got %s", answer)
	}
}

func TestOnlyThoseThatAreAskedForAreTold(t *testing.T) {
	fake := hypervisortest.NewFake()
	fake.Make(t, hypervisortest.Guest{UUID: second, Name: "b", Disk: "/i/disk"})
	fake.Make(t, hypervisortest.Guest{UUID: first, Name: "a", Disk: "/i/disk"})
	root := makeFolders(t, third, third+"_del")
	for asked, want := range map[string]string{
		"":                  `["` + first + `","` + second + `"] ["` + third + `","` + third + `"]`,
		second:              `["` + second + `"] []`,
		third + "," + first: `["` + first + `"] ["` + third + `","` + third + `"]`,
	} {
		arguments := map[string]any{"instances_path": root}
		if asked != "" {
			arguments["instance_uuid"] = asked
		}
		answer := answerOf(t, fake, arguments)
		if got := answer.Get("domains.#.uuid").Raw + " " + answer.Get("instance_files.#.uuid").Raw; got != want {
			t.Errorf("%q: got %s, want %s", asked, got, want)
		}
	}
	// Who else uses a file is told whoever was asked for.
	wantAnswer(t, answerOf(t, fake, map[string]any{"uuid": second}), map[string]string{"domains.0.disks.0.used_by": `["` + first + `"]`})
}

func TestWhoElseUsesADisk(t *testing.T) {
	domains := []hypervisor.Summary{
		{DomainUse: hypervisor.DomainUse{
			UUID: first, Uses: []string{"/i/disk", "/data/disk", "/b/base", "rbd:vms/x_disk", "/usr/bin/qemu"},
			Disks: []hypervisor.DiskUse{
				{Source: "/i/disk", Target: "/data/disk", Backing: []string{"/b/base"}}, {Source: "rbd:vms/x_disk"}, {Source: "/i/own"},
			},
		}},
		{DomainUse: hypervisor.DomainUse{UUID: second, Uses: []string{"/data/disk", "/b/base", "/usr/bin/qemu"}}},
		{DomainUse: hypervisor.DomainUse{UUID: third, Uses: []string{"/i/disk", "/data/disk", "rbd:vms/x_disk", "/i/own2"}}},
	}
	disks := usersOf(domains).disks(domains[0])
	for i, want := range []string{
		fmt.Sprint([]string{second, third}), // by a link and by its name; not for what both are based on
		fmt.Sprint([]string{third}),
		"[]",
	} {
		if got := fmt.Sprint(disks[i].UsedBy); got != want {
			t.Errorf("%s: got %s, want %s", disks[i].Source, got, want)
		}
	}
}

func TestAFolderIsAnInstancesByItsName(t *testing.T) {
	fake := hypervisortest.NewFake()
	fake.Make(t, hypervisortest.Guest{UUID: first, Name: "a"})
	root := makeFolders(t, first, first+"_resize", second, second+"_resize", second+"_del", third, "_base", "locks", "snapshots",
		second+"_rescue", second+"_resize_del", "x"+second, "instance-0000002a", strings.ToUpper(second))
	err := errors.Join(
		os.WriteFile(filepath.Join(root, "compute_nodes"), []byte("{}"), 0o600),
		os.WriteFile(filepath.Join(root, strings.Replace(third, "8", "9", 1)), nil, 0o600),
		os.Remove(filepath.Join(root, third)), os.Symlink("/nowhere", filepath.Join(root, third)),
	)
	if err != nil {
		t.Fatal(err)
	}
	const rescue = "9995eb01-f6a4-8304-79aa-97f2502e193f"
	fake.Make(t, hypervisortest.Guest{UUID: rescue, Name: "rescue", Disk: filepath.Join(root, second, "disk.eph0")})
	answer := answerOf(t, fake, map[string]any{"instances_path": root})
	var got []string
	for _, found := range answer.Get("instance_files").Array() {
		name, within := strings.CutPrefix(found.Get("path").String(), root+"/")
		got = append(got, fmt.Sprint(within, " ", name, " ", found.Get("kind"), " ", found.Get("uuid"), " ", found.Get("used_by")))
	}
	want := []string{
		"true " + second + " instance " + second + ` ["` + rescue + `"]`,
		"true " + second + "_del deleted " + second + " []",
		"true " + second + "_resize resize " + second + " []",
		"true " + third + " instance " + third + " []",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// meanwhile does something when the domains have been listed.
type meanwhile struct {
	libvirt
	do func()
}

func (m meanwhile) Overview(ctx context.Context) (hypervisor.Overview, error) {
	defer m.do()
	return m.libvirt.Overview(ctx)
}

func TestWhatComesOrGoesMeanwhileIsNotLeftBehind(t *testing.T) {
	t.Run("a domain that goes between the list and the look", func(t *testing.T) {
		fake := hypervisortest.NewFake()
		fake.Make(t, hypervisortest.Guest{UUID: first, Name: "a"})
		fake.Make(t, hypervisortest.Guest{UUID: second, Name: "b"})
		fake.Before = func(request, uuid string) error {
			if request == "describe" && uuid == first {
				fake.Remove(first)
			}
			return nil
		}
		wantAnswer(t, answerOf(t, fake, nil), map[string]string{"domains.#.uuid": `["` + second + `"]`, "unread": "[]", "failed": ""})
	})
	t.Run("an instance that is built after the folders were listed", func(t *testing.T) {
		fake, root := hypervisortest.NewFake(), makeFolders(t)
		build := meanwhile{fake, func() { _ = os.Mkdir(filepath.Join(root, first), 0o700) }}
		wantAnswer(t, answerOf(t, build, map[string]any{"instances_path": root}), map[string]string{"instance_files": "[]"})
	})
	t.Run("a domain that is defined after its folder was listed", func(t *testing.T) {
		fake, root := hypervisortest.NewFake(), makeFolders(t, first)
		fake.Before = func(request, _ string) error {
			if request == "list" {
				fake.Make(t, hypervisortest.Guest{UUID: first, Name: "a"})
			}
			return nil
		}
		wantAnswer(t, answerOf(t, fake, map[string]any{"instances_path": root}), map[string]string{"instance_files": "[]", "domains.#": "1"})
	})
	t.Run("a folder that goes with its domain", func(t *testing.T) {
		fake, root := hypervisortest.NewFake(), makeFolders(t, first, second)
		reap := meanwhile{fake, func() { _ = os.Remove(filepath.Join(root, first)) }}
		wantAnswer(t, answerOf(t, reap, map[string]any{"instances_path": root}), map[string]string{"instance_files.#.uuid": `["` + second + `"]`})
	})
}

func TestWhatCannotBeReadIsSaidAndTheOthersAreTold(t *testing.T) {
	fake := hypervisortest.NewFake()
	fake.Make(t, hypervisortest.Guest{UUID: first, Name: "a", Devices: `<unfinished>`})
	fake.Make(t, hypervisortest.Guest{UUID: second, Name: "b"})
	root := makeFolders(t, first)
	answer := answerOf(t, fake, map[string]any{"instances_path": root})
	wantAnswer(t, answer, map[string]string{"failed": "", "domains.#.uuid": `["` + second + `"]`, "instance_files": "[]", "unread.#": "1"})
	if unread := answer.Get("unread.0").String(); !strings.HasPrefix(unread, "domain "+first+": ") {
		t.Errorf("got %q", unread)
	}
	for title, c := range map[string]struct{ path, uri, said string }{
		"no such folder":             {filepath.Join(root, "none"), "qemu:///system", "give the instances_path of this host's nova.conf"},
		"no folder":                  {"/dev/null", "qemu:///system", "list the instances' folders: "},
		"the folders of another one": {root, "qemu+ssh://cmp02/system", "run it on the hypervisor itself"},
	} {
		t.Run(title, func(t *testing.T) {
			answer := answerOf(t, fake, map[string]any{"instances_path": c.path, "uri": c.uri})
			wantAnswer(t, answer, map[string]string{"failed": "", "domains.#": "1", "instance_files": "[]", "unread.#": "2"})
			if unread := answer.Get("unread.1").String(); !strings.Contains(unread, c.said) {
				t.Errorf("got %q", unread)
			}
		})
	}
}

func TestAFailureOfLibvirtIsNoHostWithoutDomains(t *testing.T) {
	for _, request := range []string{"list", "describe"} {
		fake := hypervisortest.NewFake()
		fake.Make(t, hypervisortest.Guest{UUID: first, Name: "a"})
		fake.Before = func(asked, _ string) error {
			if asked == request {
				return hypervisortest.Lost()
			}
			return nil
		}
		answer := answerOf(t, fake, map[string]any{"_ansible_check_mode": true})
		wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "false", "domains": "", "instance_files": ""})
	}
}
