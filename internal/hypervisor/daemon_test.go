package hypervisor

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestWhichSocketsLeadToADaemonOfThisHost(t *testing.T) {
	for uri, want := range map[string][]string{
		"qemu:///system": {"/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock"},
		"qemu+unix:///system?socket=/run/own/libvirt-sock": {"/run/own/libvirt-sock"},
		"qemu+ssh://root@compute9/system":                  nil,
		"qemu:///session":                                  nil,
		"test:///default":                                  nil,
		":":                                                nil,
	} {
		if got := sockets(uri); !slices.Equal(got, want) {
			t.Errorf("%s: got %q", uri, got)
		}
	}
}

func TestADaemonInAnotherMountNamespaceIsSeen(t *testing.T) {
	here, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, comm, namespace string
		want                  bool
	}{
		{"libvirtd", "libvirtd\n", "mnt:[1]", true},
		{"the modular daemon", "virtqemud\n", "mnt:[1]", true},
		{"one that is here", "libvirtd\n", here, false},
		{"another program", "dockerd\n", "mnt:[1]", false},
		{"one of which that may not be seen", "libvirtd\n", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			proc := t.TempDir()
			process := filepath.Join(proc, "77")
			if err := os.MkdirAll(filepath.Join(process, "ns"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(process, "comm"), []byte(test.comm), 0o600); err != nil {
				t.Fatal(err)
			}
			if test.namespace != "" {
				if err := os.Symlink(test.namespace, filepath.Join(process, "ns", "mnt")); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := daemonsElsewhere(proc); got != test.want || err != nil {
				t.Errorf("got %t, %v", got, err)
			}
		})
	}
}

func TestWhoServesASocketIsAsked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if pid, err := peer(path); pid != os.Getpid() || err != nil {
		t.Errorf("got %d, %v", pid, err)
	}
	if pid, err := daemonElsewhere("qemu+unix:///system?socket=" + path); pid != 0 || err != nil {
		t.Errorf("it is this process: got %d, %v", pid, err)
	}
}
