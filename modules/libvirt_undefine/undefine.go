package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/instancefiles"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/step"
)

// removal powers a domain off and undefines it, looking at it and judging anew before each.
type removal struct {
	*task
	backedUp *record
	planned  plan // by the last look
	// told says that the answer has the plan, acted that something was asked for since, and answered that
	// the last of it succeeded: an error after that ends it, since nobody knows yet what lives on.
	told, acted, answered, poweredOff bool
	// gone are the folders that are to go, by the last look.
	gone []instancefiles.Content
}

func (r *removal) run(ctx context.Context) error {
	loop := step.Loop[evidence]{
		Call: r.call, Answer: &r.Answer, Subject: "domain " + r.UUID, Tries: attempts,
		Read: r.read, Plan: r.plan, Save: r.save, Pause: noPause,
		Uncertain: func(err error) bool { return !r.answered && errors.Is(err, hypervisor.ErrUnreachable) },
		Again: func(err error) bool {
			return !r.answered && (errors.Is(err, hypervisor.ErrBusy) || errors.Is(err, hypervisor.ErrChanged))
		},
	}
	if r.InstanceFiles == remove {
		loop.Tries++
	}
	err := loop.Run(ctx)
	switch {
	case err != nil || r.Changed || !r.acted:
	case r.Found:
		r.Msg, r.Plan = fmt.Sprintf("domain %s (%s) was gone before it could be undefined", r.Domain.Name, r.UUID), nil
	default:
		r.Msg, r.Plan = "the folders of instance "+r.UUID+" were gone before they could be removed", nil
	}
	if err != nil || !r.Changed {
		r.Diff, r.Removed, r.LeftBehind, r.Lost = nil, nil, nil, nil
	}
	r.tellFolders(err)
	return err
}

// read reads the domain, and who uses what from now on.
func (r *removal) read(ctx context.Context) (evidence, error) {
	r.reading = "the folders of instance " + r.UUID
	folders, err := r.readFolders()
	if err != nil {
		return evidence{}, err
	}
	r.reading = "domain " + r.UUID
	found, err := r.readDomain(ctx)
	if found.Folders = folders; err != nil || r.over(found) {
		return found, err
	}
	if r.InstanceFiles == remove {
		found.Shared, found.Now = r.shared, r.now()
		found.Explained = r.acted || !found.found() && len(folders) > 0 && r.undefinedLately()
	}
	if !r.told && found.found() {
		r.Found, r.Domain = true, &found.Domain
	}
	r.reading = "who uses the files of instance " + r.UUID
	found.Usage, err = r.usage.Ask(ctx, func(ctx context.Context) (usage, error) { return readUsage(ctx, r.libvirt, r.UUIDs...) })
	if err == nil && !found.found() && found.Usage.domain(r.UUID).Name != "" { // defined meanwhile
		return r.read(ctx)
	}
	// A guest that was just powered off may be among its watchers for a while.
	if err == nil && !r.acted {
		err = r.readDisks(ctx, &found)
	}
	return found, err
}

// plan plans the next thing to do: what is done after it is judged by another look.
func (r *removal) plan(found evidence) ([]step.Action, error) {
	domain := found.Domain
	if r.over(found) {
		return nil, nil
	}
	r.Users = found.Usage.users(r.UUID, r.BackupDir)
	// Once it is undefined, the domain's verdict stays.
	if verdict := found.verdict(r.parameters, r.Users); found.found() || !r.acted || verdict != orphan.Absent {
		r.Verdict = verdict
	}
	if !found.found() {
		return r.planFolders(found)
	}
	planned, reasons := judge(found, r.parameters)
	r.planned = planned
	if len(reasons) > 0 {
		r.Domain = &domain
		return nil, r.refuse(fmt.Sprintf("undefine domain %s (%s)", domain.Name, r.UUID), reasons)
	}
	if r.poweredOff && planned.PowerOff {
		return nil, fmt.Errorf("undefine domain %s: it was started again after it had been powered off: stop what starts it (nova-compute, "+
			"an HA agent), then run this again", r.UUID)
	}
	if !r.told {
		r.tell(planned, domain)
	}
	if planned.PowerOff {
		return r.action("power off", planned.powerOff(domain), func(ctx context.Context) (bool, error) { return r.powerOff(ctx, domain) }), nil
	}
	return r.action("undefine", planned.undefine(domain), func(ctx context.Context) (bool, error) { return r.undefine(ctx, domain) }), nil
}

func (r *removal) action(key, text string, do func(context.Context) (bool, error)) []step.Action {
	return []step.Action{{Key: key, Text: text, Do: func(ctx context.Context) (_ bool, err error) {
		r.acted, r.answered = true, false
		r.answered, err = do(ctx)
		return r.answered, err
	}}}
}

