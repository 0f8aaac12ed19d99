package hypervisor

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nova-orphan/internal/ansible"
)

func TestWhichSocketsLeadToADaemonOfThisHost(t *testing.T) {
	for uri, want := range map[string][]string{
		"qemu:///system": {"/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock"},
		"qemu+unix:///system?socket=/run/own/libvirt-sock": {"/run/own/libvirt-sock"},
		"qemu+ssh://root@compute9/system":                  nil,
		"qemu:///system?mode=legacy":                       {"/run/libvirt/libvirt-sock"},
		"qemu:///system?mode=direct":                       {"/run/libvirt/virtqemud-sock"},
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
	if there, err := daemonElsewhere("qemu+unix:///system?socket=" + path); there.PID != 0 || err != nil {
		t.Errorf("it is this process: got %+v, %v", there, err)
	}
}

func TestADaemonIsEnteredWhereItsLibraryAndItsSocketAre(t *testing.T) {
	const maps = "7f0000-7f1000 r-xp 00000000 08:01 11 "
	user, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, mnt, user, library string
		socket                   bool // at the same path in its container
		want                     ansible.Process
		failed                   string
	}{
		{"in a container", "mnt:[1]", user, "/usr/lib64/libvirt.so.0.9000.0", true, ansible.Process{PID: 77}, ""},
		{"in a snap", "mnt:[1]", user, "/snap/x/usr/lib/libvirt.so.0.1.0", true, ansible.Process{PID: 77, Libraries: "/snap/x/usr/lib"}, ""},
		{"started by its socket, which systemd serves", "mnt:[1]", user, "/usr/lib64/libsystemd.so.0", true, ansible.Process{}, ""},
		{"of a user namespace", "mnt:[1]", "user:[1]", "/usr/lib64/libvirt.so.0", true, ansible.Process{}, "a user namespace of its own"},
		{"with its socket elsewhere", "mnt:[1]", user, "/usr/lib64/libvirt.so.0", false, ansible.Process{PID: 77}, "it has another path"},
	} {
		t.Run(test.name, func(t *testing.T) {
			folder := t.TempDir()
			process, socket := filepath.Join(folder, "77"), filepath.Join(folder, "socket")
			for _, made := range []string{"ns", "root" + folder} {
				if err := os.MkdirAll(filepath.Join(process, made), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			err := errors.Join(os.Symlink(test.mnt, filepath.Join(process, "ns", "mnt")),
				os.Symlink(test.user, filepath.Join(process, "ns", "user")),
				os.WriteFile(filepath.Join(process, "maps"), []byte(maps+"/bin/x\n"+maps+test.library+"\n"), 0o600), os.WriteFile(socket, nil, 0o600))
			if err == nil && test.socket {
				err = os.Link(socket, filepath.Join(process, "root", socket))
			}
			if err != nil {
				t.Fatal(err)
			}
			there, err := lookAtDaemon(77, process)
			if err == nil {
				err = isInside(process, socket)
			}
			if there != test.want || (err == nil) != (test.failed == "") || err != nil && !strings.Contains(err.Error(), test.failed) {
				t.Errorf("got %+v, %v", there, err)
			}
		})
	}
}
