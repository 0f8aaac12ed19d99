package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"nova-orphan/internal/ansible"
)

// FileOption is the option that names the backup to restore, on the target. A
// module that has it takes it with state: present only (ansible.OnlyIf).
var FileOption = ansible.Option{Name: "backup_file", Type: ansible.Path, Check: ansible.Absolute}

// Read decodes what module wrote down about uuid into into, in the form that it
// gave to Write. The file of another module, instance or format is an error:
// what it holds must not be written anywhere.
func Read(path, module, uuid string, into any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the backup of %s: %w", uuid, err)
	}
	var data json.RawMessage
	file := Backup{Data: &data}
	if err := json.Unmarshal(content, &file); err != nil {
		return fmt.Errorf("read the backup of %s: %s is no backup of nova-orphan: %w", uuid, path, err)
	}
	switch {
	case file.Format != format:
		return fmt.Errorf("read the backup of %s: %s has format %d, this release reads format %d", uuid, path, file.Format, format)
	case file.Module != module:
		return fmt.Errorf("read the backup of %s: %s is a backup of module %q, not of %s", uuid, path, file.Module, module)
	case file.UUID != uuid:
		return fmt.Errorf("read the backup of %s: %s is the backup of %q", uuid, path, file.UUID)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read the backup of %s: the data of %s: %w", uuid, path, err)
	}
	return nil
}

// Earlier are the files that module has written about uuid in dir, the oldest first.
func Earlier(dir, uuid, module string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, uuid))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return nil, fmt.Errorf("look for backups of %s: %w", uuid, err)
	}
	var files []string
	for _, entry := range entries { // in the order of their names, which begin with the time
		if strings.HasSuffix(entry.Name(), "-"+module+".json") {
			files = append(files, filepath.Join(dir, uuid, entry.Name()))
		}
	}
	return files, nil
}
