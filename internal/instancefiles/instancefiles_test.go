package instancefiles

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	uuid  = "6695eb01-f6a4-8304-79aa-97f2502e193f"
	other = "7795eb01-f6a4-8304-79aa-97f2502e193f"
)

// makeHost has files with this content; a name that ends with "/" is a folder, and "a -> b" is a link.
func makeHost(t *testing.T, files ...string) *Host {
	t.Helper()
	root := t.TempDir()
	for _, file := range files {
		name, target, link := strings.Cut(file, " -> ")
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case err != nil:
		case link:
			err = os.Symlink(target, path)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o755)
		default:
			err = os.WriteFile(path, []byte(name), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	host, err := Open(nil, root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Close() })
	return host
}

func (h *Host) names(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(h.path, func(path string, _ fs.DirEntry, err error) error {
		if path != h.path {
			names = append(names, strings.TrimPrefix(path, h.path+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestAFolderIsAnInstancesByItsName(t *testing.T) {
	host := makeHost(t, uuid+"/disk", uuid+"_del/", uuid+"_resize/", other+" -> /nowhere", "_base/x", "locks/", "compute_nodes",
		uuid+"_rescue/", "x"+uuid+"/", strings.ToUpper(uuid)+"/", strings.Replace(uuid, "6", "7", 1))
	listed, err := List(host.path)
	if err != nil {
		t.Fatal(err)
	}
	found, err := host.Of(uuid)
	if err != nil {
		t.Fatal(err)
	}
	kind := func(f Folder) string { return filepath.Base(f.Path) + " " + f.Kind }
	for title, c := range map[string]struct {
		got  []Folder
		want []string
	}{
		"all":        {listed, []string{uuid + " instance", uuid + "_del deleted", uuid + "_resize resize", other + " instance"}},
		"of one":     {found, []string{uuid + "_del deleted", uuid + " instance", uuid + "_resize resize"}},
		"of no such": {nil, nil},
	} {
		var got []string
		for _, folder := range c.got {
			got = append(got, kind(folder))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q", title, got)
		}
	}
}

func TestWhatCannotBeListedIsNoAbsence(t *testing.T) {
	for path, words := range map[string]string{"/nowhere": "give the instances_path", "/dev/null": "list the instances' folders"} {
		if _, err := List(path); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: got %v", path, err)
		}
		if _, err := Open(nil, path); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func TestAFolderIsRemovedAndNothingElse(t *testing.T) {
	outside := t.TempDir()
	precious := filepath.Join(outside, "precious")
	if err := os.WriteFile(precious, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for title, c := range map[string]struct {
		files []string
		want  []string // of which each is removed
		left  []string
	}{
		"a folder": {[]string{uuid + "/disk", uuid + "/a/b/c", other + "/disk"}, []string{uuid}, []string{other, other + "/disk"}},
		"all three": {[]string{uuid + "/disk", uuid + "_resize/disk", uuid + "_del/disk"}, []string{uuid + "_del", uuid, uuid + "_resize"},
			nil},
		"links in it": {[]string{uuid + "/disk -> " + precious, uuid + "/all -> " + outside, uuid + "/up -> ../" + other, other + "/disk"},
			[]string{uuid}, []string{other, other + "/disk"}},
		"a link in a link": {[]string{uuid + "/up -> ..", other + "/"}, []string{uuid}, []string{other}},
		"none":             {[]string{other + "/"}, nil, []string{other}},
	} {
		t.Run(title, func(t *testing.T) {
			host := makeHost(t, c.files...)
			contents, err := host.Contents(uuid)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, content := range contents {
				got = append(got, filepath.Base(content.Path))
				if content.Obstacle != "" || content.Changed.IsZero() {
					t.Errorf("got %+v", content)
				}
				if removed, err := host.Remove(content.Folder); err != nil || !removed {
					t.Errorf("got %v, %v", removed, err)
				}
				if removed, err := host.Remove(content.Folder); err != nil || removed {
					t.Errorf("what is gone: %v, %v", removed, err)
				}
			}
			if names := host.names(t); !slices.Equal(got, c.want) || !slices.Equal(names, c.left) {
				t.Errorf("removed %q, left %q", got, names)
			}
			if _, err := os.Stat(precious); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhatAFolderHasIsToldWithItsSize(t *testing.T) {
	host := makeHost(t, uuid+"/disk", uuid+"/disk.config", uuid+"/rescue/disk")
	if err := os.WriteFile(filepath.Join(host.path, uuid, "disk"), make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	contents, err := host.Contents(uuid)
	if err != nil || len(contents) != 1 || contents[0].Files != 3 || contents[0].Bytes < 3<<20 || contents[0].Bytes > 4<<20 {
		t.Fatalf("got %+v, %v", contents, err)
	}
	if got := contents[0].String(); !strings.HasPrefix(got, host.path+"/"+uuid+" (3.0 MiB in 3 files)") {
		t.Errorf("got %s", got)
	}
	if age := time.Since(contents[0].Changed); age < -time.Minute || age > time.Minute {
		t.Errorf("it was changed %s ago", age)
	}
	if got := size(5 << 30); got != "5.0 GiB" {
		t.Errorf("got %s", got)
	}
}

func TestALinkIsNotRemovedNorFollowed(t *testing.T) {
	host := makeHost(t, "data/disk", uuid+" -> data")
	contents, err := host.Contents(uuid)
	if err != nil || len(contents) != 1 || !strings.Contains(contents[0].Obstacle, uuid+" is a link to data") || contents[0].Files != 0 {
		t.Fatalf("got %+v, %v", contents, err)
	}
	// Nor is what has become one meanwhile.
	if _, err := host.Remove(contents[0].Folder); err != nil {
		t.Fatal(err)
	}
	if names := host.names(t); !slices.Equal(names, []string{"data", "data/disk"}) {
		t.Errorf("left is %q", names)
	}
}

func TestWhatIsMountedThereIsAnObstacle(t *testing.T) {
	host := makeHost(t, uuid+"/disk")
	mounts := filepath.Join(t.TempDir(), "mountinfo")
	for point, want := range map[string]bool{
		host.path + "/" + uuid: true, host.path + "/" + uuid + `/a\040b`: true, host.path + "/" + uuid + "_resize": false, host.path: false,
		host.path + "/" + other: false,
	} {
		line := "35 1 98:0 / / rw - ext3 /dev/root rw\n36 35 98:0 /mnt1 " + point + " rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
		if err := os.WriteFile(mounts, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		points, err := mountPoints(mounts)
		if err != nil {
			t.Fatal(err)
		}
		content, err := host.content(Folder{Path: filepath.Join(host.path, uuid), UUID: uuid, Kind: "instance"}, points)
		if err != nil || (content.Obstacle != "") != want {
			t.Errorf("%s: got %q, %v", point, content.Obstacle, err)
		}
		if want && !strings.Contains(content.Obstacle, strings.ReplaceAll(point, `\040`, " ")+": umount it") {
			t.Errorf("got %s", content.Obstacle)
		}
	}
	for _, damaged := range []string{"36 35\n", "", "36 35 98:0 / /mnt rw - ext3 /dev/root rw\n"} {
		if err := os.WriteFile(mounts, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if points, err := mountPoints(mounts); err == nil {
			t.Errorf("%q says that nothing else is mounted than %q", damaged, points)
		}
	}
	if _, err := mountPoints(mounts + "x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if points, err := mountPoints(mountInfo); err != nil || !slices.Contains(points, "/") {
		t.Errorf("got %q, %v", points, err)
	}
}

func TestWhoSharesTheFolders(t *testing.T) {
	for title, c := range map[string]struct {
		registry string // of Nova; "" is none
		why, err string
	}{
		"no registry":           {},
		"this host":             {registry: `{"compute1": 1764232000.1}`},
		"another host":          {registry: `{"compute1": 1764232000.1, "compute2": 1.5}`, why: "has the hosts compute1, compute2: look on each of them"},
		"a damaged registry":    {registry: `{"compute1": `, err: "read Nova's registry compute_nodes"},
		"a registry of another": {registry: `[1]`, err: "read Nova's registry compute_nodes"},
	} {
		t.Run(title, func(t *testing.T) {
			host := makeHost(t)
			if c.registry != "" {
				if err := os.WriteFile(filepath.Join(host.path, "compute_nodes"), []byte(c.registry), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			why, err := host.Shared()
			if (why != "") != (c.why != "") || !strings.Contains(why, c.why) || (err != nil) != (c.err != "") ||
				err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %q, %v", why, err)
			}
		})
	}
	// A file system that no one knows is not taken for a local one.
	host, err := Open(nil, "/proc")
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	const said = "/proc is on a file system of type 0x9fa0, which other hosts may have as well"
	if why, err := host.Shared(); err != nil || !strings.Contains(why, said) {
		t.Errorf("got %q, %v", why, err)
	}
}

func TestWhatThisHostExportsOthersHave(t *testing.T) {
	host, etab := makeHost(t), filepath.Join(t.TempDir(), "etab")
	for line, want := range map[string]bool{
		"": false, "/srv\t192.0.2.0/24(rw,sync)": false, host.path + "\t*(rw)": true, filepath.Dir(host.path) + "\t*(rw)": true, "/\t*(ro)": true,
		host.path + "0\t*(rw)": false, host.path + "/" + uuid + "\t*(rw)": false,
	} {
		if err := os.WriteFile(etab, []byte("/other\t*(rw)\n"+line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := exportOf(nil, etab, host.path); err != nil || (got != "") != want {
			t.Errorf("%q: got %q, %v", line, got, err)
		}
	}
	if got, err := exportOf(nil, etab+"x", host.path); got != "" || err != nil {
		t.Errorf("without exports: got %q, %v", got, err)
	}
}
