package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nova-orphan/internal/hypervisor"
)

func TestStateIsReadWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	tpm := filepath.Join(dir, "tpm2")
	large := filepath.Join(dir, "large.fd")
	for path, size := range map[string]int64{filepath.Join(tpm, "tpm2-00.permall"): 7, filepath.Join(tpm, ".lock"): 0,
		filepath.Join(dir, "v.fd"): 9, large: largestState + 1} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o640); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	}
	if got := readState(filepath.Join(dir, "v.fd")); len(got.Files) != 1 || len(got.Files[0].Content) != 9 || got.Files[0].Mode != 0o640 ||
		got.missing() {
		t.Errorf("a file: got %+v", got)
	}
	if got := readState(tpm); len(got.Files) != 1 || got.Files[0].Path != filepath.Join(tpm, "tpm2-00.permall") {
		t.Errorf("a folder: got %+v", got)
	}
	if got := readState(filepath.Join(dir, "none")); !got.missing() {
		t.Errorf("nothing: got %+v", got)
	}
	for _, path := range []string{large, dir} {
		if got := readState(path); !strings.Contains(got.Problem, "more than the backup takes") || len(got.Files) != 0 || got.missing() {
			t.Errorf("too large: got %+v", got.Problem)
		}
	}
	if got := readState(filepath.Join(dir, "v.fd", "below")); got.Problem == "" || got.missing() {
		t.Errorf("unreadable: got %+v", got)
	}
}

func TestNVRAMIsWhereTheDefinitionOrLibvirtPutsIt(t *testing.T) {
	for title, c := range map[string]struct {
		uefi *hypervisor.UEFI
		uri  string
		want string
	}{
		"no UEFI":              {nil, systemURI, ""},
		"a path":               {&hypervisor.UEFI{Path: "/v.fd"}, systemURI, "/v.fd"},
		"libvirt's own choice": {&hypervisor.UEFI{}, systemURI, "/var/lib/libvirt/qemu/nvram/instance-0000002a_VARS.fd"},
		"by the socket of a container": {&hypervisor.UEFI{}, "qemu+unix:///system?socket=/s",
			"/var/lib/libvirt/qemu/nvram/instance-0000002a_VARS.fd"},
		"of a session":              {&hypervisor.UEFI{}, "qemu:///session", ""},
		"of a session, with a path": {&hypervisor.UEFI{Path: "/v.fd"}, "qemu:///session", "/v.fd"},
		"of another host":           {&hypervisor.UEFI{Path: "/v.fd"}, "qemu+ssh://root@other/system", ""},
	} {
		t.Run(title, func(t *testing.T) {
			domain := hypervisor.Domain{Name: name, Definition: hypervisor.Definition{UEFI: c.uefi}}
			if got := nvramPath(domain, c.uri); got != c.want {
				t.Errorf("got %q", got)
			}
		})
	}
}
