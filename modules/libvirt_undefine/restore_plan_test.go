package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/hypervisor"
)

// undefined is the evidence of a plain domain that was undefined.
func undefined() restoreEvidence {
	return restoreEvidence{Record: record{Domain: inactive().Domain, XML: "<domain/>"}}
}

type restoreChange func(*restoreEvidence, *parameters)

func withFile(path string, now fileNow) restoreChange {
	return func(e *restoreEvidence, _ *parameters) {
		e.Record.Files = append(e.Record.Files, storedFile{stateFile: stateFile{entry: entry{Path: path}, Content: []byte("x")}})
		e.Files = append(e.Files, now)
	}
}

func isDefined(e *restoreEvidence, _ *parameters) {
	now := e.Record.Domain
	e.Domain = &now
}

func runsUndefined(e *restoreEvidence, p *parameters) {
	isDefined(e, p)
	e.Domain.Active, e.Domain.Persistent, e.Domain.ID = true, false, 3
}

func hasUEFI(e *restoreEvidence, _ *parameters) {
	e.Record.Domain.UEFI = &hypervisor.UEFI{Path: "/v.fd"}
}
func hasTPM(e *restoreEvidence, _ *parameters) { e.Record.Domain.TPM = &hypervisor.VTPM{} }

const tpmState = swtpmFolder + "/" + uuid + "/tpm2/tpm2-00.permall"

func TestARestoreReplacesNothing(t *testing.T) {
	for title, c := range map[string]struct {
		changes []restoreChange
		want    []string // each reason holds it
	}{
		"another definition": {
			[]restoreChange{isDefined, func(e *restoreEvidence, _ *parameters) { e.Difference = "a and b" }},
			[]string{"another definition (instance-0000002a, where the backup has a and b)"}},
		"the name is taken": {[]restoreChange{func(e *restoreEvidence, _ *parameters) { e.NameOwner = "u2" }},
			[]string{"domain u2 has its name"}},
		"its disk is gone": {[]restoreChange{func(e *restoreEvidence, _ *parameters) { e.Gone = []string{"/i/disk", "/k"} }},
			[]string{"gone since the backup: /i/disk, /k"}},
		"a file changed": {[]restoreChange{hasUEFI, withFile("/v.fd", fileNow{There: true})},
			[]string{"/v.fd is there with another content"}},
		"a file unreadable": {[]restoreChange{hasUEFI, withFile("/v.fd", fileNow{Problem: "denied"})},
			[]string{"whether /v.fd is there: denied"}},
		"a file of others":   {[]restoreChange{hasUEFI, withFile("/etc/passwd", fileNow{})}, []string{"none of the domain's, /etc/passwd"}},
		"a file without TPM": {[]restoreChange{withFile(tpmState, fileNow{})}, []string{"none of the domain's"}},
		"a way out of the TPM's folder": {
			[]restoreChange{hasTPM, withFile(swtpmFolder+"/"+uuid+"/../../x", fileNow{})}, []string{"none of the domain's"}},
		"a folder of others": {
			[]restoreChange{hasTPM, func(e *restoreEvidence, _ *parameters) { e.Record.Folders = []entry{{Path: swtpmFolder}} }},
			[]string{"a folder that is none of the domain's"}},
		"X8 a definition that calls another file its UEFI variables": {
			[]restoreChange{
				func(e *restoreEvidence, _ *parameters) {
					e.Record.Domain.UEFI = &hypervisor.UEFI{Path: "/etc/cron.d/x"}
				},
				withFile("/etc/cron.d/x", fileNow{}),
			},
			[]string{"/etc/cron.d/x"}},
		"the files of another host": {
			[]restoreChange{hasUEFI, withFile("/v.fd", fileNow{}), func(_ *restoreEvidence, p *parameters) { p.URI = "qemu+ssh://h/system" }},
			[]string{"none of the domain's"}},
		"another name and project": {
			[]restoreChange{func(_ *restoreEvidence, p *parameters) { p.Name, p.Projects.All = "x", "p2" }},
			[]string{"its name is", "belongs to project p1"}},
		"not Nova's": {[]restoreChange{func(e *restoreEvidence, _ *parameters) { e.Record.Domain.Nova = nil }}, []string{"allow_foreign: true"}},
		"all at once": {
			[]restoreChange{hasUEFI, withFile("/v.fd", fileNow{There: true}),
				func(e *restoreEvidence, p *parameters) { e.NameOwner, e.Gone, p.Name = "u2", []string{"/k"}, "x" }},
			[]string{"its name is", "another content", "has its name", "gone since"}},
	} {
		t.Run(title, func(t *testing.T) {
			e, p := undefined(), defaults()
			for _, change := range c.changes {
				change(&e, &p)
			}
			planned, reasons := judgeRestore(e, p)
			if diff := cmp.Diff(restorePlan{}, planned); diff != "" {
				t.Errorf("a refusal has a plan: %s", diff)
			}
			if !slices.EqualFunc(reasons, c.want, strings.Contains) {
				t.Errorf("got %q", reasons)
			}
		})
	}
}

