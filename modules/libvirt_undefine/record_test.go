package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
)

// FuzzBackup feeds whole files: the reader must refuse or return what a restore
// may trust, and judging that must write nothing outside of what is the domain's own.
func FuzzBackup(f *testing.F) {
	found, p := inactive(), defaults()
	found.Domain.XML = "<domain><name>" + name + "</name><uuid>" + uuid +
		"</uuid><os><nvram>/v.fd</nvram></os><devices><tpm><backend type='emulator'/></tpm></devices></domain>"
	uefi(&found, &p)
	snapshot(&found, &p)
	checkpoint(&found, &p)
	planned, reasons := judge(found, p)
	if len(reasons) > 0 {
		f.Fatal(reasons)
	}
	data, err := newRecord(found, planned)
	if err != nil {
		f.Fatal(err)
	}
	path, err := backup.Write(f.TempDir(), backup.Backup{Module: moduleName, UUID: uuid, Data: data})
	if err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(strings.ReplaceAll(string(whole), "/v.fd", swtpmFolder+"/"+uuid+"/../x")))
	f.Add([]byte(strings.ReplaceAll(string(whole), "9.0.0", "9.0")))
	f.Add([]byte(`{"format":1,"module":"libvirt_undefine","uuid":"` + uuid + `","data":{"restored":"/b"}}`))
	file := filepath.Join(f.TempDir(), "backup.json")
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		read, err := readRecord(&ansible.Call{}, backup.Source{File: file}, uuid)
		if err != nil {
			return
		}
		if _, err := json.Marshal(read); err != nil {
			t.Errorf("a record that cannot be told: %v", err)
		}
		evidence := restoreEvidence{Record: read, Files: make([]fileNow, len(read.Files))}
		restored, reasons := judgeRestore(evidence, p)
		if len(reasons) > 0 {
			return
		}
		for _, file := range restored.Files {
			if file.Path != nvramPath(read.Domain, p.URI) && !strings.HasPrefix(file.Path, swtpmFolder+"/"+uuid+"/") {
				t.Errorf("would write %q", file.Path)
			}
			if filepath.Clean(file.Path) != file.Path {
				t.Errorf("would write by a way round %q", file.Path)
			}
		}
		for _, folder := range restored.Folders {
			if folder.Path != swtpmFolder+"/"+uuid && !strings.HasPrefix(folder.Path, swtpmFolder+"/"+uuid+"/") {
				t.Errorf("would make %q", folder.Path)
			}
		}
	})
}
