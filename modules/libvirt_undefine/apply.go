package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nova-orphan/internal/backup"
	"nova-orphan/internal/hypervisor"
)

// step carries a plan out.
type step struct {
	libvirt domains
	p       parameters
	audit   func(format string, values ...any)
	usage   usage // as it was looked at last

	changed    bool
	poweredOff bool
	backupFile string
	backedUp   *record
	// anew is the domain as it was judged last, where that is another one than was
	// judged first.
	anew     *hypervisor.Domain
	anewPlan plan
}

// attempts bounds how often another job's lock on the domain is waited for, for
// which libvirt itself waits 30 s (qemu_domainjob.c QEMU_JOB_WAIT_TIME), and how
// often a domain is judged anew that another has changed meanwhile, or of which
// it is not known what became, as the daemon was restarted.
const attempts = 3

// apply powers the domain off and undefines it, looking at it and judging anew
// before each call. The backup always holds what the next call removes.
func (s *step) apply(ctx context.Context, found evidence, planned plan) error {
	for attempt := 1; ; attempt++ {
		if err := s.backup(found, planned); err != nil {
			return err
		}
		done, err := s.act(ctx, found, planned)
		lost := errors.Is(err, hypervisor.ErrUnreachable)
		again := lost || errors.Is(err, hypervisor.ErrBusy) || errors.Is(err, hypervisor.ErrChanged)
		if done || err != nil && (!again || attempt == attempts) {
			return err
		}
		acted := err
		found, err = readEvidence(ctx, s.libvirt, s.p)
		switch {
		case errors.Is(err, hypervisor.ErrNoDomain):
			s.changed = s.changed || lost
			return nil
		case err != nil && lost:
			return fmt.Errorf("%w; it may have happened all the same: run this again to see; backup %s", acted, s.backupFile)
		case err != nil && acted != nil:
			return fmt.Errorf("%w (after: %w)", err, acted)
		case err != nil && !s.poweredOff:
			return err
		case err != nil:
			return fmt.Errorf("domain %s was powered off, but could not be judged anew: %w", s.p.UUID, err)
		}
		s.usage = found.Usage
		var reasons []string
		if planned, reasons = judge(found, s.p); len(reasons) > 0 {
			return &refusal{found.Domain, reasons}
		}
		if errors.Is(acted, hypervisor.ErrChanged) {
			domain := found.Domain
			s.anew, s.anewPlan = &domain, planned
		}
		if s.poweredOff && planned.PowerOff {
			return fmt.Errorf("undefine domain %s: it was started again after it had been powered off: stop what starts it (nova-compute, an HA "+
				"agent), then run this again", s.p.UUID)
		}
	}
}

// act makes the plan's next call; done is true when there is nothing left to do.
func (s *step) act(ctx context.Context, found evidence, planned plan) (done bool, err error) {
	if planned.PowerOff {
		return false, s.powerOff(ctx, found.Domain)
	}
	err = s.libvirt.Undefine(ctx, found.Domain, planned.Flags)
	switch {
	case errors.Is(err, hypervisor.ErrNoDomain):
		return true, nil
	case errors.Is(err, hypervisor.ErrBusy), errors.Is(err, hypervisor.ErrChanged), errors.Is(err, hypervisor.ErrUnreachable):
		return false, err
	case errors.Is(err, hypervisor.ErrActive):
		return false, fmt.Errorf("%w: it was started meanwhile, so it was left as it is: stop what starts it (nova-compute, an HA agent), "+
			"then run this again", err)
	case err != nil:
		return false, fmt.Errorf("%w; what went with it before libvirt refused is in the backup %s", err, s.backupFile)
	}
	s.changed = true
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
			return fmt.Errorf("domain %s was powered off, but looking for it afterwards failed: %w", s.p.UUID, err)
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
		return nil
	case err != nil:
		return fmt.Errorf("domain %s was undefined, but looking for it afterwards failed: %w", s.p.UUID, err)
	case now.Persistent:
		return fmt.Errorf("undefine domain %s: it was defined again meanwhile and is %s: stop what defines it (nova-compute), then run this "+
			"again; backup %s", s.p.UUID, now.State, s.backupFile)
	}
	if err := s.libvirt.Define(ctx, before.XML); err != nil {
		return fmt.Errorf("undefine domain %s: it was started meanwhile and now runs without a definition, and putting that back from %s "+
			"failed: %w", s.p.UUID, s.backupFile, err)
	}
	return fmt.Errorf("undefine domain %s: it was started meanwhile, so that it runs on and got its definition back: stop what starts it, "+
		"then run this again; backup %s", s.p.UUID, s.backupFile)
}

// backup writes down what the plan removes, unless the last backup says the same.
func (s *step) backup(found evidence, planned plan) error {
	data, err := newRecord(found, planned)
	if err != nil {
		return err
	}
	if s.backedUp != nil && data.sameAs(*s.backedUp) {
		return nil
	}
	path, err := writeRecord(s.p, data)
	if err != nil {
		return err
	}
	s.backupFile, s.backedUp = path, data
	return nil
}

func writeRecord(p parameters, data any) (string, error) {
	path, err := backup.Write(p.BackupDir, p.UUID, moduleName, data)
	if err != nil {
		return "", fmt.Errorf("%w: make room there or give another backup_dir", err)
	}
	return path, nil
}
