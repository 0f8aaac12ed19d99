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
	path, err := Write(t.TempDir(), probe(rows{Deleted: 7, Names: []string{"a", "b\u0085"}}))
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
		path, err := Write(dir, Backup{Module: module, UUID: uuid})
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
	path, err := Write(t.TempDir(), probe(rows{Deleted: 7}))
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]Source{
		"file": {File: path}, "content": {Contents: map[string][]byte{uuid: content, other: []byte("another's")}},
	} {
		t.Run(name, func(t *testing.T) {
			var got rows
			if err := source.Read("probe", uuid, &got); err != nil || got.Deleted != 7 || !source.Given() {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	if whose, err := (Source{File: path}).UUID(); err != nil || whose != uuid {
		t.Errorf("got %q, %v", whose, err)
	}
}

func TestContentThatIsNoBackupIsRefusedWithoutQuotingIt(t *testing.T) {
	for name, test := range map[string]struct{ content, want string }{
		"other text":  {"secret", "backup_content is no backup of nova-orphan"},
		"cut off":     {`{"format": 1, "uuid": "secret`, "backup_content is no backup of nova-orphan"},
		"another one": {`{"format": 1, "module": "probe", "uuid": "other"}`, "is the backup of"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Source{Contents: map[string][]byte{uuid: []byte(test.content)}}.Read("probe", uuid, &rows{})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

const other = "7795eb01-f6a4-8304-79aa-97f2502e193f"

func TestContentsAreOneOfEachElementAndOfNoOther(t *testing.T) {
	content := base64.StdEncoding.EncodeToString([]byte("{}"))
	for name, test := range map[string]struct {
		given any
		list  []any
		want  string // "" is none
	}{
		"one":                  {map[string]any{uuid: content}, []any{uuid}, ""},
		"two":                  {map[string]any{uuid: content, strings.ToUpper(other): content}, []any{other, uuid}, ""},
		"of no list":           {map[string]any{uuid: content}, nil, ""},
		"one lacks":            {map[string]any{uuid: content}, []any{uuid, other}, "has none of " + other + ", which is in uuid"},
		"one is another's":     {map[string]any{uuid: content, other: content}, []any{uuid}, "has one of " + other + ", which is not in uuid"},
		"none":                 {map[string]any{}, nil, "must not be empty"},
		"an empty one":         {map[string]any{uuid: ""}, nil, "backup files in base64 by UUID"},
		"no base64":            {map[string]any{uuid: "{secret}"}, nil, "backup files in base64 by UUID"},
		"nothing":              {map[string]any{uuid: nil}, nil, "backup files in base64 by UUID"},
		"a content as the key": {map[string]any{"secret": "="}, nil, "backup files in base64 by UUID"},
	} {
		t.Run(name, func(t *testing.T) {
			value, err := ContentOption.Check(test.given)
			values := map[string]any{ContentOption.Name: value, "state": "present"}
			if test.list != nil {
				values["uuid"] = test.list
			}
			for _, rule := range SourceRules("present", "uuid") {
				if err == nil {
					err = rule(values)
				}
			}
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret")):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestThePurgeThatWasNotPutBackSinceIsTheNewest(t *testing.T) {
	for _, test := range []struct {
		kinds []Kind
		want  int // its number in kinds, 0 if there is none
	}{
		{nil, 0},
		{[]Kind{Purge}, 1},
		{[]Kind{Purge, Purge, Deleted, Record, Restoring}, 2},
		{[]Kind{Purge, Restore}, 0},
		{[]Kind{Purge, Restore, Restoring, Purge}, 4},
	} {
		dir := t.TempDir()
		for i, kind := range test.kinds {
			file := probe(rows{Deleted: i + 1})
			file.Kind = kind
			if _, err := Write(dir, file); err != nil {
				t.Fatal(err)
			}
		}
		var got rows
		if found, err := Unrestored(dir, uuid, "probe", &got); err != nil || found != (test.want > 0) || got.Deleted != test.want {
			t.Errorf("%v: got %t, %d, %v", test.kinds, found, got.Deleted, err)
		}
	}
}
