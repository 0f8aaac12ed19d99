package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"reflect"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/hypervisor"
)

// record is a backup's data: enough to define the domain again.
type record struct {
	// State is written where the backup is all that was done, by state: saved.
	State       string            `json:"state,omitempty"`
	Domain      hypervisor.Domain `json:"domain"`
	XML         string            `json:"xml"`
	Snapshots   []string          `json:"snapshots_xml,omitempty"`
	Checkpoints []string          `json:"checkpoints_xml,omitempty"`
	Folders     []entry           `json:"folders,omitempty"`
	Files       []storedFile      `json:"files,omitempty"`
	// Missing are files that the definition names and that were not there, so that
	// their absence is nothing new to one who restores it.
	Missing []string `json:"missing,omitempty"`
	Lost    []string `json:"lost,omitempty"`
	// Restored is the backup that was restored: this is then the record of that,
	// and has no definition.
	Restored string   `json:"restored,omitempty"`
	Plan     []string `json:"plan,omitempty"`
}

type storedFile struct {
	stateFile
	Gzip []byte `json:"gzip"` // encoding/json writes it as base64
}

func newRecord(found evidence, planned plan) (*record, error) {
	data := &record{Domain: found.Domain, XML: found.Domain.XML, Folders: planned.Folders, Missing: found.Missing, Lost: planned.Lost}
	for _, snapshot := range found.Domain.Snapshots {
		data.Snapshots = append(data.Snapshots, snapshot.XML)
	}
	for _, checkpoint := range found.Domain.Checkpoints {
		data.Checkpoints = append(data.Checkpoints, checkpoint.XML)
	}
	for _, file := range planned.BackedUp {
		stored, err := compress(file)
		if err != nil {
			return nil, err
		}
		data.Files = append(data.Files, stored)
	}
	return data, nil
}

// sameAs compares all that is restored, but not whether the domain runs, and what is lost with that.
func (r record) sameAs(other record) bool {
	restored := func(d hypervisor.Domain) hypervisor.Domain {
		return hypervisor.Domain{Autostart: d.Autostart, Persistent: d.Persistent, Snapshots: d.Snapshots, Checkpoints: d.Checkpoints}
	}
	r.Domain, other.Domain = restored(r.Domain), restored(other.Domain)
	r.Lost, other.Lost = nil, nil
	return reflect.DeepEqual(r, other)
}

// readRecord returns a backup as newRecord made it.
func readRecord(call *ansible.Call, from backup.Source, uuid string) (record, error) {
	data, err := ansible.OnHost(call, func() (data record, err error) {
		err = from.Read(moduleName, uuid, &data)
		return data, err
	})
	if err != nil {
		return record{}, err
	}
	if err := data.unpack(uuid); err != nil {
		return record{}, fmt.Errorf("read the backup of %s: %s: %w", uuid, from, err)
	}
	return data, nil
}

// lastRecord is the last backup of the domain, and its path; none without an error where there is none.
func (t *task) lastRecord() (path string, data record, err error) {
	files, err := ansible.OnHost(t.call, func() ([]string, error) { return backup.Earlier(t.BackupDir, t.UUID, moduleName) })
	if err != nil || len(files) == 0 {
		return "", record{}, err
	}
	path = files[len(files)-1]
	data, err = readRecord(t.call, backup.Source{File: path}, t.UUID)
	return path, data, err
}

func (r *record) unpack(uuid string) error {
	switch {
	case r.Restored != "":
		return fmt.Errorf("it is the record of a restore and has no definition: give %s", r.Restored)
	case len(r.Snapshots) != len(r.Domain.Snapshots) || len(r.Checkpoints) != len(r.Domain.Checkpoints):
		return errors.New("it is damaged: its snapshots or checkpoints have no names")
	}
	for i, text := range r.Snapshots {
		r.Domain.Snapshots[i].XML = text
	}
	for i, text := range r.Checkpoints {
		r.Domain.Checkpoints[i].XML = text
	}
	for i := range r.Files {
		if err := r.Files[i].decompress(); err != nil {
			return fmt.Errorf("its copy of %s: %w", r.Files[i].Path, err)
		}
	}
	definition, err := hypervisor.ParseDefinition(uuid, r.XML)
	if err != nil {
		return err
	}
	if r.Domain.UUID != uuid || r.Domain.Name != definition.Name {
		return fmt.Errorf("it is damaged: it defines %s, but tells of domain %s (%s)", definition.Name, r.Domain.Name, r.Domain.UUID)
	}
	r.Domain.Definition, r.Domain.XML = definition, r.XML
	return nil
}

func compress(file stateFile) (storedFile, error) {
	var out bytes.Buffer
	writer := gzip.NewWriter(&out)
	_, err := writer.Write(file.Content)
	if err = errors.Join(err, writer.Close()); err != nil {
		return storedFile{}, fmt.Errorf("compress %s: %w", file.Path, err)
	}
	return storedFile{stateFile: file, Gzip: out.Bytes()}, nil
}

func (f *storedFile) decompress() error {
	reader, err := gzip.NewReader(bytes.NewReader(f.Gzip))
	if err != nil {
		return err
	}
	f.Content, err = io.ReadAll(io.LimitReader(reader, largestState+1))
	if err == nil && len(f.Content) > largestState {
		return fmt.Errorf("it has more than %d MiB", largestState>>20)
	}
	return err
}
