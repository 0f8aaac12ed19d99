package main

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

// purged undefines a guest that has all there is, and returns where its backup is.
func purged(t *testing.T, fake *hypervisortest.Fake, dir string) (guest hypervisortest.Guest, backupFile string) {
	t.Helper()
	guest = plain
	guest.Snapshot, guest.Checkpoint, guest.NVRAM, guest.Disk = "s1", "c1", filepath.Join(dir, "v.fd"), filepath.Join(dir, "disk")
	if err := os.WriteFile(guest.Disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fake.Make(t, guest)
	if err := fake.SetAutostart(t.Context(), uuid); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(guest.NVRAM, []byte("variables"), 0o600), os.Chmod(guest.NVRAM, 0o640)); err != nil {
		t.Fatal(err)
	}
	fake.Writes = nil
	answer := answerOf(t, fake, map[string]any{"backup_dir": filepath.Join(dir, "backups")})
	if backupFile = answer.Get("backup_file").String(); backupFile == "" {
		t.Fatalf("got %s", answer)
	}
	fake.Writes = nil
	return guest, backupFile
}

func restoreFrom(dir, backupFile string, more map[string]any) map[string]any {
	arguments := map[string]any{"state": "present", "backup_file": backupFile, "backup_dir": filepath.Join(dir, "backups")}
	maps.Copy(arguments, more)
	return arguments
}

func TestAPurgedDomainComesBackAsItWas(t *testing.T) {
	fake, dir := hypervisortest.NewFake(), t.TempDir()
	fake.Make(t, plain)
	guest, backupFile := purged(t, fake, dir)
	original := hypervisortest.NewFake()
	original.Make(t, guest)
	if err := original.SetAutostart(t.Context(), uuid); err != nil {
		t.Fatal(err)
	}
	before, err := original.Domain(t.Context(), uuid)
	if err != nil {
		t.Fatal(err)
	}
	if err = os.Remove(guest.NVRAM); err != nil {
		t.Fatal(err)
	}

	check := answerOf(t, fake, restoreFrom(dir, backupFile, map[string]any{"_ansible_check_mode": true}))
	if len(fake.Writes) > 0 {
		t.Fatalf("check mode asked %v", fake.Writes)
	}
	run := answerOf(t, fake, restoreFrom(dir, backupFile, nil))
	for _, path := range []string{"changed", "plan", "diff", "restored", "domain", "verdict"} {
		if check.Get(path).Raw == "" || check.Get(path).Raw != run.Get(path).Raw {
			t.Errorf("%s: check %s, run %s", path, check.Get(path), run.Get(path))
		}
	}
	wantAnswer(t, run, map[string]string{
		"failed": "false", "changed": "true", "verdict": "", "found": "false", "diff.before": "{}", "diff.after.domain.persistent": "true",
		"restored": `["domain","autostart","snapshots_metadata","checkpoints_metadata","nvram"]`, "msg": ": restored domain",
	})
	after, err := fake.Domain(t.Context(), uuid)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Error(diff)
	}
	if content, err := os.ReadFile(guest.NVRAM); err != nil || !bytes.Equal(content, []byte("variables")) {
		t.Errorf("got %q, %v", content, err)
	}
	if info, err := os.Stat(guest.NVRAM); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("got %v, %v", info, err)
	}

	fake.Writes = nil
	again := answerOf(t, fake, restoreFrom(dir, backupFile, nil))
	wantAnswer(t, again, map[string]string{"failed": "false", "changed": "false", "verdict": "", "found": "true", "diff": "",
		"backup_file": ""})
	if len(fake.Writes) > 0 {
		t.Errorf("the second restore asked %v", fake.Writes)
	}
	// A restore's own record is no backup.
	wantAnswer(t, answerOf(t, fake, restoreFrom(dir, run.Get("backup_file").String(), nil)), map[string]string{
		"failed": "true", "verdict": "unknown", "msg": "it is the record of a restore and has no definition: give " + backupFile,
	})
}

func TestARestoreThatWasCutOffIsFinished(t *testing.T) {
	for _, request := range []string{"define", "set autostart", "define snapshot", "define checkpoint"} {
		t.Run(request, func(t *testing.T) {
			fake, dir := hypervisortest.NewFake(), t.TempDir()
			_, backupFile := purged(t, fake, dir)
			fake.Before = func(got, _ string) error {
				if got == request {
					return hypervisortest.Said(38, "client socket is closed")
				}
				return nil
			}
			wantAnswer(t, answerOf(t, fake, restoreFrom(dir, backupFile, nil)),
				map[string]string{"failed": "true", "libvirt_code": "38", "restored": ""})
			if kinds := ansibletest.Kinds(t, filepath.Join(dir, "backups"), uuid); kinds[len(kinds)-1] != "restoring" {
				t.Errorf("the backups are %v", kinds)
			}
			fake.Before = nil
			wantAnswer(t, answerOf(t, fake, restoreFrom(dir, backupFile, nil)), map[string]string{"failed": "false", "changed": "true"})
			if kinds := ansibletest.Kinds(t, filepath.Join(dir, "backups"), uuid); kinds[len(kinds)-1] != "restore" {
				t.Errorf("the backups are %v", kinds)
			}
			wantAnswer(t, answerOf(t, fake, restoreFrom(dir, backupFile, nil)), map[string]string{"failed": "false", "changed": "false"})
		})
	}
}

