package backup

import (
	"encoding/json"
	"fmt"
	"os"
)

// Replace puts other data into a file that Write has made, once more is known. A reader,
// or a run that is killed meanwhile, has the old data or the new.
func Replace(path string, data any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("complete the backup: %w", err)
	}
	var file Backup
	if err = json.Unmarshal(content, &file); err != nil {
		return fmt.Errorf("complete the backup: %s is no backup of nova-orphan: %w", path, err)
	}
	file.Data = data
	if content, err = json.MarshalIndent(file, "", "  "); err != nil {
		return fmt.Errorf("complete the backup %s: %w", path, err)
	}
	if err = writeFile(path, append(content, '\n')); err != nil {
		return fmt.Errorf("complete the backup: %w", err)
	}
	return nil
}
