package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/hypervisor"
)

const (
	uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f"
	name = "instance-0000002a"
)

// inactive is a plain domain of Nova's, project p1, that is off.
func inactive() evidence {
	return evidence{Domain: hypervisor.Domain{
		UUID: uuid, Name: name, ID: -1, State: "shutoff", Persistent: true, Driver: "QEMU", LibvirtVersion: 9_000_000,
		Definition: hypervisor.Definition{
			Nova:  &hypervisor.Nova{ProjectID: "p1"},
			Disks: []hypervisor.Disk{{Target: "vda", Source: "/i/disk"}},
		},
	}}
}

// defaults are the options' defaults.
func defaults() parameters {
	return parameters{
		ManagedSave: refuse, SnapshotsMetadata: remove, CheckpointsMetadata: remove,
		NVRAM: remove, TPM: remove, URI: systemURI,
	}
}

func file(path string) state {
	return state{Files: []stateFile{{entry: entry{Path: path}, Content: []byte("x")}}}
}

type change func(*evidence, *parameters)

func running(e *evidence, _ *parameters) {
	e.Domain.Active, e.Domain.State, e.Domain.ID = true, "running", 3
}
func transient(e *evidence, p *parameters) { running(e, p); e.Domain.Persistent = false }
func foreign(e *evidence, _ *parameters)   { e.Domain.Nova = nil }
func saved(e *evidence, _ *parameters)     { e.Domain.ManagedSave = true }
func snapshot(e *evidence, _ *parameters) {
	e.Domain.Snapshots = []hypervisor.Record{{Name: "s1"}, {Name: "s2"}}
}
func checkpoint(e *evidence, _ *parameters) { e.Domain.Checkpoints = []hypervisor.Record{{Name: "c1"}} }
func uefi(e *evidence, _ *parameters) {
	e.Domain.UEFI, e.NVRAM = &hypervisor.UEFI{Path: "/v.fd"}, file("/v.fd")
}
func tpm(e *evidence, _ *parameters)         { e.Domain.TPM, e.TPM = &hypervisor.VTPM{}, file("/tpm2") }
func persistent(e *evidence, _ *parameters)  { e.Domain.TPM.PersistentState = true }
func noNVRAMSeen(e *evidence, _ *parameters) { e.NVRAM = state{} }
func noTPMSeen(e *evidence, _ *parameters)   { e.TPM = state{} }
func destroy(_ *evidence, p *parameters)     { p.Destroy = true }

func libvirt(version hypervisor.Version) change {
	return func(e *evidence, _ *parameters) { e.Domain.LibvirtVersion = version }
}
func driver(name string) change { return func(e *evidence, _ *parameters) { e.Domain.Driver = name } }
func with(set func(*parameters)) change {
	return func(_ *evidence, p *parameters) { set(p) }
}

func judged(changes []change) (plan, []string) {
	e, p := inactive(), defaults()
	for _, change := range changes {
		change(&e, &p)
	}
	return judge(e, p)
}

