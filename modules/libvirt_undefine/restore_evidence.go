package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"nova-orphan/internal/hypervisor"
)

// restoreEvidence is all that the judgement of a restore rests on.
type restoreEvidence struct {
	Record record
	// Domain is the one with the backup's uuid that is there now; nil is none.
	Domain *hypervisor.Domain
	// Difference is the first between its definition and the backup's.
	Difference string
	// NameOwner is the uuid of another domain that has the backup's name.
	NameOwner string
	Files     []fileNow // in the order of Record.Files
	// Gone are files that the domain cannot start without and that were there
	// when the backup was written.
	Gone []string
}

// fileNow compares a file of the backup with what is at its path.
type fileNow struct {
	There, Same bool
	Problem     string // why it cannot be told, if so
}

func readRestoreEvidence(ctx context.Context, libvirt domains, backedUp record, p parameters) (restoreEvidence, error) {
	found := restoreEvidence{Record: backedUp}
	if err := found.readDomains(ctx, libvirt, p.UUID); err != nil {
		return found, err
	}
	for _, file := range found.Record.Files {
		found.Files = append(found.Files, look(file.stateFile))
	}
	for _, path := range missingFiles(found.Record.Domain.Definition, p.URI) {
		if !slices.Contains(found.Record.Missing, path) {
			found.Gone = append(found.Gone, path)
		}
	}
	return found, nil
}

func (e *restoreEvidence) readDomains(ctx context.Context, libvirt domains, uuid string) error {
	domain, err := libvirt.Domain(ctx, uuid)
	switch {
	case err == nil:
		e.Domain = &domain
		if e.Difference, err = hypervisor.Difference(domain.XML, e.Record.XML); err != nil {
			return err
		}
	case !errors.Is(err, hypervisor.ErrNoDomain):
		return err
	}
	owner, err := libvirt.Named(ctx, e.Record.Domain.Name)
	if err != nil && !errors.Is(err, hypervisor.ErrNoDomain) {
		return fmt.Errorf("is the name of domain %s free? %w", uuid, err)
	}
	if err == nil && owner != uuid {
		e.NameOwner = owner
	}
	return nil
}

func look(file stateFile) fileNow {
	info, err := os.Lstat(file.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fileNow{}
	case err != nil:
		return fileNow{Problem: err.Error()}
	case info.Size() != int64(len(file.Content)):
		return fileNow{There: true}
	}
	content, err := os.ReadFile(file.Path)
	if err != nil {
		return fileNow{Problem: err.Error()}
	}
	return fileNow{There: true, Same: bytes.Equal(content, file.Content)}
}
