package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"nova-orphan/internal/backup"
	"nova-orphan/internal/hypervisor"
)

// step carries a plan out.
type step struct {
	libvirt domains
	p       parameters
	audit   func(format string, values ...any)

	changed    bool
	poweredOff bool
	backupFile string
	backedUp   *record
}

// record is a backup's data: enough to define the domain again.
type record struct {
	Domain      hypervisor.Domain `json:"domain"`
	XML         string            `json:"xml"`
	Snapshots   []string          `json:"snapshots_xml,omitempty"`
	Checkpoints []string          `json:"checkpoints_xml,omitempty"`
	Files       []storedFile      `json:"files,omitempty"`
}

type storedFile struct {
	stateFile
	Gzip []byte `json:"gzip"` // encoding/json writes it as base64
}

// attempts bounds how often another job's lock on the domain is waited for;
// libvirt itself waits 30 s for it (qemu_domainjob.c QEMU_JOB_WAIT_TIME).
const attempts = 3

// apply powers the domain off and undefines it, looking at it and judging anew
// before each call. The backup always holds what the next call removes.
func (s *step) apply(ctx context.Context, found evidence, planned plan) error {
	for attempt := 1; ; attempt++ {
		if err := s.backup(found, planned); err != nil {
			return err
		}
		done, err := s.act(ctx, found, planned)
		if done || err != nil && (!errors.Is(err, hypervisor.ErrBusy) || attempt == attempts) {
			return err
		}
		found, err = readEvidence(ctx, s.libvirt, s.p)
		if errors.Is(err, hypervisor.ErrNoDomain) {
			return nil
		}
		if err != nil {
			return err
		}
		var reasons []string
		if planned, reasons = judge(found, s.p); len(reasons) > 0 {
			return refusal(found.Domain, reasons)
		}
		if s.poweredOff && planned.PowerOff {
			return fmt.Errorf("undefine domain %s: it was started again after it had been powered off: stop what starts it (nova-compute, an HA agent), then run this again", s.p.UUID)
		}
	}
}

// act makes the plan's next call; done is true when there is nothing left to do.
func (s *step) act(ctx context.Context, found evidence, planned plan) (done bool, err error) {
	if planned.PowerOff {
		return false, s.powerOff(ctx, found.Domain)
	}
	err = s.libvirt.Undefine(ctx, s.p.UUID, planned.Flags)
	switch {
	case errors.Is(err, hypervisor.ErrNoDomain):
		return true, nil
	case errors.Is(err, hypervisor.ErrBusy):
		return false, err
	case errors.Is(err, hypervisor.ErrActive):
		return false, fmt.Errorf("%w: it was started meanwhile, so it was left as it is: stop what starts it (nova-compute, an HA agent), then run this again", err)
	case err != nil:
		return false, fmt.Errorf("%w; what went with it before libvirt refused is in the backup %s", err, s.backupFile)
	}
	s.audit("undefined domain %s (%s) with %v, backup %s", found.Domain.Name, s.p.UUID, planned.Flags.Names(), s.backupFile)
	return true, s.verify(ctx, found.Domain)
}

// powerOff returns when the domain is off, or gone if it was transient.
func (s *step) powerOff(ctx context.Context, domain hypervisor.Domain) error {
	err := s.libvirt.Destroy(ctx, s.p.UUID, domain.ID)
	if errors.Is(err, hypervisor.ErrNoDomain) {
		return nil
	}
	if err != nil {
		return err
	}
	s.audit("powered off domain %s (%s), id %d", domain.Name, s.p.UUID, domain.ID)
	s.changed, s.poweredOff = true, true
	for {
		now, err := s.libvirt.Domain(ctx, s.p.UUID)
		if errors.Is(err, hypervisor.ErrNoDomain) {
			return nil
		}
		if err != nil {
			return err
		}
		if !now.Active || now.ID != domain.ID {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("power off domain %s: it is still %s, so nothing was undefined: %w", s.p.UUID, now.State, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// verify makes sure that the domain is gone. One that was started in the instant
// before the call lives on without a definition; it gets its own back.
func (s *step) verify(ctx context.Context, before hypervisor.Domain) error {
	now, err := s.libvirt.Domain(ctx, s.p.UUID)
	switch {
	case errors.Is(err, hypervisor.ErrNoDomain):
		s.changed = true
		return nil
	case err != nil:
		s.changed = true
		return fmt.Errorf("domain %s was undefined, but looking for it afterwards failed: %w", s.p.UUID, err)
	case now.Persistent:
		return fmt.Errorf("undefine domain %s: it was defined again meanwhile and is %s: stop what defines it (nova-compute), then run this again; backup %s", s.p.UUID, now.State, s.backupFile)
	}
	s.changed = true
	if err := s.libvirt.Define(ctx, before.XML); err != nil {
		return fmt.Errorf("undefine domain %s: it was started meanwhile and now runs without a definition, and putting that back from %s failed: %w", s.p.UUID, s.backupFile, err)
	}
	return fmt.Errorf("undefine domain %s: it was started meanwhile, so that it runs on and got its definition back: stop what starts it, then run this again; backup %s", s.p.UUID, s.backupFile)
}

// backup writes down what the plan removes, unless the last backup says the same.
func (s *step) backup(found evidence, planned plan) error {
	data := &record{Domain: found.Domain, XML: found.Domain.XML}
	for _, snapshot := range found.Domain.Snapshots {
		data.Snapshots = append(data.Snapshots, snapshot.XML)
	}
	for _, checkpoint := range found.Domain.Checkpoints {
		data.Checkpoints = append(data.Checkpoints, checkpoint.XML)
	}
	for _, file := range planned.BackedUp {
		stored, err := compress(file)
		if err != nil {
			return err
		}
		data.Files = append(data.Files, stored)
	}
	if s.backedUp != nil && data.sameAs(*s.backedUp) {
		return nil
	}
	path, err := backup.Write(s.p.BackupDir, s.p.UUID, "libvirt_undefine", data)
	if err != nil {
		return err
	}
	s.backupFile, s.backedUp = path, data
	return nil
}

// sameAs compares all but whether the domain runs.
func (r record) sameAs(other record) bool {
	r.Domain, other.Domain = hypervisor.Domain{}, hypervisor.Domain{}
	return reflect.DeepEqual(r, other)
}

func compress(file stateFile) (storedFile, error) {
	var out bytes.Buffer
	writer := gzip.NewWriter(&out)
	if _, err := writer.Write(file.Content); err != nil {
		return storedFile{}, fmt.Errorf("compress %s: %w", file.Path, err)
	}
	if err := writer.Close(); err != nil {
		return storedFile{}, fmt.Errorf("compress %s: %w", file.Path, err)
	}
	return storedFile{stateFile: file, Gzip: out.Bytes()}, nil
}