func TestRefusalsNameTheOptionThatOverridesThem(t *testing.T) {
	project := func(id string) change { return with(func(p *parameters) { p.Projects.All = id }) }
	unowned := func(e *evidence, _ *parameters) { e.Domain.Nova = &hypervisor.Nova{} }
	foreignAllowed := with(func(p *parameters) { p.AllowForeign, p.Name = true, name })
	keepTPM := with(func(p *parameters) { p.TPM = keep })
	for title, c := range map[string]struct {
		changes []change
		want    []string // each reason holds it
	}{
		"running": {[]change{running}, []string{"active (running): destroy: true"}},
		"paused": {[]change{running, func(e *evidence, _ *parameters) { e.Domain.State = "paused" }},
			[]string{"active (paused): destroy: true"}},
		"transient": {[]change{transient}, []string{"destroy: true"}},
		"another name": {[]change{with(func(p *parameters) { p.Name = "instance-00000001" })},
			[]string{"its name is instance-0000002a, not instance-00000001"}},
		"not Nova's":                           {[]change{foreign}, []string{"allow_foreign: true"}},
		"not Nova's but a project asked":       {[]change{foreign, foreignAllowed, project("p1")}, []string{"leave project_id out"}},
		"another project":                      {[]change{project("p2")}, []string{"belongs to project p1, not to p2"}},
		"another project, destroy":             {[]change{running, destroy, project("p2")}, []string{"belongs to project p1"}},
		"allow_foreign is no word on projects": {[]change{foreignAllowed, project("p2")}, []string{"belongs to project p1"}},
		"project cannot be told":               {[]change{unowned, project("p1")}, []string{"names no project"}},
		"managed save":                         {[]change{saved}, []string{"managed_save: remove"}},
		"snapshots refused": {[]change{snapshot, with(func(p *parameters) { p.SnapshotsMetadata = refuse })},
			[]string{"(s1, s2): snapshots_metadata: remove"}},
		"checkpoints refused": {[]change{checkpoint, with(func(p *parameters) { p.CheckpointsMetadata = refuse })},
			[]string{"(c1): checkpoints_metadata: remove"}},
		"NVRAM that cannot be copied": {
			[]change{uefi, func(e *evidence, _ *parameters) { e.NVRAM = state{Problem: "/v.fd has 65 MiB"} }},
			[]string{"/v.fd has 65 MiB: nvram: keep leaves the file, nvram: discard"}},
		"TPM that cannot be copied": {[]change{tpm, func(e *evidence, _ *parameters) { e.TPM = state{Problem: "denied"} }},
			[]string{"denied: tpm: discard"}},
		"TPM to keep, libvirt too old": {[]change{tpm, keepTPM, libvirt(8_008_999)}, []string{"libvirt 8.8.999 cannot keep"}},
		"TPM to keep, transient":       {[]change{transient, destroy, tpm, keepTPM}, []string{"transient, so that its TPM state goes"}},
		"TPM state not seen, libvirt too old": {[]change{tpm, noTPMSeen, libvirt(8_008_999)},
			[]string{"not to be seen in /var/lib/libvirt/swtpm"}},
		"TPM state not seen, transient": {[]change{transient, destroy, tpm, noTPMSeen}, []string{"tpm: discard"}},
		"all reasons at once": {
			[]change{running, saved, snapshot, checkpoint, uefi, tpm, libvirt(8_000_000), keepTPM, project("p2"), with(func(p *parameters) {
				p.Name, p.SnapshotsMetadata, p.CheckpointsMetadata = "x", refuse, refuse
			}), func(e *evidence, _ *parameters) { e.NVRAM = state{Problem: "denied"} }},
			[]string{"its name is", "belongs to project", "destroy: true", "managed_save: remove", "snapshots_metadata: remove",
				"checkpoints_metadata: remove", "nvram: keep", "tpm: remove"},
		},
	} {
		t.Run(title, func(t *testing.T) {
			got, reasons := judged(c.changes)
			if diff := cmp.Diff(plan{}, got); diff != "" {
				t.Errorf("a refusal has a plan: %s", diff)
			}
			if len(reasons) != len(c.want) {
				t.Fatalf("got %q", reasons)
			}
			for i := range c.want {
				if !strings.Contains(reasons[i], c.want[i]) {
					t.Errorf("got %q, want %q in it", reasons[i], c.want[i])
				}
			}
		})
	}
}

