package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

func TestADomainIsWrittenDownOnceAndNothingElseIsDone(t *testing.T) {
	fake, dir := hypervisortest.NewFake(), t.TempDir()
	guest := plain
	guest.Running, guest.Snapshot, guest.NVRAM = true, "s1", filepath.Join(t.TempDir(), "v.fd")
	fake.Make(t, guest)
	arguments := map[string]any{"backup_dir": dir, "state": "saved"}
	check := answerOf(t, fake, map[string]any{"backup_dir": dir, "state": "saved", "_ansible_check_mode": true})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Fatalf("check mode wrote %v, %v", entries, err)
	}
	run := answerOf(t, fake, arguments)
	for _, path := range []string{"changed", "plan", "domain", "verdict", "lost"} {
		if check.Get(path).Raw == "" || check.Get(path).Raw != run.Get(path).Raw {
			t.Errorf("%s: check %s, run %s", path, check.Get(path), run.Get(path))
		}
	}
	wantAnswer(t, run, map[string]string{
		"failed": "false", "changed": "true", "verdict": "", "found": "true", "domain.state": "running", "removed": "", "flags": "",
		"lost": `["the memory of the guest, which is running"]`, "plan.#": "2", "msg": "written down in " + dir,
	})
	wantAnswer(t, check, map[string]string{"backup_file": "", "msg": "would write it down"})
	wantBackup(t, run.Get("backup_file").String(), guest)
	content, err := os.ReadFile(run.Get("backup_file").String())
	if err != nil || gjson.GetBytes(content, "data.state").String() != "saved" {
		t.Errorf("got %s, %v", content, err)
	}

	again := answerOf(t, fake, arguments)
	wantAnswer(t, again, map[string]string{"changed": "false", "verdict": "", "backup_file": run.Get("backup_file").String(), "plan": "[]"})
	if err := os.WriteFile(guest.NVRAM, []byte("other variables"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, answerOf(t, fake, arguments), map[string]string{"changed": "true", "verdict": ""})
	if len(fake.Writes) > 0 {
		t.Errorf("asked %v", fake.Writes)
	}
	fake.Remove(uuid)
	wantAnswer(t, answerOf(t, fake, arguments), map[string]string{"failed": "false", "changed": "false", "verdict": absent, "found": "false",
		"backup_file": ""})
}

func TestAnotherDomainIsNotWrittenDown(t *testing.T) {
	fake, dir := hypervisortest.NewFake(), t.TempDir()
	guest := plain
	guest.Foreign = true
	fake.Make(t, guest)
	answer := answerOf(t, fake, map[string]any{"backup_dir": dir, "state": "saved", "name": "instance-00000001"})
	wantAnswer(t, answer, map[string]string{"failed": "true", "verdict": "foreign", "reasons.#": "2", "found": "true", "domain.name": name,
		"msg": "write down domain"})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("wrote %v, %v", entries, err)
	}
}

func TestABackupHoldsWhatNovaComputeRemoves(t *testing.T) {
	for title, c := range map[string]struct {
		changes []change
		copied  int
		lost    int
		reason  bool
		warned  bool
	}{
		"plain":             {},
		"variables and TPM": {changes: []change{uefi, tpm}, copied: 2},
		"what an undefine would keep, too": {changes: []change{uefi, tpm, with(func(p *parameters) { p.NVRAM, p.TPM = keep, keep })},
			copied: 2},
		"not what is to be discarded": {changes: []change{uefi, tpm, with(func(p *parameters) { p.NVRAM, p.TPM = discard, discard })},
			lost: 2},
		"memory goes with the domain":       {changes: []change{running}, lost: 1},
		"a managed save":                    {changes: []change{saved}, lost: 1},
		"passwords that are denied":         {changes: []change{func(e *evidence, _ *parameters) { e.Domain.SecretsDenied = true }}, lost: 1},
		"variables of a guest that is on":   {changes: []change{running, uefi}, copied: 1, lost: 1, warned: true},
		"variables that are not to be seen": {changes: []change{uefi, noNVRAMSeen}, warned: true},
		"a TPM that is not to be seen":      {changes: []change{tpm, noTPMSeen}, warned: true},
		"variables that cannot be copied": {changes: []change{uefi, func(e *evidence, _ *parameters) { e.NVRAM = state{Problem: "denied"} }},
			reason: true},
		"a TPM whose state cannot be copied": {changes: []change{tpm, func(e *evidence, _ *parameters) { e.TPM = state{Problem: "denied"} }},
			reason: true},
		"no word of snapshots or checkpoints": {changes: []change{snapshot, checkpoint}},
		"and none of those who use its files": {changes: []change{func(e *evidence, _ *parameters) {
			e.Usage.Domains = []hypervisor.DomainUse{{UUID: otherUUID, Uses: []string{folder}}}
		}}},
	} {
		t.Run(title, func(t *testing.T) {
			e, p := inactive(), defaults()
			for _, change := range c.changes {
				change(&e, &p)
			}
			got, reasons := judgeSave(e, p)
			if len(got.BackedUp) != c.copied || len(got.Lost) != c.lost || (len(reasons) > 0) != c.reason || (len(got.Warnings) > 0) != c.warned {
				t.Errorf("got %+v, %q", got, reasons)
			}
		})
	}
}

