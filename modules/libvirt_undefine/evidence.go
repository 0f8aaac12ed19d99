package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/instancefiles"
)

// evidence is all that the judgement rests on.
type evidence struct {
	Domain hypervisor.Domain // the zero one where there is none
	// NVRAM and TPM are the files that libvirt would remove together with the
	// domain, as far as they can be seen from here.
	NVRAM state
	TPM   state
	// Missing are files that the domain cannot start without, and that are not
	// there already.
	Missing []string
	// Usage is what the host's domains and processes use, of which some may be this domain's.
	Usage usage
	// Watched is why images of it in Ceph are somebody else's, too.
	Watched []string
	// Folders are the instance's, looked at before the domain; without sizes unless they are to go.
	Folders []instancefiles.Content
	// Shared is why other hosts may have them, too.
	Shared string
	// Now is when they were looked at, and Explained says that they are fresh since the domain was undefined.
	Now       time.Time
	Explained bool
}

func (e evidence) found() bool { return e.Domain.UUID != "" }

// state is what a domain keeps in small files of its own.
type state struct {
	Folders []entry
	Files   []stateFile
	Problem string // why they cannot be copied, if so
}

type entry struct {
	Path string      `json:"path"`
	Mode fs.FileMode `json:"mode"` // the permissions alone
	UID  int         `json:"uid"`
	GID  int         `json:"gid"`
}

type stateFile struct {
	entry
	Content []byte `json:"-"`
}

// missing says that there are no files to be seen, which proves nothing where
// libvirt runs in a container with folders of its own.
func (s state) missing() bool { return s.Problem == "" && len(s.Files) == 0 }

// largestState holds the largest NVRAM in use, edk2's 64 MiB on aarch64.
const largestState = 64 << 20

// The folders of qemu:///system (libvirt's qemu_conf.c virQEMUDriverConfigNew).
const (
	nvramFolder = "/var/lib/libvirt/qemu/nvram"
	swtpmFolder = "/var/lib/libvirt/swtpm"
)

// readDomain reads what a backup holds; there need be no domain.
func (t *task) readDomain(ctx context.Context) (evidence, error) {
	domain, err := t.libvirt.Domain(ctx, t.UUID)
	if err != nil {
		return evidence{}, unlessNoDomain(err)
	}
	found := evidence{Domain: domain, Missing: missingFiles(domain.Definition, t.URI)}
	if path := nvramPath(domain, t.URI); path != "" {
		found.NVRAM = readState(path)
	}
	if domain.TPM != nil && isSystem(t.URI) {
		found.TPM = readState(filepath.Join(swtpmFolder, domain.UUID))
	}
	return found, nil
}

func unlessNoDomain(err error) error {
	if errors.Is(err, hypervisor.ErrNoDomain) {
		return nil
	}
	return err
}

// missingFiles are not to be seen from here, as all those of a container are.
func missingFiles(definition hypervisor.Definition, uri string) (missing []string) {
	if hypervisor.IsRemote(uri) {
		return nil
	}
	for _, path := range definition.Files {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, path)
		}
	}
	return missing
}

// nvramPath is the definition's path, or the one that libvirt up to 9.0 gives a
// domain with firmware='efi' (qemu_domain.c qemuDomainNVRAMPathFormat).
func nvramPath(domain hypervisor.Domain, uri string) string {
	switch {
	case domain.UEFI == nil || hypervisor.IsRemote(uri):
		return ""
	case domain.UEFI.Path == "" && isSystem(uri):
		return filepath.Join(nvramFolder, domain.Name+"_VARS.fd")
	default:
		return domain.UEFI.Path
	}
}

func isSystem(uri string) bool {
	parsed, err := url.Parse(uri)
	return err == nil && parsed.Path == "/system" && !hypervisor.IsRemote(uri)
}

// readState reads the file or all files of the folder at path.
func readState(path string) (found state) {
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			found.Folders = append(found.Folders, entryOf(name, info))
			return nil
		// swtpm's lock is no state.
		case !entry.Type().IsRegular() || entry.Name() == ".lock":
			return nil
		}
		file, err := readFile(name, info)
		if err == nil {
			found.Files = append(found.Files, file)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return state{Problem: err.Error()}
	}
	return found
}

func readFile(path string, info fs.FileInfo) (stateFile, error) {
	if info.Size() > largestState {
		return stateFile{}, fmt.Errorf("%s has %d MiB, more than the backup takes (%d MiB)", path, info.Size()>>20, largestState>>20)
	}
	content, err := os.ReadFile(path)
	return stateFile{entry: entryOf(path, info), Content: content}, err
}

func entryOf(path string, info fs.FileInfo) entry {
	found := entry{Path: path, Mode: info.Mode().Perm()}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		found.UID, found.GID = int(owner.Uid), int(owner.Gid)
	}
	return found
}
