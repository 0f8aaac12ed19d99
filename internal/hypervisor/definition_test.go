package hypervisor

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f"

func define(inner string) string {
	return "<domain type='kvm'><name>instance-0000002a</name><uuid>" + uuid + "</uuid>" + inner + "</domain>"
}

func novaMetadata(version, inner string) string {
	return `<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/` + version + `">` + inner + `</nova:instance>`
}

func TestADefinitionTellsWhoseItIs(t *testing.T) {
	const owner = `<nova:owner><nova:user uuid="u1">nova</nova:user><nova:project uuid="p1">demo</nova:project></nova:owner>`
	for name, c := range map[string]struct {
		metadata string
		want     *Nova
	}{
		"Wallaby and newer": {
			novaMetadata("1.1",
				`<nova:package version="26.2.2"/><nova:name>web</nova:name><nova:creationTime>2026-11-01 08:00:00</nova:creationTime><nova:flavor name="m1.nano"><nova:memory>64</nova:memory></nova:flavor>`+owner),
			&Nova{Name: "web", Flavor: "m1.nano", CreationTime: "2026-11-01 08:00:00", ProjectID: "p1", UserID: "u1", Version: "26.2.2"},
		},
		"Victoria and older": {novaMetadata("1.0", owner), &Nova{ProjectID: "p1", UserID: "u1"}},
		"the newer where both are": {novaMetadata("1.0", owner) +
			novaMetadata("1.1", `<nova:owner><nova:project uuid="p2">x</nova:project></nova:owner>`), &Nova{ProjectID: "p2"}},
		"no owner":                           {novaMetadata("1.1", `<nova:name>web</nova:name>`), &Nova{Name: "web"}},
		"a project without an id":            {novaMetadata("1.1", `<nova:owner><nova:project>demo</nova:project></nova:owner>`), &Nova{}},
		"somebody else's metadata":           {`<libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0"/>`, nil},
		"the name without the namespace":     {`<instance><name>web</name></instance>`, nil},
		"the prefix with another namespace":  {`<nova:instance xmlns:nova="http://example.org/"/>`, nil},
		"nested in somebody else's metadata": {`<x:y xmlns:x="http://example.org/">` + novaMetadata("1.1", owner) + `</x:y>`, nil},
		"nova's words in a comment":          {`<!-- ` + novaMetadata("1.1", owner) + ` -->`, nil},
		"a future version":                   {novaMetadata("2.0", owner), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseDefinition(uuid, define("<metadata>"+c.metadata+"</metadata>"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.Nova); diff != "" {
				t.Error(diff)
			}
		})
	}
	got, err := ParseDefinition(uuid, define(novaMetadata("1.1", owner)))
	if err != nil || got.Nova != nil {
		t.Errorf("outside of metadata: got %+v, %v", got.Nova, err)
	}
}

func TestADefinitionTellsWhatBelongsToTheDomain(t *testing.T) {
	for name, c := range map[string]struct {
		inner string
		want  Definition
	}{
		"nothing":       {"", Definition{}},
		"an nvram path": {"<os><nvram template='/t.fd'>\n /v.fd\n</nvram></os>", Definition{UEFI: &UEFI{Path: "/v.fd"}}},
		"an nvram source": {"<os><nvram type='file'><source file='/v.fd'/></nvram></os>",
			Definition{UEFI: &UEFI{Path: "/v.fd"}}},
		"nvram over the network": {"<os><nvram type='network'><source protocol='iscsi' name='iqn/0'/></nvram></os>",
			Definition{UEFI: &UEFI{}}},
		"a varstore":                 {"<os><varstore path='/v.json'/></os>", Definition{UEFI: &UEFI{Path: "/v.json"}}},
		"firmware chosen by libvirt": {"<os firmware='efi'/>", Definition{UEFI: &UEFI{}}},
		"a pflash loader alone": {"<os><loader type='pflash'>/c.fd</loader></os>",
			Definition{UEFI: &UEFI{}, Files: []string{"/c.fd"}}},
		"a rom loader": {"<os firmware='bios'><loader type='rom'>/c.bin</loader></os>",
			Definition{Files: []string{"/c.bin"}}},
		"an emulated tpm": {"<devices><tpm><backend type='emulator'/></tpm></devices>", Definition{TPM: &VTPM{}}},
		"an emulated tpm that keeps state": {"<devices><tpm><backend type='emulator' persistent_state='yes'/></tpm></devices>",
			Definition{TPM: &VTPM{PersistentState: true}}},
		"a tpm of the host's": {"<devices><tpm><backend type='passthrough'/></tpm></devices>", Definition{}},
		"disks of every kind": {
			"<devices>" +
				"<disk><source file='/i/disk'/><target dev='vda'/></disk>" +
				"<disk><source dev='/dev/vg/x'/><target dev='vdb'/></disk>" +
				"<disk><source protocol='rbd' name='volumes/volume-1'/><target dev='vdc'/></disk>" +
				"<disk><source pool='default' volume='v1'/><target dev='vdd'/></disk>" +
				"<disk device='cdrom'><target dev='sda'/></disk></devices>",
			Definition{Disks: []Disk{{"vda", "/i/disk"}, {"vdb", "/dev/vg/x"}, {"vdc", "rbd:volumes/volume-1"}, {"vdd", "default/v1"}},
				Files: []string{"/i/disk", "/dev/vg/x"}},
		},
		"what it boots from": {
			"<os><kernel>/k</kernel><initrd>/i</initrd><dtb>/d</dtb></os><devices><disk><source dir='/f'/></disk><disk><source " +
				"dir='/f'/></disk></devices>",
			Definition{Disks: []Disk{{"", "/f"}, {"", "/f"}}, Files: []string{"/k", "/i", "/d", "/f"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseDefinition(uuid, define(c.inner))
			if err != nil {
				t.Fatal(err)
			}
			c.want.Name = "instance-0000002a"
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestADefinitionThatCannotBeTrustedIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":             "",
		"not XML":             "<domain",
		"another root":        "<network><uuid>" + uuid + "</uuid></network>",
		"no uuid":             "<domain/>",
		"another uuid":        "<domain><uuid>11111111-f6a4-8304-79aa-97f2502e193f</uuid></domain>",
		"two uuids":           "<domain><uuid>" + uuid + "</uuid><uuid>11111111-f6a4-8304-79aa-97f2502e193f</uuid></domain>",
		"an entity of itself": `<!DOCTYPE d [<!ENTITY a "&a;&a;">]>` + define("<title>&a;</title>"),
		"a file of the host":  `<!DOCTYPE d [<!ENTITY a SYSTEM "file:///etc/passwd">]>` + define("<title>&a;</title>"),
		"two emulated tpms":   define("<devices><tpm><backend type='emulator'/></tpm><tpm><backend type='emulator'/></tpm></devices>"),
		"bytes that are none": define("<title>\xff</title>"),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := ParseDefinition(uuid, text); err == nil {
				t.Errorf("got %+v", got)
			}
		})
	}
}
