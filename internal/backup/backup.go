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

// Kind says what a backup is for a restore of all that was purged.
type Kind string

// The kinds. Of a module's purges on one host the newest is put back, unless it was put back since.
const (
	// Purge is how it was before it was removed: it is put back.
	Purge Kind = "purge"
	// Saved is of what another is about to take away: it is put back only with the rows of its instance, or if that lives.
	Saved Kind = "saved"
	// Deleted is of rows that were deleted already: what came back with them would be deleted rows. Who deleted them may
	// have written a Purge.
	Deleted Kind = "deleted"
	// Definition is of a domain that is still there, for nova-compute may remove it with its disks: it is put back by hand,
	// when these are in their places.
	Definition Kind = "definition"
	// Restoring is what a restore has found, Restore that of one that was seen to succeed.
	Restoring Kind = "restoring"
	Restore   Kind = "restore"
	// Record tells what was there. Nothing puts that back.
	Record Kind = "record"
	// ForcedDown is how a compute service was, which the run that changed it puts back, or the next.
	ForcedDown Kind = "forced_down"
)

// Backup is one file: what module found under uuid before it changed it. All but the data
// stands before that, so that the file says at once what it is.
type Backup struct {
	Format int    `json:"format"`
	Kind   Kind   `json:"kind"`
	Module string `json:"module"`
	UUID   string `json:"uuid"`
	// Instance is the one to which it belongs; empty if the module cannot tell.
	Instance string    `json:"instance"`
	Time     time.Time `json:"time"`
	Host     string    `json:"host"`
	// Data is what encoding/json can encode.
	Data any `json:"data"`
}

// Write stores the backup, whose format, time and host it fills in, and returns the file's
// path. The file appears under its name only when it is complete.
func Write(dir string, b Backup) (string, error) {
	b.Format = format
	b.Host, _ = os.Hostname()
	for b.Time = time.Now().UTC(); ; b.Time = b.Time.Add(time.Microsecond) {
		path := filepath.Join(dir, b.UUID, b.Time.Format("20060102T150405.000000Z")+"-"+b.Module+".json")
		err := writeFile(path, b, os.Link)
		taken := new(os.LinkError) // by another that was written in the same microsecond
		switch {
		case err == nil:
			return path, nil
		case !errors.As(err, &taken) || !errors.Is(err, fs.ErrExist):
			return "", fmt.Errorf("write the backup of %s, so nothing was changed: %w", b.UUID, err)
		}
	}
}

// Replace puts other data into a file that Write has made, once more is known. A reader,
// or a run that is killed meanwhile, has the old data or the new.
func Replace(path string, data any) error {
	return edit(path, func(file *Backup) { file.Data = data })
}

// Restored makes the file that a restore has written one of a restore that succeeded.
func Restored(path string) error {
	return edit(path, func(file *Backup) { file.Kind = Restore })
}

func edit(path string, change func(*Backup)) error {
	content, err := os.ReadFile(path)
	var file Backup
	if err == nil {
		file, _, err = parse(path, content)
	}
	if err == nil {
		change(&file)
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
