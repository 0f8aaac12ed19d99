package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

const (
	inCeph = `<disk type='network' device='disk'><auth username='nova'><secret type='ceph' uuid='` + otherUUID + `'/></auth>` +
		`<source protocol='rbd' name='vms/` + uuid + `_disk'><host name='192.0.2.1' port='6789'/></source><target dev='vdb' bus='virtio'/></disk>`
	watched = `{"watchers":[{"address":"192.0.2.1:0/1","client":1,"cookie":1},{"address":"192.0.2.2:0/2","client":2,"cookie":2}]}`
	gone    = "rbd: error opening image " + uuid + "_disk: (2) No such file or directory"
)

func TestWhatRBDSays(t *testing.T) {
	two := errors.New("exit status 2")
	for title, c := range map[string]struct {
		out, said string
		err       error
		exists    any
		watchers  []string
		unread    string
	}{
		"it is watched":            {out: watched, exists: true, watchers: []string{"192.0.2.1:0/1", "192.0.2.2:0/2"}},
		"it is not, with a remark": {out: `{"watchers":[]}`, said: "2026 -1 auth: no keyring", exists: true},
		"it is not there":          {said: "2026 -1 librbd: failed\n" + gone, err: two, exists: false},
		"its pool is not there":    {said: "rbd: error opening pool 'x': (2) No such file or directory\n", err: two, unread: "opening pool"},
		"it must not be opened": {said: strings.Replace(gone, "(2) No such file or directory", "(1) Operation not permitted", 1), err: two,
			unread: "(1) Operation not permitted (exit status 2)"},
		"another is not there":        {said: strings.Replace(gone, "_disk", "_disk.config", 1), err: two, unread: "exit status 2"},
		"the command is not there":    {said: "sh: 2: rbd: not found", err: two, unread: "not found (exit status 2)"},
		"it failed after its answer":  {out: watched, err: two, unread: "exit status 2"},
		"the object of old releases":  {out: `{"watchers":{"watcher":{"address":"a"},"watcher":{"address":"b"}}}`, unread: "rbd status says"},
		"half an answer":              {out: watched[:40], unread: "rbd status says"},
		"something else, or nothing":  {out: `{}`, unread: "rbd status says"},
		"nothing, and it ended well ": {unread: "rbd status says"},
	} {
		t.Run(title, func(t *testing.T) {
			got := image{Image: hypervisor.Image{Image: uuid + "_disk"}}
			got.hear([]byte(c.out), c.said, c.err)
			var exists any
			if got.Exists != nil {
				exists = *got.Exists
			}
			if exists != c.exists || !cmp.Equal(got.Watchers, c.watchers) || (got.Unread == "") != (c.unread == "") ||
				!strings.Contains(got.Unread, c.unread) {
				t.Errorf("got %v, %v, %q", exists, got.Watchers, got.Unread)
			}
		})
	}
}

// rbd is a command that writes down its words and does what the script says.
func rbd(t *testing.T, script string) (command []string, words func() string) {
	t.Helper()
	path, log := filepath.Join(t.TempDir(), "rbd"), filepath.Join(t.TempDir(), "words")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho \"$*\" >>"+log+"\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return []string{path, "--conf", "a b"}, func() string {
		said, err := os.ReadFile(log)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return string(said)
	}
}

