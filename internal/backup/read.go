package backup

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"nova-orphan/internal/ansible"
)

// FileOption is the option that names the backup to restore, on the target. A
// module that has it takes it with state: present only (ansible.OnlyIf).
var FileOption = ansible.Option{Name: "backup_file", Type: ansible.Path, Check: ansible.Absolute}

// ContentOption is the backups themselves, of each element of a list its own, so that a
// restore from the control node needs no file on the target. They have what user data and
// the like may have, so that they are kept out of every output.
var ContentOption = ansible.Option{Name: "backup_content", Type: ansible.Dict, NoLog: true, Check: contents}

// contents decodes the base64, by UUIDs. No error quotes what it found.
func contents(value any) (any, error) {
	given, _ := value.(map[string]any)
	decoded := make(map[string][]byte, len(given))
	for key, value := range given {
		uuid, wrong := ansible.UUID(key)
		text, _ := value.(string)
		content, err := base64.StdEncoding.DecodeString(text)
		if wrong != nil || err != nil || len(content) == 0 {
			return nil, errors.New("takes a dictionary of backup files in base64 by UUID")
		}
		decoded[uuid.(string)] = content
	}
	if len(decoded) == 0 {
		return nil, errors.New("must not be empty: leave it out, or give it a backup")
	}
	return decoded, nil
}

// Source is what to restore, by FileOption or by ContentOption.
type Source struct {
	File     string            `option:"backup_file"`
	Contents map[string][]byte `option:"backup_content"`
}

// SourceRules hold a module's state: present to one of the two options, and the contents
// to the elements of the option that lists whose they are, if that is given.
func SourceRules(present, elements string) []ansible.Rule {
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
		ContentsOf(elements),
	}
}

// ContentsOf wants a content for each element of a list, and of no other.
func ContentsOf(elements string) ansible.Rule {
	return func(values map[string]any) error {
		contents, given := values[ContentOption.Name].(map[string][]byte)
		list, listed := values[elements].([]any)
		if !given || !listed {
			return nil
		}
		for _, uuid := range list {
			if _, has := contents[uuid.(string)]; !has {
				return fmt.Errorf("argument '%s' has none of %s, which is in %s", ContentOption.Name, uuid, elements)
			}
		}
		for uuid := range contents {
			if !slices.Contains(list, any(uuid)) {
				return fmt.Errorf("argument '%s' has one of %s, which is not in %s", ContentOption.Name, uuid, elements)
			}
		}
		return nil
	}
}

// Given says whether there is one.
func (s Source) Given() bool { return s.File != "" || len(s.Contents) > 0 }

// String names the source in a message.
func (s Source) String() string {
	if s.File != "" {
		return s.File
	}
	return ContentOption.Name
}

// UUID tells whose backup the file is, for a module that is not told otherwise.
func (s Source) UUID() (string, error) {
	file, _, err := s.open("")
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
	file, data, err := s.open(uuid)
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

func (s Source) open(uuid string) (file Backup, data json.RawMessage, err error) {
	content := s.Contents[uuid]
	if s.File != "" {
		if content, err = os.ReadFile(s.File); err != nil {
			return file, nil, err
		}
	}
	return parse(s.String(), content)
}

func parse(name string, content []byte) (file Backup, data json.RawMessage, err error) {
	file.Data = &data
	if err = json.Unmarshal(content, &file); err != nil {
		err = fmt.Errorf("%s is no backup of nova-orphan: %w", name, err)
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

// Unrestored reads what module wrote down last about uuid in dir, before it purged that, into into. There is none if it was put
// back since.
func Unrestored(dir, uuid, module string, into any) (found bool, err error) {
	files, err := Earlier(dir, uuid, module)
	for _, path := range slices.Backward(files) {
		file, _, wrong := Source{File: path}.open(uuid)
		switch {
		case wrong != nil:
			return false, fmt.Errorf("read the backup of %s: %w", uuid, wrong)
		case file.Kind == Purge:
			return true, Read(path, module, uuid, into)
		case file.Kind == Restore:
			return false, nil
		}
	}
	return false, err
}
