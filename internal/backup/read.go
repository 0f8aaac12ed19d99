package backup

import (
	"encoding/base64"
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

// ContentOption is the backup itself, so that a restore from the control node needs no
// file on the target. It has what user data and the like may have, so that it is kept
// out of every output.
var ContentOption = ansible.Option{Name: "backup_content", Type: ansible.Str, NoLog: true}

// Source is a backup to restore, by FileOption or by ContentOption.
type Source struct {
	File    string `option:"backup_file"`
	Content string `option:"backup_content"`
}

// SourceRules hold a module's state: present to one of the two options.
func SourceRules(present string) []ansible.Rule {
	return []ansible.Rule{
		ansible.MutuallyExclusive(FileOption.Name, ContentOption.Name),
		func(values map[string]any) error {
			_, file := values[FileOption.Name]
			_, content := values[ContentOption.Name]
			if values["state"] != present || file || content {
				return nil
			}
			// In the words of AnsibleModule's required_if with is_one_of.
			return fmt.Errorf("state is %s but any of the following are missing: %s, %s", present, FileOption.Name, ContentOption.Name)
		},
		ansible.OnlyIf(FileOption.Name, "state", present),
		ansible.OnlyIf(ContentOption.Name, "state", present),
	}
}

// Given says whether there is one.
func (s Source) Given() bool { return s != Source{} }

// String names the source in a message.
func (s Source) String() string {
	if s.File != "" {
		return s.File
	}
	return ContentOption.Name
}

// UUID tells whose backup it is, for a module that is not told otherwise.
func (s Source) UUID() (string, error) {
	file, _, err := s.open()
	if err == nil {
		if _, wrong := ansible.UUID(file.UUID); wrong != nil {
			err = fmt.Errorf("%s is no backup of nova-orphan: it has no uuid", s)
		}
	}
	if err != nil {
		return "", fmt.Errorf("read the backup: %w", err)
	}
	return file.UUID, nil
}

// Read decodes what module wrote down about uuid into into, in the form that it
// gave to Write. The file of another module, instance or format is an error:
// what it holds must not be written anywhere.
func (s Source) Read(module, uuid string, into any) error {
	file, data, err := s.open()
	switch {
	case err != nil:
	case file.Format != format:
		err = fmt.Errorf("%s has format %d, this release reads format %d", s, file.Format, format)
	case file.Module != module:
		err = fmt.Errorf("%s is a backup of module %q, not of %s", s, file.Module, module)
	case file.UUID != uuid:
		err = fmt.Errorf("%s is the backup of %q", s, file.UUID)
	default:
		if err = json.Unmarshal(data, into); err != nil {
			err = fmt.Errorf("the data of %s: %w", s, err)
		}
	}
	if err != nil {
		return fmt.Errorf("read the backup of %s: %w", uuid, err)
	}
	return nil
}

// Read is Read of a file.
func Read(path, module, uuid string, into any) error {
	return Source{File: path}.Read(module, uuid, into)
}

func (s Source) open() (file Backup, data json.RawMessage, err error) {
	var content []byte
	if s.File != "" {
		content, err = os.ReadFile(s.File)
	} else if content, err = base64.StdEncoding.DecodeString(s.Content); err != nil {
		// Its own error quotes what it found.
		err = fmt.Errorf("argument '%s' takes a backup file in base64", ContentOption.Name)
	}
	if err != nil {
		return file, nil, err
	}
	file.Data = &data
	if err = json.Unmarshal(content, &file); err != nil {
		err = fmt.Errorf("%s is no backup of nova-orphan: %w", s, err)
	}
	return file, data, err
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
