package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"nova-orphan/internal/hypervisor"
)

// evidence is all that the judgement rests on.
type evidence struct {
	Domain hypervisor.Domain
	// NVRAM and TPM are the files that libvirt would remove together with the
	// domain, as far as they can be seen from here.
	NVRAM state
	TPM   state
}

// state is what a domain keeps in small files of its own.
type state struct {
	Files   []stateFile
	Problem string // why they cannot be copied, if so
}

type stateFile struct {
	Path    string      `json:"path"`
	Mode    fs.FileMode `json:"mode"`
	Content []byte      `json:"-"`
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

// domains is what this module needs of libvirt.
type domains interface {
	Domain(ctx context.Context, uuid string) (hypervisor.Domain, error)
	Destroy(ctx context.Context, uuid string, id int) error
	Undefine(ctx context.Context, uuid string, flags hypervisor.Flags) error
	Define(ctx context.Context, xml string) error
}

func readEvidence(ctx context.Context, libvirt domains, p parameters) (evidence, error) {
	domain, err := libvirt.Domain(ctx, p.UUID)
	if err != nil {
		return evidence{}, err
	}
	found := evidence{Domain: domain}
	if path := nvramPath(domain, p.URI); path != "" {
		found.NVRAM = readState(path)
	}
	if domain.TPM != nil && isSystem(p.URI) {
		found.TPM = readState(filepath.Join(swtpmFolder, domain.UUID))
	}
	return found, nil
}

// nvramPath is the definition's path, or the one that libvirt up to 9.0 gives a
// domain with firmware='efi' (qemu_domain.c qemuDomainNVRAMPathFormat).
func nvramPath(domain hypervisor.Domain, uri string) string {
	switch {
	case domain.UEFI == nil || isRemote(uri):
		return ""
	case domain.UEFI.Path == "" && isSystem(uri):
		return filepath.Join(nvramFolder, domain.Name+"_VARS.fd")
	default:
		return domain.UEFI.Path
	}
}

func isSystem(uri string) bool {
	parsed, err := url.Parse(uri)
	return err == nil && parsed.Path == "/system" && !isRemote(uri)
}

// isRemote: the files that libvirt tells of are then not those of this host.
func isRemote(uri string) bool {
	parsed, err := url.Parse(uri)
	return err != nil || parsed.Host != ""
}

// readState reads the file or all files of the folder at path.
func readState(path string) (found state) {
	err := filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		// swtpm's lock is no state.
		if !entry.Type().IsRegular() || entry.Name() == ".lock" {
			return nil
		}
		file, err := readFile(name)
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

func readFile(path string) (stateFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stateFile{}, err
	}
	if info.Size() > largestState {
		return stateFile{}, fmt.Errorf("%s has %d MiB, more than the backup takes (%d MiB)", path, info.Size()>>20, largestState>>20)
	}
	content, err := os.ReadFile(path)
	return stateFile{Path: path, Mode: info.Mode().Perm(), Content: content}, err
}
