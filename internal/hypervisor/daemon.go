package hypervisor

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"nova-orphan/internal/ansible"
)

// Inside has a module go where the libvirt daemon of its option uri is (ansible.Module).
func Inside(call *ansible.Call) (ansible.Process, error) {
	uri, _ := call.Value("uri").(string)
	return daemonElsewhere(uri)
}

// daemonElsewhere is the process of the libvirt daemon that uri leads to, where that has another mount namespace than this one, as in a
// container. The daemon's files, and the only libvirt.so of the host, may be there alone. There is none where the daemon is here, or where
// none can be asked, which connecting will tell.
func daemonElsewhere(uri string) (found ansible.Process, err error) {
	// A connection without a call leaves an error in the daemon's log: not where there is no need.
	if away, err := daemonsElsewhere("/proc"); err != nil || !away {
		return found, err
	}
	for _, socket := range sockets(uri) {
		pid, err := peer(socket)
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
			continue
		}
		process := filepath.Join("/proc", strconv.Itoa(pid))
		if err == nil {
			found, err = lookAtDaemon(pid, process)
		}
		// Where none is named, libvirt finds the daemon's own.
		if err == nil && found.PID != 0 && strings.Contains(uri, "socket=") {
			err = isInside(process, socket)
		}
		if err != nil {
			return ansible.Process{}, fmt.Errorf("look who serves %s: %w", socket, err)
		}
		return found, nil
	}
	return found, nil
}

// lookAtDaemon tells whether and how a daemon is to be entered.
func lookAtDaemon(pid int, process string) (there ansible.Process, err error) {
	away, err := elsewhere(process, "mnt")
	if err != nil || !away {
		return there, err
	}
	// What is there is loaded and run as root.
	unprivileged, err := elsewhere(process, "user")
	switch {
	case err != nil:
		return there, err
	case unprivileged:
		return there, errors.New("a process in a user namespace of its own, whose libraries are not run as root: give the uri of the " +
			"hypervisor's own libvirtd")
	}
	// systemd, which starts the daemon by its socket, has no such library: then libvirt is where systemd is.
	folder, err := libraryFolder(filepath.Join(process, "maps"))
	if err != nil || folder == "" {
		return there, err
	}
	// As a snap's.
	if !strings.HasPrefix(folder, "/lib") && !strings.HasPrefix(folder, "/usr/lib") {
		there.Libraries = folder
	}
	there.PID = pid
	return there, nil
}

// isInside: a process that is asked from where it is has the socket at the same path.
func isInside(process, socket string) error {
	here, err := os.Stat(socket)
	if err != nil {
		return err
	}
	inside, err := os.Stat(filepath.Join(process, "root", socket))
	if err != nil || !os.SameFile(here, inside) {
		return fmt.Errorf("in its container it has another path, and the module asks from there: have the socket at the same path in both, "+
			"as a mount of %s", filepath.Dir(socket))
	}
	return nil
}

// libraryFolder is where a process has its libvirt.so.0 from.
func libraryFolder(maps string) (string, error) {
	content, err := os.ReadFile(maps)
	for line := range strings.Lines(string(content)) {
		if at := strings.IndexByte(line, '/'); at >= 0 && strings.HasPrefix(filepath.Base(line[at:]), library) {
			return filepath.Dir(line[at:]), nil
		}
	}
	return "", err
}

// sockets are those of this host that libvirt would try (src/remote/remote_sockets.c remoteSplitURIScheme, remoteGetUNIXSocket), the first
// that is there being the one.
func sockets(uri string) []string {
	parsed, err := url.Parse(uri)
	if err != nil || IsRemote(uri) || !strings.HasPrefix(parsed.Scheme, "qemu") || parsed.Path != "/system" {
		return nil
	}
	const direct, legacy = "/run/libvirt/virtqemud-sock", "/run/libvirt/libvirt-sock"
	given := parsed.Query()
	switch {
	case given.Get("socket") != "":
		return []string{given.Get("socket")}
	case given.Get("mode") == "direct":
		return []string{direct}
	case given.Get("mode") == "legacy":
		return []string{legacy}
	}
	return []string{direct, legacy}
}

// daemonsElsewhere tells whether any daemon of libvirt's is in another mount namespace. Who may not see that can enter none.
func daemonsElsewhere(proc string) (bool, error) {
	commands, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "comm"))
	for _, command := range commands {
		name, unread := os.ReadFile(command)
		if unread != nil || !slices.Contains([]string{"libvirtd", "virtqemud"}, strings.TrimSpace(string(name))) {
			continue
		}
		if away, unread := elsewhere(filepath.Dir(command), "mnt"); unread == nil && away {
			return true, nil
		}
	}
	return false, err
}

// elsewhere tells whether a process has another namespace of this kind than this one.
func elsewhere(process, kind string) (bool, error) {
	its, err := os.Readlink(filepath.Join(process, "ns", kind))
	if err != nil {
		return false, err
	}
	own, err := os.Readlink(filepath.Join("/proc/self/ns", kind))
	return its != own, err
}

// peer is the process that listens at a socket; systemd's for one that it starts the daemon by.
func peer(socket string) (pid int, err error) {
	connection, err := net.DialTimeout("unix", socket, 2*time.Second)
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	raw, err := connection.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var credentials *syscall.Ucred
	unread := raw.Control(func(fd uintptr) {
		credentials, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err = errors.Join(err, unread); err != nil {
		return 0, err
	}
	return int(credentials.Pid), nil
}
