package hypervisor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// longestChain bounds how far a backing chain is followed; libvirt itself stops at 200.
const longestChain = 200

// Follow adds where links lead, and of a domain that is off the backing chains of its
// disks, which libvirt looks for only when it starts one. A path that is not there is
// in another mount namespace, or the domain could not start either.
func (u *DomainUse) Follow() error {
	for _, path := range slices.Clone(u.Uses) {
		target, err := follow(path)
		if err != nil {
			return fmt.Errorf("where does %s of domain %s (%s) lead? %w", path, u.Name, u.UUID, err)
		}
		u.add(target)
		for i := range u.Disks {
			if u.Disks[i].Source == path {
				u.Disks[i].Target = target
			}
		}
	}
	for i := range u.Disks {
		disk := &u.Disks[i]
		if u.Active || !disk.File {
			continue
		}
		if err := u.followChain(disk); err != nil {
			return fmt.Errorf("on what is %s of domain %s (%s) based? %w", disk.Source, u.Name, u.UUID, err)
		}
	}
	return nil
}

// follow returns where a path leads, or nothing where it is none or not there.
func follow(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", nil
	}
	target, err := filepath.EvalSymlinks(path)
	return target, unlessNotThere(err)
}

func (u *DomainUse) followChain(disk *DiskUse) error {
	path := disk.Source
	for range longestChain {
		if !filepath.IsAbs(path) {
			return nil // an image elsewhere, which has been added
		}
		backing, err := backingFile(path)
		if err != nil || backing == "" {
			return unlessNotThere(err)
		}
		// As QEMU takes it (block.c path_combine): a name with a protocol stands for itself.
		name, _ := strings.CutPrefix(backing, "file:")
		if !filepath.IsAbs(name) && !strings.Contains(name, ":") {
			name = filepath.Join(filepath.Dir(path), name)
		}
		target, err := follow(name)
		if err != nil {
			return err
		}
		u.add(name)
		u.add(target)
		disk.Backing = appendNew(disk.Backing, name)
		path = name
	}
	return errors.New("its backing chain has no end")
}

// backingFile reads the header of a qcow or qcow2 image (QEMU's docs/interop/qcow2.txt).
// Another form has no backing file that Nova or libvirt would make.
func backingFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return "", err
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	var header struct {
		Magic, Version uint32
		Offset         uint64
		Size           uint32
	}
	err = binary.Read(file, binary.BigEndian, &header)
	const magic = 0x514649fb // QFI\xfb
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), err == nil && (header.Magic != magic || header.Offset == 0):
		return "", nil
	case err != nil:
		return "", err
	case header.Size > 1023 || header.Offset > 1<<32:
		return "", errors.New("its header is damaged")
	}
	name := make([]byte, header.Size)
	if _, err := file.ReadAt(name, int64(header.Offset)); err != nil {
		return "", fmt.Errorf("its header is damaged: %w", err)
	}
	return string(name), nil
}

func unlessNotThere(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return err
}
