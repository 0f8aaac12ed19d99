package hypervisor

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"nova-orphan/internal/ansible"
)

// ProcessUse is a process of the host, or a loop device, and what it has open.
type ProcessUse struct {
	PID     int    // 0: a loop device, whose file the kernel itself has open
	Command string // the kernel's name of the process (comm), or of the device
	// Guest and GuestUUID are of a QEMU's command line, whoever started it.
	Guest, GuestUUID string
	Uses             []string
}

// IsRemote says that libvirt's files and processes are not those of this host.
func IsRemote(uri string) bool {
	parsed, err := url.Parse(uri)
	return err != nil || parsed.Host != ""
}

// processUses asks the kernel of this host who has open what matters, in the kernel's
// own spelling. QEMUs are told even where they have none of it. What cannot be read is
// an error: nobody can then say that nothing is in use.
func processUses(ctx context.Context, call *ansible.Call, proc, sys string, matters func(path string) bool) ([]ProcessUse, error) {
	const op = "look for processes that use its files"
	// A process that hangs in the kernel can make its files in /proc hang, too.
	return await(ctx, op, func() ([]ProcessUse, error) {
		// A container may have no more than its own. Of those on the host each is told, too, with its paths as it sees them itself.
		return ansible.OnHost(call, func() ([]ProcessUse, error) {
			found, err := readProcesses(proc, matters)
			loops, unread := readLoops(sys, matters)
			if err = cmp.Or(err, unread); err != nil {
				return nil, fmt.Errorf("%s: %w: run it on the hypervisor itself, as root (become: true)", op, err)
			}
			return append(found, loops...), nil
		})
	})
}

func readProcesses(proc string, matters func(string) bool) (found []ProcessUse, err error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		process, err := readProcess(filepath.Join(proc, entry.Name()), matters)
		switch {
		case ended(err):
		case err != nil:
			return nil, err
		case len(process.Uses) > 0 || process.GuestUUID != "":
			process.PID = pid
			found = append(found, process)
		}
	}
	if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == strconv.Itoa(os.Getpid()) }) {
		return nil, fmt.Errorf("%s does not have the processes that are here", proc)
	}
	return found, nil
}

// ended: the process is gone, and with it what it used.
func ended(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

func readProcess(folder string, matters func(string) bool) (process ProcessUse, err error) {
	comm, err := os.ReadFile(filepath.Join(folder, "comm"))
	if err != nil {
		return process, err
	}
	process.Command = strings.TrimSpace(string(comm))
	line, err := os.ReadFile(filepath.Join(folder, "cmdline"))
	if err != nil {
		return process, err
	}
	arguments := strings.Split(string(line), "\x00")
	if asksForInfo(arguments) {
		return process, nil
	}
	process.Guest, process.GuestUUID = guestOf(arguments)
	add := func(path string) {
		if matters(path) && !slices.Contains(process.Uses, path) {
			process.Uses = append(process.Uses, path)
		}
	}
	err = openFiles(filepath.Join(folder, "fd"), matters, add)
	if err == nil {
		err = mappedFiles(filepath.Join(folder, "maps"), add)
	}
	return process, err
}

// asksForInfo: nova-compute looks at each disk once a minute (nova/privsep/qemu.py unprivileged_qemu_img_info), which takes
// nothing from it and ends by itself.
func asksForInfo(arguments []string) bool {
	return len(arguments) > 1 && filepath.Base(arguments[0]) == "qemu-img" && arguments[1] == "info"
}

// guestOf reads -uuid UUID and -name guest=NAME,..., as libvirt and people write them.
func guestOf(arguments []string) (name, uuid string) {
	if !strings.Contains(filepath.Base(arguments[0]), "qemu") && !strings.Contains(filepath.Base(arguments[0]), "kvm") {
		return "", ""
	}
	for i := 1; i+1 < len(arguments); i++ {
		switch strings.TrimPrefix(arguments[i], "-") {
		case "-uuid", "uuid":
			uuid = strings.ToLower(arguments[i+1])
		case "-name", "name":
			name, _, _ = strings.Cut(strings.TrimPrefix(arguments[i+1], "guest="), ",")
		}
	}
	return name, uuid
}

func openFiles(folder string, matters func(string) bool, add func(string)) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		link := filepath.Join(folder, entry.Name())
		path, err := os.Readlink(link)
		if err == nil && (!filepath.IsAbs(path) || !matters(path)) {
			continue
		}
		var info fs.FileInfo
		if err == nil {
			info, err = os.Stat(link)
		}
		switch {
		case ended(err): // closed
		case err != nil:
			return err
		// A folder that is open is being looked at, as by nova-compute when it removes it.
		case !info.IsDir() && !isDeleted(info):
			add(path)
		}
	}
	return nil
}

// isDeleted: the last name of the file is gone, so that nobody can take it away any more.
func isDeleted(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 0
}

// mappedFiles are those whose descriptor may be closed: programs, and memory of guests.
func mappedFiles(path string, add func(string)) error {
	content, err := os.ReadFile(path)
	for line := range bytes.Lines(content) {
		if at := bytes.IndexByte(line, '/'); at >= 0 && !bytes.HasSuffix(line, []byte(" (deleted)\n")) {
			add(strings.TrimSuffix(string(line[at:]), "\n"))
		}
	}
	return err
}

// readLoops: no process has open what a loop device has, as after losetup.
func readLoops(sys string, matters func(string) bool) (found []ProcessUse, err error) {
	files, err := filepath.Glob(filepath.Join(sys, "block", "loop*", "loop", "backing_file"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil && !ended(err) && !errors.Is(err, syscall.ENXIO) {
			return nil, err
		}
		if path := strings.TrimSpace(string(content)); matters(path) && !strings.HasSuffix(path, " (deleted)") {
			found = append(found, ProcessUse{Command: filepath.Base(filepath.Dir(filepath.Dir(file))), Uses: []string{path}})
		}
	}
	return found, nil
}

// guestPID reads libvirt's own note (util/virpidfile.c virPidFileBuildPath); 0 without one.
func guestPID(use DomainUse) (pid int) {
	if use.Active && use.QEMU {
		content, _ := os.ReadFile(filepath.Join("/run/libvirt/qemu", use.Name+".pid"))
		pid, _ = strconv.Atoi(strings.TrimSpace(string(content)))
	}
	return pid
}
