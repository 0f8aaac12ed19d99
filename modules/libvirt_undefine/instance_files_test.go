package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/backup"
	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/hypervisor/hypervisortest"
	"nova-orphan/internal/instancefiles"
)

// instancesWith is an instances_path with these files.
func instancesWith(t *testing.T, files ...string) (root string) {
	t.Helper()
	root = t.TempDir()
	for _, file := range files {
		path := filepath.Join(root, file)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if err == nil {
			err = os.WriteFile(path, []byte(file), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// filesIn are those below a folder.
func filesIn(t *testing.T, root string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, strings.TrimPrefix(path, root+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestTheFoldersOfAnInstanceAreKeptAndToldOrRemovedAfterItsDomain(t *testing.T) {
	others := []string{"_base/x", otherUUID + "/disk"}
	for title, c := range map[string]struct {
		files   []string
		domain  bool
		running bool
		remove  bool
		removed []string // of the folders
		stay    []string
		changed bool
		writes  []string
	}{
		"kept without a domain": {files: []string{uuid + "/disk", uuid + "_del/x"}, stay: []string{uuid + "_del", uuid}},
		"kept with a domain": {files: []string{uuid + "/disk"}, domain: true,
			stay: []string{uuid}, changed: true, writes: []string{"undefine"}},
		"none":                           {},
		"none to be removed":             {remove: true},
		"none to be removed, but domain": {domain: true, remove: true, changed: true, writes: []string{"undefine"}},
		"removed without a domain":       {files: []string{uuid + "/disk"}, remove: true, removed: []string{uuid}, changed: true},
		"all three, without a domain": {files: []string{uuid + "/disk", uuid + "_resize/disk", uuid + "_del/disk"}, remove: true,
			removed: []string{uuid + "_del", uuid, uuid + "_resize"}, changed: true},
		"removed after a domain": {files: []string{uuid + "/disk", uuid + "_resize/disk"}, domain: true, remove: true,
			removed: []string{uuid, uuid + "_resize"}, changed: true, writes: []string{"undefine"}},
		"removed after one that ran": {files: []string{uuid + "/disk"}, domain: true, running: true, remove: true,
			removed: []string{uuid}, changed: true, writes: []string{"destroy", "undefine"}},
		"what another instance has stays": {files: []string{uuid + "0/x", uuid + "_rescue/x"}, remove: true},
	} {
		for _, check := range []bool{true, false} {
			t.Run(fmt.Sprint(title, ", check ", check), func(t *testing.T) {
				fake, dir, root := hypervisortest.NewFake(), t.TempDir(), instancesWith(t, slices.Concat(c.files, others)...)
				if c.domain {
					guest := plain
					guest.Disk, guest.Running = filepath.Join(root, uuid, "disk"), c.running
					fake.Make(t, guest)
				}
				options := map[string]any{"backup_dir": dir, "instances_path": root, "destroy": true, "_ansible_check_mode": check}
				if c.remove {
					options["instance_files"] = "remove"
				}
				answer := answerOf(t, fake, options)
				var removed, left []string
				for _, path := range c.removed {
					removed = append(removed, filepath.Join(root, path))
				}
				for _, path := range c.stay {
					left = append(left, filepath.Join(root, path))
				}
				var told, stay []string
				for _, folder := range answer.Get("removed_files").Array() {
					told = append(told, folder.Get("path").String())
					step := "remove " + folder.Get("path").String() + " ("
					if !strings.Contains(answer.Get("plan").String(), step) || folder.Get("bytes").Int() == 0 || folder.Get("files").Int() == 0 {
						t.Errorf("%s is not told in the plan %s: %s", step, answer.Get("plan"), folder)
					}
				}
				for _, path := range answer.Get("left_behind").Array() {
					if path.String() != filepath.Join(root, uuid, "disk") {
						stay = append(stay, path.String())
					}
				}
				if !slices.Equal(told, removed) || !slices.Equal(stay, left) || answer.Get("failed").Bool() ||
					answer.Get("changed").Bool() != c.changed {
					t.Errorf("got %s", answer)
				}
				lost := "what is in " + strings.Join(removed, ", ")
				if got := answer.Get("lost").String(); strings.Contains(got, lost) != (len(removed) > 0) {
					t.Errorf("it is not said that nothing brings it back: %s", got)
				}
				want, writes := slices.Concat(c.files, others), c.writes
				if check {
					writes = nil
				} else {
					want = slices.DeleteFunc(want, func(file string) bool { return slices.Contains(c.removed, filepath.Dir(file)) })
				}
				slices.Sort(want)
				if got := filesIn(t, root); !slices.Equal(got, want) || !slices.Equal(fake.Writes, writes) {
					t.Errorf("there are %q, want %q; asked %v", got, want, fake.Writes)
				}
				if check {
					return
				}
				again := answerOf(t, fake, options)
				wantAnswer(t, again, map[string]string{"changed": "false", "failed": "false", "removed_files": "", "verdict": absent})
				if len(again.Get("left_behind").Array()) != len(left) {
					t.Errorf("the second time: %s", again)
				}
			})
		}
	}
}

func TestFoldersAreNotRemovedThatSomebodyMayNeed(t *testing.T) {
	for title, c := range map[string]struct {
		files   []string
		prepare func(t *testing.T, fake *hypervisortest.Fake, root string)
		options map[string]any
		said    string
		verdict string
	}{
		"another domain runs from a disk": {
			prepare: func(t *testing.T, fake *hypervisortest.Fake, root string) {
				t.Helper()
				fake.Make(t, hypervisortest.Guest{UUID: otherUUID, Name: "rescue", Foreign: true, Disk: filepath.Join(root, uuid, "disk")})
			}, said: "domain rescue", verdict: "live",
		},
		"another domain uses what was kept of a resize": {
			files: []string{uuid + "_resize/disk"},
			prepare: func(t *testing.T, fake *hypervisortest.Fake, root string) {
				t.Helper()
				fake.Make(t, hypervisortest.Guest{UUID: otherUUID, Name: "rescue", Foreign: true, Disk: "/rescue/disk",
					Devices: "<hostdev><source dir='" + filepath.Join(root, uuid+"_resize", "disk") + "'/></hostdev>"})
			}, said: "domain rescue", verdict: "live",
		},
		"the folder is a link": {
			prepare: func(t *testing.T, _ *hypervisortest.Fake, root string) {
				t.Helper()
				if err := os.Rename(filepath.Join(root, uuid), filepath.Join(root, "elsewhere")); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink("elsewhere", filepath.Join(root, uuid)); err != nil {
					t.Fatal(err)
				}
			}, said: "is a link to elsewhere, which is not followed: remove both by hand (instance_files: keep leaves it)", verdict: "absent",
		},
		"other hosts have it, too": {
			files: []string{"compute_nodes"},
			prepare: func(t *testing.T, _ *hypervisortest.Fake, root string) {
				t.Helper()
				if err := os.WriteFile(filepath.Join(root, "compute_nodes"), []byte(`{"compute1": 1.5, "compute2": 1.5}`), 0o600); err != nil {
					t.Fatal(err)
				}
			}, said: "has the hosts compute1, compute2: look on each of them", verdict: "absent",
		},
		"whether other hosts have it cannot be told": {files: []string{"compute_nodes"}, said: "read Nova's registry compute_nodes",
			verdict: "unknown"},
		"it was written a moment ago": {options: map[string]any{"min_age": 7200},
			said: "as by a build or a migration that has yet to define its domain: it is left alone for min_age (2h0m0s)", verdict: "absent"},
		"the folders cannot be looked at": {options: map[string]any{"instances_path": "/nowhere"}, said: "give the instances_path",
			verdict: "unknown"},
		"they are another host's": {options: map[string]any{"uri": "qemu+ssh://other/system"}, said: "run it on the hypervisor itself",
			verdict: "unknown"},
	} {
		for _, there := range []bool{false, true} {
			if there && (title == "it was written a moment ago" || strings.HasPrefix(title, "another")) {
				continue // that of a domain is written by its guest; its own files are looked at in any case
			}
			t.Run(fmt.Sprint(title, ", domain ", there), func(t *testing.T) {
				fake, root := hypervisortest.NewFake(), instancesWith(t, append(c.files, uuid+"/disk")...)
				if there {
					fake.Make(t, plain)
				}
				if c.prepare != nil {
					c.prepare(t, fake, root)
				}
				options := map[string]any{"backup_dir": t.TempDir(), "instances_path": root, "instance_files": "remove"}
				for option, value := range c.options {
					options[option] = value
				}
				before := filesIn(t, root)
				answer := answerOf(t, fake, options)
				wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "false", "msg": c.said, "removed_files": "", "plan": "[]",
					"backup_file": ""})
				if verdict := answer.Get("verdict").String(); verdict != c.verdict && !there {
					t.Errorf("the verdict is %s", verdict)
				}
				if after := filesIn(t, root); !slices.Equal(before, after) || len(fake.Writes) > 0 {
					t.Errorf("there are %q, were %q, asked %v", after, before, fake.Writes)
				}
				if c.options["instances_path"] == nil && c.options["uri"] == nil && !strings.Contains(answer.Get("left_behind").String(), uuid) {
					t.Errorf("the folder that stays is not told: %s", answer)
				}
			})
		}
	}
}

func TestAFreshFolderGoesWhereAnEarlierRunUndefinedTheDomain(t *testing.T) {
	for title, c := range map[string]struct {
		state   string // of the last backup
		ago     time.Duration
		removed bool
	}{
		"just now":             {ago: 80 * time.Minute, removed: true},
		"long ago":             {ago: 3 * time.Hour},
		"it was only saved":    {state: written, ago: 80 * time.Minute},
		"it was not that call": {state: "restored", ago: 80 * time.Minute},
	} {
		t.Run(title, func(t *testing.T) {
			fake, dir, root := hypervisortest.NewFake(), t.TempDir(), instancesWith(t, uuid+"/disk")
			fake.Make(t, plain)
			domain, err := fake.Domain(t.Context(), uuid)
			if err != nil {
				t.Fatal(err)
			}
			fake.Remove(uuid)
			data, err := newRecord(evidence{Domain: domain}, plan{})
			if data.State = c.state; err == nil && c.state == "restored" {
				data.State, data.Restored = "", "/b"
			}
			var path string
			if err == nil {
				path, err = backup.Write(dir, backup.Backup{Module: moduleName, UUID: uuid, Data: data})
			}
			if err == nil {
				at := clock().Add(-c.ago)
				err = os.Chtimes(path, at, at)
			}
			if err != nil {
				t.Fatal(err)
			}
			answer := answerOf(t, fake, map[string]any{"backup_dir": dir, "instances_path": root, "instance_files": "remove",
				"min_age": 7200})
			if answer.Get("changed").Bool() != c.removed || len(filesIn(t, root)) == 0 != c.removed {
				t.Errorf("got %s", answer)
			}
		})
	}
}

func TestAFolderThatCannotBeRemovedIsToldAsLeft(t *testing.T) {
	// As Nova's own removal would, this one stops at a file of the name that the folder is to have.
	fake, root := hypervisortest.NewFake(), instancesWith(t, uuid+"/disk", uuid+"_resize/disk", uuid+"_del")
	fake.Make(t, plain)
	answer := answerOf(t, fake, map[string]any{"backup_dir": t.TempDir(), "instances_path": root, "instance_files": "remove"})
	wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "true", "msg": "remove " + filepath.Join(root, uuid) + ": ",
		"removed_files": "", "left_behind.#": "2"})
	if got := filesIn(t, root); len(got) != 3 {
		t.Errorf("there are %q", got)
	}
}

// One that is defined, or that begins to use the files, after the domain is gone and before they go.
func TestWhoComesBeforeTheFoldersGoIsSeen(t *testing.T) {
	fake, root := hypervisortest.NewFake(), instancesWith(t, uuid+"/disk")
	fake.Make(t, plain)
	fake.Before = func(request, _ string) error {
		if request == "list" && slices.Contains(fake.Writes, "undefine") {
			fake.Make(t, hypervisortest.Guest{UUID: otherUUID, Name: "rescue", Foreign: true, Disk: filepath.Join(root, uuid, "disk")})
		}
		return nil
	}
	answer := answerOf(t, fake, map[string]any{"backup_dir": t.TempDir(), "instances_path": root, "instance_files": "remove"})
	wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "true", "verdict": "live", "msg": "domain rescue",
		"removed_files": "", "left_behind": `["` + filepath.Join(root, uuid) + `"]`})
	if got := filesIn(t, root); len(got) != 1 {
		t.Errorf("there are %q", got)
	}
}