func TestWhatWasWrittenDownIsRestoredFromItsFileOrItsContent(t *testing.T) {
	for title, argument := range map[string]func(t *testing.T, path string) (string, any){
		"file": func(_ *testing.T, path string) (string, any) { return "backup_file", path },
		"content": func(t *testing.T, path string) (string, any) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			return "backup_content", map[string]any{uuid: base64.StdEncoding.EncodeToString(content)}
		},
	} {
		t.Run(title, func(t *testing.T) {
			fake, dir := hypervisortest.NewFake(), t.TempDir()
			guest := plain
			guest.Running, guest.NVRAM, guest.Disk = true, filepath.Join(dir, "v.fd"), filepath.Join(dir, "disk")
			if err := os.WriteFile(guest.Disk, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			fake.Make(t, guest)
			written := answerOf(t, fake, map[string]any{"backup_dir": dir, "state": "saved"})
			if kinds := ansibletest.Kinds(t, dir, uuid); !slices.Equal(kinds, []string{"definition"}) {
				t.Errorf("the backups are %v", kinds)
			}
			key, value := argument(t, written.Get("backup_file").String())
			fake.Remove(uuid)
			// As nova-compute leaves it.
			for _, path := range []string{guest.NVRAM, guest.Disk} {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
			restore := map[string]any{"state": "present", "backup_dir": dir, key: value}
			answer := answerOf(t, fake, restore)
			wantAnswer(t, answer, map[string]string{"failed": "true", "verdict": "", "reasons.#": "1", "msg": "gone since the backup: " +
				guest.Disk})
			if err := os.WriteFile(guest.Disk, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			answer = answerOf(t, fake, restore)
			wantAnswer(t, answer, map[string]string{"failed": "false", "changed": "true", "restored": `["domain","nvram"]`,
				"warnings.0": "what was not in the backup did not come back: the memory of the guest, which is running"})
			domain, err := fake.Domain(t.Context(), uuid)
			if err != nil || domain.XML != guest.XML() || domain.Active {
				t.Errorf("got %+v, %v", domain, err)
			}
			if content, err := os.ReadFile(guest.NVRAM); err != nil || len(content) != 540672 {
				t.Errorf("got %d bytes, %v", len(content), err)
			}
		})
	}
}

func TestWhatTheDefinitionDoesNotTellIsWrittenDownAnew(t *testing.T) {
	fake, dir := hypervisortest.NewFake(), t.TempDir()
	fake.Make(t, plain)
	options := map[string]any{"backup_dir": dir, "state": "saved"}
	answerOf(t, fake, options)
	if err := fake.SetAutostart(t.Context(), uuid); err != nil {
		t.Fatal(err)
	}
	written := answerOf(t, fake, options)
	wantAnswer(t, written, map[string]string{"changed": "true"})
	wantAnswer(t, answerOf(t, fake, options), map[string]string{"changed": "false"})
	fake.Remove(uuid)
	wantAnswer(t, answerOf(t, fake, restoreFrom(dir, written.Get("backup_file").String(), nil)),
		map[string]string{"failed": "false", "restored": `["domain","autostart"]`})
}
