// Package backup writes down what a step is about to change, before it does:
// BACKUP_DIR/<uuid>/<time>-<module>.json, readable by its owner only, complete
// and on the disk before Write returns. A step that cannot write its backup
// must not act.
package backup

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// DefaultDir is where backups go unless backup_dir says otherwise.
const DefaultDir = "/var/backups/nova-orphan"

// format is raised when a reader of an older file would misread a newer one.
const format = 1

// Backup is one file: what module found under uuid before it changed it.
type Backup struct {
	Format int       `json:"format"`
	Module string    `json:"module"`
	UUID   string    `json:"uuid"`
	Time   time.Time `json:"time"`
	Host   string    `json:"host"`
	Data   any       `json:"data"`
}

// Write stores data, which encoding/json must be able to encode, and returns
// the file's path. The file appears under its name only when it is complete.
func Write(dir, uuid, module string, data any) (string, error) {
	host, _ := os.Hostname()
	for now := time.Now().UTC(); ; now = now.Add(time.Microsecond) {
		path := filepath.Join(dir, uuid, now.Format("20060102T150405.000000Z")+"-"+module+".json")
		err := writeFile(path, Backup{Format: format, Module: module, UUID: uuid, Time: now, Host: host, Data: data}, os.Link)
		taken := new(os.LinkError) // by another that was written in the same microsecond
		switch {
		case err == nil:
			return path, nil
		case !errors.As(err, &taken) || !errors.Is(err, fs.ErrExist):
			return "", fmt.Errorf("write the backup of %s, so nothing was changed: %w", uuid, err)
		}
	}
}

// Replace puts other data into a file that Write has made, once more is known. A reader,
// or a run that is killed meanwhile, has the old data or the new.
func Replace(path string, data any) error {
	file, _, err := Source{File: path}.open()
	if err == nil {
		file.Data = data
		err = writeFile(path, file, os.Rename)
	}
	if err != nil {
		return fmt.Errorf("complete the backup: %w", err)
	}
	return nil
}

// writeFile gives the complete file its name by put.
func writeFile(path string, b Backup, put func(partial, path string) error) error {
	content, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	folder := filepath.Dir(path)
	if err = os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	// CreateTemp makes the file with mode 0600.
	file, err := os.CreateTemp(folder, ".partial-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // what has its name by os.Rename is not there any more
	_, err = file.Write(append(content, '\n'))
	if err = cmp.Or(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err = put(file.Name(), path); err != nil {
		return err
	}
	// The new name, and the folder's own name in its parent, are to survive a power cut.
	return cmp.Or(syncDir(folder), syncDir(filepath.Dir(folder)))
}

func syncDir(dir string) error {
	handle, err := os.Open(dir)
	if err != nil {
		return err
	}
	return cmp.Or(handle.Sync(), handle.Close())
}
