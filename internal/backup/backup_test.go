package backup

import (
	"encoding/json"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

const uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f"

func probe(data any) Backup {
	return Backup{Kind: Purge, Module: "probe", UUID: uuid, Instance: uuid, Data: data}
}

func TestABackupIsCompleteAndPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	path, err := Write(dir, probe(map[string]any{"deleted": 0}))
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(path) != filepath.Join(dir, uuid) {
		t.Errorf("got %s", path)
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, statErr := os.Stat(name)
		if statErr != nil {
			t.Fatal(statErr)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: mode %o, want %o", name, got, want)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got Backup
	if err := json.Unmarshal(content, &got); err != nil {
		t.Fatal(err)
	}
	// Who looks for the kind need not read the data.
	if !strings.HasPrefix(string(content), "{\n  \"format\": 1,\n  \"kind\": \"purge\",\n") {
		t.Errorf("it begins with %.60s", content)
	}
	if got.Module != "probe" || got.UUID != uuid || got.Instance != uuid || got.Host == "" ||
		got.Time.IsZero() || got.Data.(map[string]any)["deleted"] != 0.0 {
		t.Errorf("got %+v", got)
	}
}

func TestABackupThatCannotBeWrittenIsAnErrorAndLeavesNoPart(t *testing.T) {
	for name, prepare := range map[string]func(dir string) error{
		"a file stands where the folder should": func(dir string) error { return os.WriteFile(filepath.Join(dir, uuid), nil, 0o600) },
		"the folder is a dangling link":         func(dir string) error { return os.Symlink("/nowhere/at/all", filepath.Join(dir, uuid)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := prepare(dir); err != nil {
				t.Fatal(err)
			}
			if path, err := Write(dir, probe(nil)); err == nil {
				t.Errorf("wrote %s", path)
			}
		})
	}
	dir := t.TempDir()
	if path, err := Write(dir, probe(func() {})); err == nil {
		t.Errorf("wrote what cannot be encoded to %s", path)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left %v, %v", entries, err)
	}
}

func TestABackupThatIsCutOffLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	full(t, 4096)
	path, err := Write(dir, probe(strings.Repeat("x", 1<<20)))
	if err == nil || path != "" || !strings.Contains(err.Error(), "file too large") {
		t.Errorf("got %q, %v", path, err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, uuid)); err != nil || len(entries) > 0 {
		t.Errorf("left %v, %v", entries, err)
	}
}

// full lets no file grow beyond limit, as a disk that is full when a part is written.
func full(t *testing.T, limit uint64) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(syscall.SIGXFSZ)
	t.Cleanup(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
		signal.Reset(syscall.SIGXFSZ)
	})
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
}

func TestTwoBackupsOfOneInstanceStandBesideEachOther(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if _, err := Write(dir, probe(nil)); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(dir, uuid))
	if err != nil || len(entries) != 2 {
		t.Errorf("got %v, %v", entries, err)
	}
}

func TestOfTwoBackupsInTheSameMomentNoneReplacesTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose clock stands still
		dir := t.TempDir()
		for range 3 {
			if _, err := Write(dir, probe(nil)); err != nil {
				t.Fatal(err)
			}
		}
		if files, err := Earlier(dir, uuid, "probe"); err != nil || len(files) != 3 {
			t.Errorf("there are %v, %v", files, err)
		}
	})
}
