package backup

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type rows struct {
	Deleted int      `json:"deleted"`
	Names   []string `json:"names"`
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	path, err := Write(t.TempDir(), uuid, "probe", rows{Deleted: 7, Names: []string{"a", "b\u0085"}})
	if err != nil {
		t.Fatal(err)
	}
	var got rows
	if err := Read(path, "probe", uuid, &got); err != nil {
		t.Fatal(err)
	}
	if got.Deleted != 7 || len(got.Names) != 2 || got.Names[1] != "b\u0085" {
		t.Errorf("got %+v", got)
	}
}

func TestABackupOfSomethingElseIsNotRead(t *testing.T) {
	dir := t.TempDir()
	whole := `{"format":1,"module":"probe","uuid":"` + uuid + `","data":{"deleted":7}}`
	tests := map[string]struct{ content, want string }{
		"another module's":      {strings.Replace(whole, "probe", "other", 1), `of module "other", not of probe`},
		"another instance's":    {strings.Replace(whole, "6695eb01", "7695eb01", 1), "is the backup of"},
		"of another format":     {strings.Replace(whole, `"format":1`, `"format":2`, 1), "has format 2, this release reads format 1"},
		"cut off":               {whole[:len(whole)-9], "is no backup of nova-orphan"},
		"empty":                 {"", "is no backup of nova-orphan"},
		"other JSON":            {`{"a":1}`, "has format 0"},
		"without data":          {strings.Replace(whole, `,"data":{"deleted":7}`, "", 1), "the data of"},
		"with data of no shape": {strings.Replace(whole, `{"deleted":7}`, `{"deleted":"x"}`, 1), "the data of"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, "backup.json")
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := Read(path, "probe", uuid, &rows{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if err := Read(filepath.Join(dir, "absent.json"), "probe", uuid, &rows{}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
}

func TestEarlierBackupsAreThoseOfTheModule(t *testing.T) {
	dir := t.TempDir()
	if files, err := Earlier(dir, uuid, "one"); err != nil || len(files) > 0 {
		t.Errorf("got %v, %v", files, err)
	}
	var want []string
	for _, module := range []string{"one", "another", "one"} {
		path, err := Write(dir, uuid, module, nil)
		if err != nil {
			t.Fatal(err)
		}
		if module == "one" {
			want = append(want, path)
		}
	}
	if files, err := Earlier(dir, uuid, "one"); err != nil || !slices.Equal(files, want) {
		t.Errorf("got %v, %v, want %v", files, err, want)
	}
}

func TestABackupIsReadFromItsContentAsFromItsFile(t *testing.T) {
	path, err := Write(t.TempDir(), uuid, "probe", rows{Deleted: 7})
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]Source{
		"file": {File: path}, "content": {Content: base64.StdEncoding.EncodeToString(content)},
	} {
		t.Run(name, func(t *testing.T) {
			var got rows
			if err := source.Read("probe", uuid, &got); err != nil || got.Deleted != 7 {
				t.Errorf("got %+v, %v", got, err)
			}
			if whose, err := source.UUID(); err != nil || whose != uuid {
				t.Errorf("got %q, %v", whose, err)
			}
		})
	}
}

func TestContentThatIsNoBackupIsRefusedWithoutQuotingIt(t *testing.T) {
	for name, test := range map[string]struct{ content, want string }{
		"no base64":   {"{secret}", "argument 'backup_content' takes a backup file in base64"},
		"other text":  {base64.StdEncoding.EncodeToString([]byte("secret")), "backup_content is no backup of nova-orphan"},
		"cut off":     {base64.StdEncoding.EncodeToString([]byte(`{"format": 1, "uuid": "secret`)), "backup_content is no backup of nova-orphan"},
		"another one": {base64.StdEncoding.EncodeToString([]byte(`{"format": 1, "module": "probe", "uuid": "other"}`)), "is the backup of"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Source{Content: test.content}.Read("probe", uuid, &rows{})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
