// Package backup writes down what a step is about to change, before it does:
// BACKUP_DIR/<uuid>/<time>-<module>.json, readable by its owner only, complete
// and on the disk before Write returns. A step that cannot write its backup
// must not act.
package backup

import (
	"encoding/json"
	"fmt"
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
func Write(dir, uuid, module string, data any) (path string, err error) {
	host, _ := os.Hostname()
	now := time.Now().UTC()
	content, err := json.MarshalIndent(Backup{Format: format, Module: module, UUID: uuid, Time: now, Host: host, Data: data}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encode the backup of %s: %w", uuid, err)
	}
	folder := filepath.Join(dir, uuid)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("write the backup of %s, so nothing was changed: %w", uuid, err)
	}
	path = filepath.Join(folder, now.Format("20060102T150405.000000Z")+"-"+module+".json")
	if err := writeFile(path, append(content, '\n')); err != nil {
		return "", fmt.Errorf("write the backup of %s, so nothing was changed: %w", uuid, err)
	}
	return path, nil
}

func writeFile(path string, content []byte) (err error) {
	// CreateTemp makes the file with mode 0600.
	file, err := os.CreateTemp(filepath.Dir(path), ".partial-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}()
	if _, err = file.Write(content); err != nil {
		return err
	}
	if err = file.Sync(); err != nil {
		return err
	}
	if err = file.Close(); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), path); err != nil {
		return err
	}
	return syncDirs(filepath.Dir(path))
}

// syncDirs makes the new name, and the folder's own name in its parent, survive a power cut.
func syncDirs(folder string) error {
	for _, dir := range []string{folder, filepath.Dir(folder)} {
		handle, err := os.Open(dir)
		if err != nil {
			return err
		}
		err = handle.Sync()
		if closeErr := handle.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return err
		}
	}
	return nil
}