func TestFoldersThatCannotBeLookedAtAreToldOnce(t *testing.T) {
	answer := answerOf(t, hypervisortest.NewFake(), map[string]any{"uuid": []string{uuidOf(1), uuidOf(2)}, "backup_dir": t.TempDir(),
		"instances_path": "/nowhere"})
	wantAnswer(t, answer, map[string]string{"failed": "", "changed": "false", "warnings.#": "1"})
	if warning := answer.Get("warnings.0").String(); !strings.Contains(warning, "whether folders of the instances stay is not known") {
		t.Errorf("got %s", warning)
	}
}

func TestWhatSpeaksAgainstRemovingAFolder(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	fresh := instancefiles.Content{
		Folder: instancefiles.Folder{Path: "/i/" + uuid, UUID: uuid, Kind: "instance"}, Changed: now.Add(-time.Minute),
	}
	old, deleted, linked := fresh, fresh, fresh
	old.Changed, deleted.Kind, linked.Obstacle = now.Add(-time.Hour), instancefiles.Deleted, "it is a link"
	domain := hypervisor.Domain{UUID: uuid}
	for title, c := range map[string]struct {
		e    evidence
		want []string // parts, one a reason
	}{
		"nothing there, on shared storage": {e: evidence{Shared: "shared"}},
		"old":                              {e: evidence{Folders: []instancefiles.Content{old}}},
		"fresh": {e: evidence{Folders: []instancefiles.Content{fresh}},
			want: []string{"/i/" + uuid + " was written 1m0s ago"}},
		"fresh, of a domain":               {e: evidence{Folders: []instancefiles.Content{fresh}, Domain: domain}},
		"fresh, of one that was undefined": {e: evidence{Folders: []instancefiles.Content{fresh}, Explained: true}},
		"fresh, and being removed":         {e: evidence{Folders: []instancefiles.Content{deleted}}},
		"all at once": {e: evidence{Folders: []instancefiles.Content{fresh, linked}, Shared: "shared"},
			want: []string{"shared (instance_files: keep leaves it)", "was written", "it is a link"}},
	} {
		c.e.Now = now
		got := c.e.folderObjections(parameters{MinAge: 3600})
		for i, part := range c.want {
			if i >= len(got) || !strings.Contains(got[i], part) {
				t.Errorf("%s: got %q", title, got)
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: got %q", title, got)
		}
	}
}