func TestALostAnswerToARestoreIsReadBack(t *testing.T) {
	for title, arrives := range map[string]bool{"it was done": true, "it was not": false} {
		t.Run(title, func(t *testing.T) {
			fake, dir := hypervisortest.NewFake(), t.TempDir()
			guest, backupFile := purged(t, fake, dir)
			lost := false
			fake.Before = func(request, _ string) error {
				if request != "define" || lost {
					return nil
				}
				if lost = true; arrives {
					if err := fake.Define(t.Context(), guest.XML()); err != nil {
						t.Error(err)
					}
				}
				return hypervisortest.Lost()
			}
			answer := answerOf(t, fake, restoreFrom(dir, backupFile, nil))
			wantAnswer(t, answer, map[string]string{"failed": "false", "changed": "true", "found": "false",
				"warnings.#": map[bool]string{true: "1"}[arrives],
				"restored":   `["domain","autostart","snapshots_metadata","checkpoints_metadata","nvram"]`})
			wantAnswer(t, answerOf(t, fake, restoreFrom(dir, backupFile, nil)), map[string]string{"failed": "false", "changed": "false"})
		})
	}
}

func TestARestoreIsRefusedWhereSomethingElseIs(t *testing.T) {
	for title, c := range map[string]struct {
		meanwhile func(t *testing.T, fake *hypervisortest.Fake, guest hypervisortest.Guest)
		reason    string
	}{
		"another domain of the uuid": {func(t *testing.T, fake *hypervisortest.Fake, guest hypervisortest.Guest) {
			guest.Name = "instance-00000001"
			fake.Make(t, guest)
		}, "with another definition (instance-00000001, where the backup has instance-00000001 and " + name},
		"another domain of the name": {func(t *testing.T, fake *hypervisortest.Fake, guest hypervisortest.Guest) {
			guest.UUID = "11111111-f6a4-8304-79aa-97f2502e193f"
			guest.NVRAM = ""
			fake.Make(t, guest)
		}, "domain 11111111-f6a4-8304-79aa-97f2502e193f has its name"},
		"no disk": {func(t *testing.T, _ *hypervisortest.Fake, guest hypervisortest.Guest) {
			if err := os.Remove(guest.Disk); err != nil {
				t.Fatal(err)
			}
		}, "gone since the backup: "},
		"other variables": {func(t *testing.T, _ *hypervisortest.Fake, guest hypervisortest.Guest) {
			if err := os.WriteFile(guest.NVRAM, []byte("Variables"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is there with another content"},
	} {
		t.Run(title, func(t *testing.T) {
			fake, dir := hypervisortest.NewFake(), t.TempDir()
			guest, backupFile := purged(t, fake, dir)
			c.meanwhile(t, fake, guest)
			answer := answerOf(t, fake, restoreFrom(dir, backupFile, nil))
			wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "false", "verdict": "", "reasons.#": "1", "plan": "[]",
				"diff": "", "msg": c.reason})
			if len(fake.Writes) > 0 {
				t.Errorf("asked %v", fake.Writes)
			}
		})
	}
}

func TestADamagedBackupIsNotRestored(t *testing.T) {
	for title, c := range map[string]struct{ old, new, want string }{
		"another uuid in the definition": {"<uuid>" + uuid, "<uuid>11111111-f6a4-8304-79aa-97f2502e193f", "names the uuid"},
		"another name in the definition": {"<name>" + name, "<name>instance-00000001", "it defines instance-00000001, but tells of domain " +
			name},
		"no XML":                      {"<domain", "<", "read the definition"},
		"a file that does not unpack": {`"gzip": "H4sI`, `"gzip": "AAAA`, "its copy of "},
		"records without names":       {`"snapshots_xml"`, `"others"`, "have no names"},
		"another module's":            {`"module": "libvirt_undefine"`, `"module": "nova_instance_purge"`, "is a backup of module"},
	} {
		t.Run(title, func(t *testing.T) {
			fake, dir := hypervisortest.NewFake(), t.TempDir()
			_, backupFile := purged(t, fake, dir)
			content, err := os.ReadFile(backupFile)
			if err != nil {
				t.Fatal(err)
			}
			// encoding/json escapes the angle brackets.
			escape := strings.NewReplacer("<", `\u003c`, ">", `\u003e`)
			damaged := strings.ReplaceAll(string(content), escape.Replace(c.old), escape.Replace(c.new))
			if damaged == string(content) {
				t.Fatal("nothing was damaged")
			}
			if err := os.WriteFile(backupFile, []byte(damaged), 0o600); err != nil {
				t.Fatal(err)
			}
			answer := answerOf(t, fake, restoreFrom(dir, backupFile, nil))
			wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "false", "verdict": "unknown", "reasons.0": backupFile +
				" could not be read", "msg": c.want})
			if len(fake.Writes) > 0 {
				t.Errorf("asked %v", fake.Writes)
			}
		})
	}
}

func TestAFileIsAddedWholeAndNeverReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "v.fd")
	file := stateFile{entry: entry{Path: path, Mode: 0o640, UID: os.Getuid(), GID: os.Getgid()}, Content: []byte("new")}
	if err := os.WriteFile(filepath.Join(dir, ".v.fd.restore-1"), []byte("cut off"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := addFile(file); err != nil {
		t.Fatal(err)
	}
	if err := addFile(stateFile{entry: file.entry, Content: []byte("other")}); err == nil {
		t.Error("a file was replaced")
	}
	content, err := os.ReadFile(path)
	if err != nil || string(content) != "new" {
		t.Errorf("got %q, %v", content, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || !slices.EqualFunc(entries, []string{"v.fd"}, func(e os.DirEntry, name string) bool { return e.Name() == name }) {
		t.Errorf("left %v, %v", entries, err)
	}
}
