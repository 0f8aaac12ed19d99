package backup

import (
	"os"
	"strings"
	"testing"
)

func TestABackupIsCompletedInItsPlace(t *testing.T) {
	dir := t.TempDir()
	path, err := Write(dir, probe(rows{Deleted: 7}))
	if err != nil {
		t.Fatal(err)
	}
	if err = Replace(path, rows{Deleted: 7, Names: []string{"later"}}); err != nil {
		t.Fatal(err)
	}
	var got rows
	if err = Read(path, "probe", uuid, &got); err != nil || got.Deleted != 7 || len(got.Names) != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
	if files, err := Earlier(dir, uuid, "probe"); err != nil || len(files) != 1 {
		t.Errorf("got %v, %v", files, err)
	}
}

func TestABackupThatCannotBeCompletedStaysAsItWas(t *testing.T) {
	path, err := Write(t.TempDir(), probe(rows{Deleted: 7}))
	if err != nil {
		t.Fatal(err)
	}
	if err = Replace(path, func() {}); err == nil || !strings.Contains(err.Error(), "complete the backup") {
		t.Errorf("got %v", err)
	}
	var got rows
	if err = Read(path, "probe", uuid, &got); err != nil || got.Deleted != 7 {
		t.Errorf("got %+v, %v", got, err)
	}
	if err = Replace(path+".none", rows{}); err == nil {
		t.Error("it completed a file that there is not")
	}
}

func TestARestoreThatSucceededIsNotedInItsBackup(t *testing.T) {
	began := probe(rows{Deleted: 1 << 60})
	began.Kind = Restoring
	path, err := Write(t.TempDir(), began)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err = Restored(path); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if want := strings.Replace(string(before), `"restoring"`, `"restore"`, 1); err != nil || string(after) != want {
		t.Errorf("got %s, %v", after, err)
	}
	if Restored(path+".none") == nil {
		t.Error("it completed a file that there is not")
	}
}
