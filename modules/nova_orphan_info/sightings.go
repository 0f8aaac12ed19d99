package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"nova-orphan/internal/orphan"
)

// sighting is in how many audits in a row something was a finding.
type sighting struct {
	Count int    `json:"count"`
	First string `json:"first"` // when, as in taken_at
}

// seenOften are those that so many audits in a row have found; the others are pending.
// The state file is this module's only write; check mode leaves it.
func (a *audit) seenOften(findings []orphan.Finding, now string) (often, pending []orphan.Finding, _ error) {
	earlier := map[string]sighting{}
	content, err := os.ReadFile(a.StateFile)
	if err == nil {
		err = json.Unmarshal(content, &earlier)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read what earlier audits have found in state_file %s (remove it to begin anew): %w", a.StateFile, err)
	}
	seen := map[string]sighting{}
	often = []orphan.Finding{}
	for _, f := range findings {
		key := f.UUID + " " + string(f.Kind)
		s := earlier[key]
		if s.Count++; s.First == "" {
			s.First = now
		}
		if seen[key] = s; s.Count >= a.Sightings {
			often = append(often, f)
		} else {
			pending = append(pending, f)
		}
	}
	if a.call.Check {
		return often, pending, nil
	}
	if err := a.remember(seen); err != nil {
		return nil, nil, fmt.Errorf("write what this audit has found to state_file %s: %w", a.StateFile, err)
	}
	return often, pending, nil
}

// remember writes beside the file and renames, so that it is whole at any time.
func (a *audit) remember(seen map[string]sighting) error {
	content, err := json.Marshal(seen)
	if err != nil {
		return err
	}
	dir := filepath.Dir(a.StateFile)
	if err = os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, "sightings-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), a.StateFile)
}