func TestMoreWatchersThanGuestsAreARefusal(t *testing.T) {
	const asked = "--conf a b --id nova status --format json vms/" + uuid + "_disk\n"
	twice, absence := "echo '"+watched+"'", "echo '"+gone+"' >&2; exit 2"
	for title, c := range map[string]struct {
		script         string
		running, unset bool
		elsewhere      []string
		want           map[string]string
	}{
		"one watcher too many": {script: twice, running: true, want: map[string]string{"failed": "true", "verdict": "live", "reasons.#": "1",
			"images.0.watchers": `["192.0.2.1:0/1","192.0.2.2:0/2"]`, "msg": "_disk has 2 watchers (192.0.2.1:0/1, 192.0.2.2:0/2), but 1 domains"}},
		"one is a guest's on another host": {script: twice, running: true, elsewhere: []string{uuid, otherUUID},
			want: map[string]string{"failed": "false", "images.0.exists": "true"}},
		"guests of others on other hosts": {script: twice, running: true, elsewhere: []string{otherUUID},
			want: map[string]string{"failed": "true", "verdict": "live"}},
		"an image that is not there": {script: absence, want: map[string]string{"failed": "false", "images.0.exists": "false"}},
		"Ceph does not say": {script: "echo no monitors >&2; exit 1", want: map[string]string{"failed": "true", "verdict": "unknown",
			"images.0.unread": "no monitors (exit status 1)", "images.0.exists": "", "msg": "asked: no monitors (exit status 1) (rbd: []",
			"reasons.0": "who has the images of instance " + uuid + " open could not be read"}},
		"it is not to be asked": {script: twice, unset: true, want: map[string]string{"failed": "false", "images.0.exists": ""}},
	} {
		t.Run(title, func(t *testing.T) {
			fake, guest := hypervisortest.NewFake(), plain
			guest.Running, guest.Devices = c.running, inCeph
			fake.Make(t, guest)
			command, words := rbd(t, c.script)
			var given any = command
			want := asked
			if c.unset { // as by -e
				given, want = "[]", ""
			}
			// What was powered off may be among the watchers for a while: Ceph is asked once.
			answer := answerOf(t, fake, map[string]any{"backup_dir": t.TempDir(), "destroy": true, "rbd": given, "running_elsewhere": c.elsewhere})
			wantAnswer(t, answer, c.want)
			wantAnswer(t, answer, map[string]string{"images.0.source": "rbd:vms/" + uuid + "_disk", "images.#": "1"})
			if got := words(); got != want {
				t.Errorf("asked %q", got)
			}
			if answer.Get("failed").Bool() != (len(fake.Writes) == 0) {
				t.Errorf("wrote %v", fake.Writes)
			}
		})
	}
}

func TestOfADomainThatIsGoneItsLastBackupTellsTheDisks(t *testing.T) {
	fake, dir, guest := hypervisortest.NewFake(), t.TempDir(), plain
	guest.Disk, guest.Devices = filepath.Join(dir, "disk"), inCeph
	if err := os.WriteFile(guest.Disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fake.Make(t, guest)
	there, _ := rbd(t, `echo '{"watchers":[]}'`)
	arguments := map[string]any{"backup_dir": dir, "rbd": there}
	for _, step := range []string{"saved", "absent"} {
		arguments["state"] = step
		answerOf(t, fake, arguments)
	}
	arguments["_ansible_check_mode"] = true
	wantAnswer(t, answerOf(t, fake, arguments), map[string]string{"failed": "false", "changed": "false", "found": "false",
		"files": `[{"exists":true,"source":"` + guest.Disk + `"}]`, "images.#.exists": "[true]"})
	if err := os.Remove(guest.Disk); err != nil {
		t.Fatal(err)
	}
	arguments["rbd"], _ = rbd(t, "echo '"+gone+"' >&2; exit 2")
	wantAnswer(t, answerOf(t, fake, arguments),
		map[string]string{"failed": "false", "files.#.exists": "[false]", "images.#.exists": "[false]"})
	arguments["rbd"], _ = rbd(t, "echo '"+watched+"'")
	wantAnswer(t, answerOf(t, fake, arguments), map[string]string{"failed": "true", "verdict": "live", "msg": "2 watchers"})
	arguments["backup_dir"] = t.TempDir()
	wantAnswer(t, answerOf(t, fake, arguments), map[string]string{"failed": "false", "files": "[]", "images": "[]"})
}

func TestAFileThatCannotBeLookedAtIsNoAbsence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := lookAt(filepath.Join(file, "disk")); got.Exists != nil || !strings.Contains(got.Unread, "not a directory") {
		t.Errorf("got %+v", got)
	}
}

func TestACephThatHangsIsAskedOnce(t *testing.T) {
	command, words := rbd(t, "sleep 600")
	c := &ceph{command: command, patience: 100 * time.Millisecond}
	for range 2 {
		got := c.ask(t.Context(), hypervisor.Image{Pool: "vms", Image: "a"})
		if !strings.Contains(got.Unread, "has not answered in time") || got.Exists != nil {
			t.Errorf("got %+v", got)
		}
	}
	if strings.Count(words(), "\n") > 1 {
		t.Errorf("asked %q", words())
	}
}

func TestACallWhoseTimeIsUpSaysNothingOfCeph(t *testing.T) {
	command, _ := rbd(t, "sleep 600")
	c := &ceph{command: command, patience: time.Minute}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	got := c.ask(ctx, hypervisor.Image{Pool: "vms", Image: "a"})
	if !strings.Contains(got.Unread, "the time of the whole call was up") || got.Exists != nil || c.hung != "" {
		t.Errorf("got %+v, hung %q", got, c.hung)
	}
}
