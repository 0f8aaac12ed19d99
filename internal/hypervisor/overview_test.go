package hypervisor

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const described = `<nova:name>web</nova:name><nova:creationTime>2026-11-01 08:00:00</nova:creationTime>` +
	`<nova:flavor name="m1.nano"><nova:memory>64</nova:memory><nova:disk>1</nova:disk><nova:swap>2</nova:swap><nova:ephemeral>3</nova:ephemeral>` +
	`<nova:vcpus>4</nova:vcpus></nova:flavor>` +
	`<nova:owner><nova:user uuid="u1">admin</nova:user><nova:project uuid="p1">demo</nova:project></nova:owner>`

func TestASummaryTellsTheInstanceWhateverTheVersionOfNovasMetadata(t *testing.T) {
	created := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	web := &Instance{
		Name: "web", ProjectID: "p1", ProjectName: "demo", UserID: "u1", UserName: "admin", CreatedAt: &created,
		Flavor: Flavor{Name: "m1.nano", VCPUs: 4, MemoryMB: 64, DiskGB: 1, EphemeralGB: 3, SwapMB: 2},
	}
	for title, c := range map[string]struct {
		metadata string
		want     *Instance
	}{
		"Victoria and older":                 {novaMetadata("1.0", described), web},
		"Wallaby and newer":                  {novaMetadata("1.1", described), web},
		"a future version":                   {novaMetadata("2.0", described), web},
		"the newer where both are":           {novaMetadata("1.1", described) + novaMetadata("1.0", `<nova:name>old</nova:name>`), web},
		"beside somebody else's":             {`<flavor><vcpus>many</vcpus></flavor>` + novaMetadata("1.1", described), web},
		"nothing in it":                      {novaMetadata("1.1", ""), &Instance{}},
		"nova's words in another namespace":  {`<instance xmlns="http://example.org/nova/1.1"><name>web</name></instance>`, nil},
		"nested in somebody else's metadata": {`<x:y xmlns:x="http://example.org/">` + novaMetadata("1.1", described) + `</x:y>`, nil},
		"none":                               {"", nil},
	} {
		t.Run(title, func(t *testing.T) {
			got, err := ParseSummary(define("<metadata>" + c.metadata + "</metadata>"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got.Instance); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestASummaryTellsWhatTheDomainIsGiven(t *testing.T) {
	live := strings.Replace(define(`<memory unit='KiB'>65536</memory><vcpu current='2'>4</vcpu><os><nvram>/v.fd</nvram></os>`+
		`<devices><disk type='file'><source file='/i/disk'/><target dev='vda'/></disk></devices>`), "<domain ", "<domain id='7' ", 1)
	definition := define(`<memory unit='KiB'>131072</memory><vcpu>1</vcpu>` +
		`<devices><disk type='file' device='cdrom'><source file='/i/config'/><target dev='sda'/></disk></devices>`)
	got, err := ParseSummary(live)
	if err == nil {
		err = got.AddDefinition(definition)
	}
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Summary{
		DomainUse: DomainUse{
			UUID: uuid, Name: "instance-0000002a", Active: true, QEMU: true, Uses: []string{"/v.fd", "/i/disk", "/i/config"},
			Disks: []DiskUse{
				{Source: "/i/disk", Device: "vda", Kind: "disk", Type: "file", File: true},
				{Source: "/i/config", Device: "sda", Kind: "cdrom", Type: "file", File: true},
			},
		},
		VCPUs: 2, MemoryMB: 64, NVRAM: "/v.fd",
	}, got); diff != "" {
		t.Error(diff)
	}
	if got, err = ParseSummary(definition); err != nil || got.Active || got.VCPUs != 1 || got.MemoryMB != 128 || got.NVRAM != "" {
		t.Errorf("without the live one: got %+v, %v", got, err)
	}
}

func TestASummaryThatCannotBeTrustedIsAnError(t *testing.T) {
	metadata := func(inner string) string { return define("<metadata>" + novaMetadata("1.1", inner) + "</metadata>") }
	for title, texts := range map[string][]string{
		"no XML":                           {"<domain"},
		"no uuid":                          {"<domain/>"},
		"another domain's definition":      {define(""), strings.Replace(define(""), uuid, "11111111-f6a4-8304-79aa-97f2502e193f", 1)},
		"memory in a unit not libvirt's":   {define("<memory unit='GB'>1</memory>")},
		"a number of vCPUs that is none":   {define("<vcpu>many</vcpu>")},
		"a flavor whose vCPUs are none":    {metadata("<nova:flavor><nova:vcpus>many</nova:vcpus></nova:flavor>")},
		"a flavor with half a GB":          {metadata("<nova:flavor><nova:disk>0.5</nova:disk></nova:flavor>")},
		"a time that is none":              {metadata("<nova:creationTime>now</nova:creationTime>")},
		"metadata that is cut off":         {define("<metadata>")},
		"a definition that is not the XML": {define(""), "<domain"},
	} {
		t.Run(title, func(t *testing.T) {
			got, err := ParseSummary(texts[0])
			for _, definition := range texts[1:] {
				if err != nil {
					t.Fatal(err)
				}
				err = got.AddDefinition(definition)
			}
			if err == nil {
				t.Errorf("got %+v", got)
			}
		})
	}
}
