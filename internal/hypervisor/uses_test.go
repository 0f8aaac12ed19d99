package hypervisor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestADomainUsesAllThatItsXMLNames(t *testing.T) {
	for title, c := range map[string]struct {
		inner string
		uses  []string
		disks []DiskUse
	}{
		"nothing": {},
		"a backing chain": {
			`<devices><disk type='file'><source file='/i/top'/><backingStore type='file'><source file='/i/middle'/><backingStore type='network'><source protocol='rbd' name='images/base'/><backingStore/></backingStore></backingStore><target dev='vda'/></disk></devices>`,
			[]string{"/i/top", "/i/middle", "rbd:images/base"},
			[]DiskUse{{Source: "/i/top", Device: "vda", Kind: "disk", Type: "file", File: true, Backing: []string{"/i/middle", "rbd:images/base"}}},
		},
		"an image in Ceph": {
			`<devices><disk type='network'><auth username='nova'/><source protocol='rbd' name='vms/x_disk'><host name='192.0.2.1' port='6789'/><host name='2001:db8::1' port='6789'/><host name='mon3'/></source></disk></devices>`,
			[]string{"rbd:vms/x_disk"},
			[]DiskUse{{Source: "rbd:vms/x_disk", Kind: "disk", Type: "network", Image: &Image{Pool: "vms", Image: "x_disk", User: "nova",
				Hosts: []string{"192.0.2.1:6789", "[2001:db8::1]:6789", "mon3"}}}},
		},
		"an image in a namespace, its user in the source": {
			`<devices><disk type='network' device='cdrom'><source protocol='rbd' name='vms/ns/x_disk'><auth username='nova'/></source><readonly/></disk></devices>`,
			[]string{"rbd:vms/ns/x_disk"},
			[]DiskUse{{Source: "rbd:vms/ns/x_disk", Kind: "cdrom", Type: "network", ReadOnly: true,
				Image: &Image{Pool: "vms/ns", Image: "x_disk", User: "nova"}}},
		},
		"a volume of Cinder's, and one of a pool": {
			`<devices><disk type='block'><source dev='/dev/sdx'/><serial>v1</serial></disk><disk type='volume'><source pool='p' volume='v'/></disk></devices>`,
			[]string{"/dev/sdx", "p/v"},
			[]DiskUse{{Source: "/dev/sdx", Kind: "disk", Type: "block", Serial: "v1"}, {Source: "p/v", Kind: "disk", Type: "volume"}},
		},
		"an empty drive": {`<devices><disk type='file' device='cdrom'><readonly/></disk></devices>`, nil, nil},
		"what is no disk": {
			`<os><kernel>/k</kernel><nvram>
 /v.fd </nvram></os><devices><filesystem><source dir='/share'/></filesystem><serial><log file='/i/console.log' append='off'/></serial></devices>`,
			[]string{"/k", "/v.fd", "/share", "/i/console.log"}, nil,
		},
		"QEMU's own words": {
			`<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg value='driver=rbd,image=x_disk'/></qemu:commandline>`,
			[]string{"driver=rbd,image=x_disk"}, nil,
		},
		"what people write about it": {
			"<metadata><x:y xmlns:x='http://example.org/'>/i/metadata</x:y></metadata>" +
				"<title>/i/title</title><description>/i/description</description>",
			nil, nil,
		},
	} {
		t.Run(title, func(t *testing.T) {
			got, err := ParseDomainUse(true, define(c.inner), define(c.inner))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(DomainUse{UUID: uuid, Name: "instance-0000002a", Active: true, QEMU: true, Uses: c.uses, Disks: c.disks},
				got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestADefinitionThatCannotBeReadUsesNobodyKnowsWhat(t *testing.T) {
	other := strings.Replace(define(""), uuid, "11111111-f6a4-8304-79aa-97f2502e193f", 1)
	for title, texts := range map[string][]string{
		"no XML": {"<domain"}, "no uuid": {"<domain/>"}, "cut off": {define("<devices>")}, "two domains": {define(""), other},
	} {
		t.Run(title, func(t *testing.T) {
			if got, err := ParseDomainUse(true, texts...); err == nil {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// image writes the header of a qcow2 image.
func image(t *testing.T, path, backing string) {
	t.Helper()
	content := binary.BigEndian.AppendUint32([]byte("QFI\xfb"), 3)
	content = binary.BigEndian.AppendUint64(content, map[bool]uint64{true: 0, false: 64}[backing == ""])
	content = binary.BigEndian.AppendUint32(content, uint32(len(backing)))
	content = append(append(content, make([]byte, 64-len(content))...), backing...)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestLinksAndBackingChainsAreFollowed(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	image(t, at("base"), "")
	image(t, at("middle"), "base")
	image(t, at("top"), "file:"+at("middle"))
	image(t, at("far"), `json:{"driver":"rbd","pool":"vms","image":"x_disk"}`)
	image(t, at("dangling"), at("none"))
	image(t, at("self"), "self")
	image(t, at("damaged"), "x")
	for _, err := range []error{
		os.Symlink("top", at("link")), os.WriteFile(at("raw"), []byte("raw"), 0o600), os.Truncate(at("damaged"), 64),
		os.Mkdir(at("folder"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for title, c := range map[string]struct {
		path   string
		active bool
		want   []string // besides the path
		fails  bool
	}{
		"a chain":                          {path: at("top"), want: []string{at("middle"), at("base")}},
		"by a link":                        {path: at("link"), want: []string{at("top"), at("middle"), at("base")}},
		"one that is on: libvirt tells it": {path: at("top"), active: true},
		"an image elsewhere":               {path: at("far"), want: []string{`json:{"driver":"rbd","pool":"vms","image":"x_disk"}`}},
		"a base that is gone":              {path: at("dangling"), want: []string{at("none")}},
		"another format":                   {path: at("raw")},
		"a folder":                         {path: at("folder")},
		"none there, as of a container":    {path: at("none")},
		"below a file":                     {path: at("raw/x")},
		"a chain without an end":           {path: at("self"), fails: true},
		"a header that is damaged":         {path: at("damaged"), fails: true},
		"below a folder that is not there": {path: at("nowhere/x")},
	} {
		t.Run(title, func(t *testing.T) {
			use := DomainUse{Active: c.active, Uses: []string{c.path}, Disks: []DiskUse{{Source: c.path, File: true}}}
			err := use.Follow()
			if (err != nil) != c.fails {
				t.Fatalf("got %v", err)
			}
			if got := use.Uses[1:]; !c.fails && !slices.Equal(got, c.want) && len(got)+len(c.want) > 0 {
				t.Errorf("got %q, want %q", got, c.want)
			}
			// Where the disk's own name is a link, what it leads to is no part of the chain.
			chain := slices.DeleteFunc(slices.Clone(c.want), func(path string) bool { return path == use.Disks[0].Target })
			if got := use.Disks[0].Backing; !c.fails && !slices.Equal(got, chain) {
				t.Errorf("got the chain %q, want %q", got, chain)
			}
		})
	}
}

// process makes a folder of /proc: descriptors are links to what they have open.
func process(t *testing.T, proc string, pid int, command, line, maps string, open ...string) {
	t.Helper()
	folder := filepath.Join(proc, strconv.Itoa(pid))
	errs := []error{os.MkdirAll(filepath.Join(folder, "fd"), 0o700)}
	for name, content := range map[string]string{"comm": command + "\n", "cmdline": strings.ReplaceAll(line, " ", "\x00"), "maps": maps} {
		errs = append(errs, os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600))
	}
	for i, path := range open {
		errs = append(errs, os.Symlink(path, filepath.Join(folder, "fd", strconv.Itoa(i))))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestProcessesTellWhatTheyHaveOpen(t *testing.T) {
	proc, sys, files := t.TempDir(), t.TempDir(), t.TempDir()
	disk, folder := filepath.Join(files, "disk"), filepath.Join(files, "folder")
	loop := filepath.Join(sys, "block", "loop7", "loop")
	empty := filepath.Join(sys, "block", "loop8")
	if err := errors.Join(
		os.WriteFile(disk, nil, 0o600), os.Mkdir(folder, 0o700), os.MkdirAll(loop, 0o700), os.MkdirAll(empty, 0o700),
		os.WriteFile(filepath.Join(loop, "backing_file"), []byte(disk+"\n"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	const other = "11111111-f6a4-8304-79aa-97f2502e193f"
	mapping := fmt.Sprintf("7f0-7f1 rw-s 00000000 fd:00 1   %s\n7f1-7f2 r-xp 0 0 0   [vdso]\n7f2-7f3 rw-s 0 0 0   %s (deleted)\n", disk, disk)
	process(t, proc, os.Getpid(), "self", "self", "", disk)
	process(t, proc, 2, "kthreadd", "", "")
	process(t, proc, 3, "cp", "cp a b", "", "socket:[7]", disk, disk, filepath.Join(files, "gone"))
	process(t, proc, 4, "du", "du", "", folder)
	process(t, proc, 5, "mapper", "mapper", mapping)
	process(t, proc, 6, "qemu-system-x86", "/usr/bin/qemu-system-x86_64 -name guest=a,debug-threads=on -S -uuid "+strings.ToUpper(other), "")
	process(t, proc, 7, "qemu", "/usr/bin/kvm --name b --uuid "+uuid, "", disk)
	process(t, proc, 8, "grep", "grep -uuid "+uuid, "")
	process(t, proc, 9, "qemu-img", "qemu-img info --force-share --output=json "+disk, "", disk)
	process(t, proc, 10, "qemu-img", "qemu-img convert "+disk+" info", "", disk)
	matters := func(path string) bool { return strings.HasPrefix(path, files) }
	got, err := processUses(t.Context(), nil, proc, sys, matters)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ProcessUse{
		{PID: 10, Command: "qemu-img", Uses: []string{disk}},
		{PID: 3, Command: "cp", Uses: []string{disk}},
		{PID: 5, Command: "mapper", Uses: []string{disk}},
		{PID: 6, Command: "qemu-system-x86", Guest: "a", GuestUUID: other},
		{PID: 7, Command: "qemu", Guest: "b", GuestUUID: uuid, Uses: []string{disk}},
		{Command: "loop7", Uses: []string{disk}},
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAFileThatIsDeletedWhileOpenCannotBeTakenAway(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	matters := func(open string) bool { return strings.HasPrefix(open, path) }
	var got []string
	add := func(open string) { got = append(got, open) }
	if err := openFiles("/proc/self/fd", matters, add); err != nil || !slices.Equal(got, []string{path}) {
		t.Errorf("got %q, %v", got, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := openFiles("/proc/self/fd", matters, add); err != nil || len(got) != 1 {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestProcessesThatAreNotToBeSeenAreAnError(t *testing.T) {
	for title, spoil := range map[string]func(t *testing.T, proc string) error{
		"none at all": func(_ *testing.T, proc string) error { return os.RemoveAll(proc) },
		"those of another namespace": func(_ *testing.T, proc string) error {
			return os.RemoveAll(filepath.Join(proc, strconv.Itoa(os.Getpid())))
		},
		"a process that hides its descriptors": func(_ *testing.T, proc string) error {
			return errors.Join(os.Remove(filepath.Join(proc, "3", "fd")), os.WriteFile(filepath.Join(proc, "3", "fd"), nil, 0o600))
		},
		"a process that hides its maps": func(_ *testing.T, proc string) error {
			return errors.Join(os.Remove(filepath.Join(proc, "3", "maps")), os.Mkdir(filepath.Join(proc, "3", "maps"), 0o700))
		},
	} {
		t.Run(title, func(t *testing.T) {
			proc := t.TempDir()
			process(t, proc, os.Getpid(), "self", "self", "")
			process(t, proc, 3, "cp", "cp", "")
			if err := spoil(t, proc); err != nil {
				t.Fatal(err)
			}
			got, err := processUses(t.Context(), nil, proc, t.TempDir(), func(string) bool { return true })
			if err == nil || !strings.Contains(err.Error(), "as root (become: true)") {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