// tell fills in what a real run and --check both say.
func (r *removal) tell(planned plan, domain hypervisor.Domain) {
	r.gone = planned.Gone
	r.told, r.Domain, r.Plan = true, &domain, planned.steps(domain, r.BackupDir)
	r.Flags, r.Removed, r.LeftBehind, r.Lost = planned.Flags.Names(), planned.Removed, planned.LeftBehind, planned.Lost
	for _, warning := range planned.Warnings {
		r.Warn(warning)
	}
	r.Msg = fmt.Sprintf("domain %s (%s): %s %s", domain.Name, r.UUID, r.done("removed", "remove"), strings.Join(planned.Removed, ", "))
	r.Diff = &ansible.Diff{Before: map[string]any{"domain": domain}, After: map[string]any{}}
	if len(planned.Gone) > 0 {
		r.Diff.Before["instance_files"] = planned.Gone
	}
}

// save writes down what the next call removes, unless the last backup says the same. Of folders there is no backup.
func (r *removal) save(found evidence) error {
	if !found.found() {
		return nil
	}
	data, err := newRecord(found, r.planned)
	if err != nil || r.backedUp != nil && data.sameAs(*r.backedUp) {
		return err
	}
	r.backedUp = data
	return r.writeBackup(backup.Purge, data)
}

// powerOff returns when the domain is off, or gone if it was transient.
func (r *removal) powerOff(ctx context.Context, domain hypervisor.Domain) (bool, error) {
	if err := r.libvirt.Destroy(ctx, r.UUID, domain.ID); err != nil {
		return false, unlessNoDomain(err)
	}
	r.poweredOff = true
	for {
		now, err := r.libvirt.Domain(ctx, r.UUID)
		switch {
		case errors.Is(err, hypervisor.ErrNoDomain):
			return true, nil
		case err != nil:
			return true, fmt.Errorf("domain %s was powered off, but looking for it afterwards failed: %w", r.UUID, err)
		case !now.Active || now.ID != domain.ID:
			return true, nil
		}
		select {
		case <-ctx.Done():
			return true, fmt.Errorf("power off domain %s: it is still %s, so nothing was undefined: %w", r.UUID, now.State, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (r *removal) undefine(ctx context.Context, domain hypervisor.Domain) (bool, error) {
	err := r.libvirt.Undefine(ctx, domain, r.planned.Flags)
	switch {
	case err == nil:
		return true, r.verify(ctx, domain)
	case errors.Is(err, hypervisor.ErrNoDomain):
		return false, nil
	case errors.Is(err, hypervisor.ErrBusy), errors.Is(err, hypervisor.ErrUnreachable):
		return false, err
	case errors.Is(err, hypervisor.ErrChanged):
		r.told = false
		r.Warn("it was changed by another meanwhile, and judged anew")
		return false, err
	case errors.Is(err, hypervisor.ErrActive):
		return false, fmt.Errorf("%w: it was started meanwhile, so it was left as it is: stop what starts it (nova-compute, an HA agent), "+
			"then run this again", err)
	}
	return false, fmt.Errorf("%w; what went with it before libvirt refused is in the backup %s", err, r.BackupFile)
}

// verify makes sure that the domain is gone. One that was started in the instant
// before the call lives on without a definition; it gets its own back.
func (r *removal) verify(ctx context.Context, before hypervisor.Domain) error {
	now, err := r.libvirt.Domain(ctx, r.UUID)
	switch {
	case errors.Is(err, hypervisor.ErrNoDomain):
		return nil
	case err != nil:
		return fmt.Errorf("domain %s was undefined, but looking for it afterwards failed: %w", r.UUID, err)
	case now.Persistent:
		return fmt.Errorf("undefine domain %s: it was defined again meanwhile and is %s: stop what defines it (nova-compute), then run this "+
			"again; backup %s", r.UUID, now.State, r.BackupFile)
	}
	if err := r.libvirt.Define(ctx, before.XML); err != nil {
		return fmt.Errorf("undefine domain %s: it was started meanwhile and now runs without a definition, and putting that back from %s "+
			"failed: %w", r.UUID, r.BackupFile, err)
	}
	return fmt.Errorf("undefine domain %s: it was started meanwhile, so that it runs on and got its definition back: stop what starts it, "+
		"then run this again; backup %s", r.UUID, r.BackupFile)
}

// verdict is what the evidence proves where that settles or forbids the step.
func (e evidence) verdict(p parameters, users []sharer) orphan.Verdict {
	switch {
	case e.found() && e.Domain.Nova == nil && !p.AllowForeign:
		return orphan.Foreign
	case e.Domain.Active && p.State == absent && !p.Destroy, len(objections(users)) > 0, len(e.Watched) > 0:
		return orphan.Live
	case !e.found():
		return orphan.Absent
	}
	return ""
}
