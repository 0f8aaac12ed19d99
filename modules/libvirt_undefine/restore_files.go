package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// makeFolder makes the folder, or finishes making it.
func makeFolder(folder entry) error {
	if err := os.Mkdir(folder.Path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	handle, err := os.OpenFile(folder.Path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer handle.Close()
	return errors.Join(handle.Chown(folder.UID, folder.GID), handle.Chmod(folder.Mode))
}

// addFile never replaces a file, and one that is there is complete. The folder
// may belong to QEMU's user, so that nothing is done by name to what may be a
// link of that user's making.
func addFile(file stateFile) (err error) {
	folder, prefix := filepath.Dir(file.Path), "."+filepath.Base(file.Path)+".restore-"
	if err = removePartial(folder, prefix); err != nil {
		return err
	}
	partial, err := os.CreateTemp(folder, prefix+"*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(partial.Name()) }()
	defer partial.Close()
	if _, err = partial.Write(file.Content); err != nil {
		return err
	}
	if err = errors.Join(partial.Chown(file.UID, file.GID), partial.Chmod(file.Mode), partial.Sync()); err != nil {
		return err
	}
	return os.Link(partial.Name(), file.Path)
}

// removePartial removes what a run that was killed has left.
func removePartial(folder, prefix string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) {
			if err := os.Remove(filepath.Join(folder, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
