package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

var plain = hypervisortest.Guest{UUID: uuid, Name: name, ProjectID: "p1", Disk: "/i/disk"}

// clock is an hour and a half ahead: what a test has just made is older than min_age.
func clock() time.Time { return time.Now().Add(90 * time.Minute) }

// answerOf calls the module as Ansible does, but against this libvirt.
func answerOf(t *testing.T, libvirt hypervisor.Libvirt, arguments map[string]any) gjson.Result {
	t.Helper()
	all := map[string]any{"uuid": uuid, "instances_path": t.TempDir(), "_ansible_no_log": true, "_ansible_diff": true}
	for key, value := range arguments {
		all[key] = value
	}
	faked := module
	faked.Run = func(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
		var p parameters
		if err := call.Decode(&p); err != nil {
			return nil, err
		}
		return (&host{parameters: p, call: call, libvirt: libvirt, now: clock}).all(ctx)
	}
	return ansibletest.Call(t, faked, all)
}

func wantAnswer(t *testing.T, answer gjson.Result, want map[string]string) {
	t.Helper()
	for path, part := range want {
		got := answer.Get(path)
		if path == "msg" && !strings.Contains(got.String(), part) || path != "msg" && got.String() != part {
			t.Errorf("%s: got %q, want %q", path, got.String(), part)
		}
	}
}

func TestACheckTellsWhatARunDoes(t *testing.T) {
	fake, dir := hypervisortest.NewFake(), t.TempDir()
	guest := plain
	guest.Snapshot, guest.NVRAM = "s1", filepath.Join(t.TempDir(), "v.fd")
	fake.Make(t, guest)
	check := answerOf(t, fake, map[string]any{"backup_dir": dir, "_ansible_check_mode": true})
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 || len(fake.Writes) > 0 {
		t.Fatalf("check mode wrote %v, asked %v, %v", entries, fake.Writes, err)
	}
	run := answerOf(t, fake, map[string]any{"backup_dir": dir})
	for _, path := range []string{"changed", "plan", "diff", "flags", "removed", "left_behind", "domain", "verdict"} {
		if check.Get(path).Raw == "" || check.Get(path).Raw != run.Get(path).Raw {
			t.Errorf("%s: check %s, run %s", path, check.Get(path), run.Get(path))
		}
	}
	wantAnswer(t, check, map[string]string{"msg": "would remove domain, snapshots_metadata, nvram", "changed": "true"})
	wantAnswer(t, run, map[string]string{"msg": ": removed domain", "flags": `["nvram","snapshots_metadata"]`, "left_behind": `["/i/disk"]`,
		"verdict": ""})
	if !slices.Equal(fake.Writes, []string{"undefine"}) {
		t.Errorf("asked %v", fake.Writes)
	}
	wantBackup(t, run.Get("backup_file").String(), guest)

	again := answerOf(t, fake, map[string]any{"backup_dir": dir})
	wantAnswer(t, again, map[string]string{"changed": "false", "found": "false", "verdict": absent, "backup_file": "", "msg": "no domain " +
		uuid})
}

// wantBackup checks that the backup defines the guest again.
func wantBackup(t *testing.T, path string, guest hypervisortest.Guest) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var written struct {
		Data struct {
			XML       string
			Snapshots []string `json:"snapshots_xml"`
			Files     []storedFile
		}
	}
	if err = json.Unmarshal(content, &written); err != nil {
		t.Fatal(err)
	}
	data := written.Data
	if data.XML != guest.XML() || len(data.Snapshots) != 1 || len(data.Files) != 1 || data.Files[0].Path != guest.NVRAM ||
		data.Files[0].Mode != 0o600 {
		t.Fatalf("got %+v", data)
	}
	reader, err := gzip.NewReader(bytes.NewReader(data.Files[0].Gzip))
	if err != nil {
		t.Fatal(err)
	}
	if stored, err := io.ReadAll(reader); err != nil || len(stored) != 540672 {
		t.Errorf("got %d bytes, %v", len(stored), err)
	}
}

func TestWhatNoRestoreBringsBackIsSaidFirst(t *testing.T) {
	guest := plain
	guest.Running, guest.NVRAM = true, filepath.Join(t.TempDir(), "v.fd")
	for _, check := range []bool{true, false} {
		fake := hypervisortest.NewFake()
		fake.Make(t, guest)
		answer := answerOf(t, fake, map[string]any{"backup_dir": t.TempDir(), "destroy": true, "nvram": "discard", "_ansible_check_mode": check})
		wantAnswer(t, answer, map[string]string{
			"failed": "false", "lost": `["the memory of the guest, which is running","the UEFI variables, not copied (nvram: discard)"]`,
			"plan.3": "what no restore brings back: the memory of the guest, which is running; the UEFI variables, not copied (nvram: " +
				"discard)",
		})
	}
}

func TestARefusalChangesNothing(t *testing.T) {
	fake, dir := hypervisortest.NewFake(), t.TempDir()
	guest := plain
	guest.Running, guest.Foreign = true, true
	fake.Make(t, guest)
	answer := answerOf(t, fake, map[string]any{"backup_dir": dir, "name": "instance-00000001"})
	wantAnswer(t, answer, map[string]string{"failed": "true", "verdict": "foreign", "reasons.#": "3", "changed": "false", "found": "true",
		"domain.name": name, "backup_file": "", "plan": "[]", "diff": ""})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 || len(fake.Writes) > 0 {
		t.Errorf("wrote %v, asked %v, %v", entries, fake.Writes, err)
	}
}

func TestNothingIsDoneWithoutABackup(t *testing.T) {
	fake := hypervisortest.NewFake()
	guest := plain
	guest.Running = true
	fake.Make(t, guest)
	answer := answerOf(t, fake, map[string]any{"backup_dir": "/dev/null", "destroy": true})
	wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "false", "msg": "so nothing was changed"})
	if len(fake.Writes) > 0 {
		t.Errorf("asked %v", fake.Writes)
	}
}

func TestPoweringOffAndUndefiningIsOneRun(t *testing.T) {
	for title, c := range map[string]struct {
		transient bool
		writes    []string
	}{
		"a persistent domain":                       {false, []string{"destroy", "undefine"}},
		"a transient domain is gone when it is off": {true, []string{"destroy"}},
	} {
		t.Run(title, func(t *testing.T) {
			fake, guest := hypervisortest.NewFake(), plain
			guest.Running, guest.Transient = true, c.transient
			fake.Make(t, guest)
			answer := answerOf(t, fake, map[string]any{"backup_dir": t.TempDir(), "destroy": true})
			wantAnswer(t, answer, map[string]string{"failed": "false", "changed": "true", "domain.state": "running", "diff.after": "{}"})
			if !slices.Equal(fake.Writes, c.writes) {
				t.Errorf("asked %v", fake.Writes)
			}
		})
	}
}