func TestARestorePutsBackWhatIsNotThere(t *testing.T) {
	records := func(e *restoreEvidence, _ *parameters) {
		e.Record.Domain.Snapshots = []hypervisor.Record{{Name: "s1"}, {Name: "s2", Current: true}}
		e.Record.Domain.Checkpoints = []hypervisor.Record{{Name: "c1"}}
		e.Record.Domain.Autostart = true
	}
	all := []restoreChange{records, hasUEFI, hasTPM, withFile("/v.fd", fileNow{}), withFile(tpmState, fileNow{})}
	for title, c := range map[string]struct {
		changes []restoreChange
		want    []string
		steps   int
		warned  string
	}{
		"a plain domain": {nil, []string{"domain"}, 2, ""},
		"all of it": {all, []string{"domain", "autostart", "snapshots_metadata", "checkpoints_metadata", "nvram", "tpm"}, 8,
			""},
		"nothing, where all is there": {[]restoreChange{isDefined}, nil, 1, ""},
		"nothing, with records":       {[]restoreChange{records, isDefined}, nil, 1, ""},
		"what a killed run left to do": {append([]restoreChange{isDefined}, all...),
			[]string{"autostart", "snapshots_metadata", "checkpoints_metadata", "nvram", "tpm"}, 7, ""},
		"files that are there stay": {[]restoreChange{hasUEFI, withFile("/v.fd", fileNow{There: true, Same: true})}, []string{"domain"}, 2,
			""},
		"a guest has changed its NVRAM": {[]restoreChange{hasUEFI, isDefined, withFile("/v.fd", fileNow{There: true})}, nil, 1, ""},
		"one that runs undefined":       {[]restoreChange{runsUndefined}, []string{"domain"}, 2, ""},
		"one that was transient": {[]restoreChange{func(e *restoreEvidence, _ *parameters) { e.Record.Domain.Persistent = false }},
			[]string{"domain"}, 2, "was transient"},
		"what the backup does not hold": {[]restoreChange{func(e *restoreEvidence,
			_ *parameters) {
			e.Record.Lost = []string{"the managed save"}
		}}, []string{"domain"}, 2, "did not come back: the managed save"},
		"a snapshot that is not lacking": {[]restoreChange{isDefined, records,
			func(e *restoreEvidence, _ *parameters) { e.Domain.Snapshots = []hypervisor.Record{{Name: "s1"}} }},
			[]string{"autostart", "snapshots_metadata", "checkpoints_metadata"}, 4, ""},
	} {
		t.Run(title, func(t *testing.T) {
			e, p := undefined(), defaults()
			for _, change := range c.changes {
				change(&e, &p)
			}
			planned, reasons := judgeRestore(e, p)
			if len(reasons) > 0 || !slices.Equal(planned.restored(), c.want) {
				t.Errorf("got %v, %q", planned.restored(), reasons)
			}
			if steps := planned.steps("/b"); len(steps) != c.steps {
				t.Errorf("got %q", steps)
			}
			if warned := strings.Join(planned.Warnings, " "); !strings.Contains(warned, c.warned) || c.warned == "" && warned != "" {
				t.Errorf("warned %q", warned)
			}
		})
	}
}