func TestFlagsFollowTheEvidence(t *testing.T) {
	const tpmFlags = hypervisor.WithTPMFlags
	nvramIs := func(choice string) change { return with(func(p *parameters) { p.NVRAM = choice }) }
	tpmIs := func(choice string) change { return with(func(p *parameters) { p.TPM = choice }) }
	removeSaved := with(func(p *parameters) { p.ManagedSave = remove })
	for title, c := range map[string]struct {
		changes []change
		flags   string
		removed string // besides the domain
		left    string // besides the disk
		copied  string
		warned  string
	}{
		"plain":                               {},
		"of the right project and name":       {changes: []change{with(func(p *parameters) { p.Projects.All, p.Name = "p1", name })}},
		"foreign and allowed":                 {changes: []change{foreign, with(func(p *parameters) { p.AllowForeign, p.Name = true, name })}},
		"managed save":                        {changes: []change{saved, removeSaved}, flags: "managed_save", removed: "managed_save"},
		"managed save that libvirtd missed":   {changes: []change{removeSaved}, flags: "managed_save"},
		"no flag that lxc does not know":      {changes: []change{removeSaved, uefi, driver("LXC")}},
		"snapshots":                           {changes: []change{snapshot}, flags: "snapshots_metadata", removed: "snapshots_metadata"},
		"checkpoints":                         {changes: []change{checkpoint}, flags: "checkpoints_metadata", removed: "checkpoints_metadata"},
		"NVRAM":                               {changes: []change{uefi}, flags: "nvram", removed: "nvram", copied: "/v.fd"},
		"NVRAM kept":                          {changes: []change{uefi, nvramIs(keep)}, flags: "keep_nvram", left: "/v.fd"},
		"NVRAM discarded":                     {changes: []change{uefi, nvramIs(discard)}, flags: "nvram", removed: "nvram"},
		"NVRAM discarded unseen":              {changes: []change{uefi, noNVRAMSeen, nvramIs(discard)}, flags: "nvram", removed: "nvram"},
		"NVRAM not seen is kept":              {changes: []change{uefi, noNVRAMSeen}, flags: "keep_nvram", warned: "/v.fd are not to be seen"},
		"TPM at 8.9.0":                        {changes: []change{tpm, libvirt(tpmFlags)}, flags: "tpm", removed: "tpm", copied: "/tpm2"},
		"TPM below 8.9.0 goes without a flag": {changes: []change{tpm, libvirt(tpmFlags - 1)}, removed: "tpm", copied: "/tpm2"},
		"TPM kept at 8.9.0":                   {changes: []change{tpm, tpmIs(keep), libvirt(tpmFlags)}, flags: "keep_tpm", left: "/tpm2"},
		"TPM discarded at 8.9.0": {changes: []change{tpm, noTPMSeen, tpmIs(discard), libvirt(tpmFlags)}, flags: "tpm",
			removed: "tpm"},
		"TPM discarded below 8.9.0": {changes: []change{tpm, noTPMSeen, tpmIs(discard), libvirt(tpmFlags - 1)}, removed: "tpm"},
		"TPM not seen is kept":      {changes: []change{tpm, noTPMSeen}, flags: "keep_tpm", warned: "not to be seen"},
		"persistent TPM":            {changes: []change{tpm, persistent}, flags: "tpm", removed: "tpm", copied: "/tpm2"},
		"persistent TPM below 8.9.0 stays": {changes: []change{tpm, persistent, libvirt(tpmFlags - 1)}, left: "/tpm2",
			warned: "persistent state of its TPM stays"},
		"persistent TPM kept below 8.9.0": {changes: []change{tpm, persistent, tpmIs(keep), libvirt(tpmFlags - 1)}, left: "/tpm2"},
		"everything at once": {changes: []change{saved, removeSaved, snapshot, checkpoint, uefi, tpm},
			flags:   "checkpoints_metadata managed_save nvram snapshots_metadata tpm",
			removed: "managed_save snapshots_metadata checkpoints_metadata nvram tpm", copied: "/v.fd /tpm2"},
		"transient: no flags, NVRAM stays": {changes: []change{transient, destroy, snapshot, uefi, tpm, removeSaved},
			removed: "snapshots_metadata tpm", left: "/v.fd", copied: "/tpm2"},
		"running: the flags are for afterward": {changes: []change{running, destroy, snapshot}, flags: "snapshots_metadata",
			removed: "snapshots_metadata"},
	} {
		t.Run(title, func(t *testing.T) {
			got, reasons := judged(c.changes)
			if len(reasons) > 0 {
				t.Fatalf("refused: %q", reasons)
			}
			copied := []string{}
			for _, file := range got.BackedUp {
				copied = append(copied, file.Path)
			}
			for what, pair := range map[string][2]string{
				"flags":       {strings.Join(got.Flags.Names(), " "), c.flags},
				"removed":     {strings.Join(got.Removed, " "), strings.TrimSpace("domain " + c.removed)},
				"left behind": {strings.Join(got.LeftBehind, " "), strings.TrimSpace(c.left + " /i/disk")},
				"copied":      {strings.Join(copied, " "), c.copied},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s: got %q, want %q", what, pair[0], pair[1])
				}
			}
			warned := strings.Join(got.Warnings, " ")
			if !strings.Contains(warned, c.warned) || c.warned == "" && warned != "" {
				t.Errorf("warned %q, want %q", warned, c.warned)
			}
		})
	}
}

func TestStepsTellThePlan(t *testing.T) {
	for title, c := range map[string]struct {
		changes []change
		want    []string
	}{
		"inactive": {[]change{uefi}, []string{"write the definition", "copy /v.fd", "undefine domain instance-0000002a (" + uuid +
			") with nvram"}},
		"running": {[]change{running, destroy}, []string{"write the definition", "power off domain instance-0000002a (" + uuid +
			"), which is running with id 3", "undefine domain", "what no restore brings back: the memory of the guest, which is running"}},
		"transient": {[]change{transient, destroy}, []string{"write the definition", "power off domain", "what no restore brings back"}},
	} {
		t.Run(title, func(t *testing.T) {
			e, p := inactive(), defaults()
			for _, change := range c.changes {
				change(&e, &p)
			}
			planned, reasons := judge(e, p)
			steps := planned.steps(e.Domain, "/b")
			if len(reasons) > 0 || !slices.EqualFunc(steps, c.want, strings.HasPrefix) {
				t.Errorf("got %q, %q", steps, reasons)
			}
		})
	}
}
