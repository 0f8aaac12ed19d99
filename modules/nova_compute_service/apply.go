package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
)

// maxWrites bounds how often the change is asked for, each time judged anew. It sets
// values, so that to ask twice does no harm.
const maxWrites = 3

// change reads, plans and applies, and then waits if it is to.
func (t *task) change(ctx context.Context) error {
	before, err := t.read(ctx)
	if err != nil {
		return err
	}
	t.reply.Service, t.reply.ServiceBefore = before, before
	now := settingOf(*before)
	after, err := t.wanted(ctx, *before)
	if err != nil {
		return err
	}
	t.fillAnswer(now, after)
	if now == after {
		return t.await(ctx)
	}
	if before.Binary != updatable {
		return fmt.Errorf("nova changes services %s only, not %s", updatable, before.Binary)
	}
	if after.ForcedDown && !now.ForcedDown {
		if err = t.count(ctx); err != nil {
			return err
		}
	}
	if t.call.Check {
		t.reply.Changed = true
		return nil
	}
	if err = t.apply(ctx, *before, now, after); err != nil {
		return err
	}
	return t.await(ctx)
}

func (t *task) read(ctx context.Context) (*compute.Service, error) {
	found, err := t.nova.Services(ctx, t.Binary, t.Host)
	if err != nil {
		return nil, err
	}
	exists := len(found) > 0
	t.reply.Exists = &exists
	var all []compute.Service
	if len(found) == 0 {
		if all, err = t.nova.Services(ctx, t.Binary, ""); err != nil {
			return nil, err
		}
	}
	service, err := pick(found, all, t.parameters)
	return &service, err
}

func (t *task) wanted(ctx context.Context, service compute.Service) (after setting, err error) {
	if t.BackupFile == "" {
		return wanted(settingOf(service), t.parameters), nil
	}
	from, err := t.readBackup(service)
	if err != nil {
		return settingOf(service), err
	}
	objection := ""
	if service.ForcedDown != from.Before.ForcedDown {
		if objection, err = t.objection(ctx, from, service); err != nil {
			return settingOf(service), err
		}
	}
	after, t.told, err = restored(service, from, objection)
	return after, err
}

// fillAnswer puts the plan and the diff into the answer.
func (t *task) fillAnswer(now, after setting) {
	t.reply.Plan = steps(t.Host, now, after)
	t.reply.Msg = strings.Join(t.reply.Plan, "; ")
	switch {
	case t.told != "":
		t.reply.Warnings = append(t.reply.Warnings, t.told)
		t.reply.Msg = strings.Join(append(t.reply.Plan, t.told), "; ")
	case now == after:
		t.reply.Msg = "nothing to change"
	}
	t.reply.Diff = &ansible.Diff{BeforeHeader: t.Host, AfterHeader: t.Host, Before: now.side(), After: after.side()}
}

func (s setting) side() map[string]any {
	return map[string]any{"forced_down": s.ForcedDown, "status": s.Status, "disabled_reason": s.DisabledReason}
}

// count warns of what a forced-down host is to others while servers live on it.
func (t *task) count(ctx context.Context) error {
	count, err := t.nova.CountServers(ctx, t.Host)
	if err != nil {
		return fmt.Errorf("count the servers on %s: %w", t.Host, err)
	}
	t.reply.Servers = &count
	if living := count.Total - count.Error; living > 0 {
		t.reply.Warnings = append(t.reply.Warnings, fmt.Sprintf("%d servers on %s are not in ERROR: as long as it is forced down, evacuation "+
			"tools take the host for failed, and Nova deletes its servers without it", living, t.Host))
	}
	return nil
}

// record is what the backup holds.
type record struct {
	Service   compute.Service `json:"service"`
	Before    setting         `json:"before"`
	ChangedTo setting         `json:"changed_to"`
	// At is just before the write.
	At time.Time `json:"at,omitzero"`
	// Left is the service as the run read it back after its write; nil if it did not get so far.
	Left *compute.Service `json:"left,omitempty"`
	// LeftAt is just before it read that.
	LeftAt time.Time `json:"left_at,omitzero"`

	// Of a backup that is read: path and instance are where it is, age how long ago it was written or left.
	path, instance string
	age            time.Duration
}

// apply writes, reads back, and writes again as long as it is not certain that the
// service is as wanted.
func (t *task) apply(ctx context.Context, before compute.Service, now, after setting) error {
	ctx, cancel := t.call.WithoutInterrupt(ctx)
	defer cancel()
	run := record{Service: before, Before: now, ChangedTo: after, At: t.now()}
	path, err := backup.Write(t.BackupDir, cmp.Or(t.InstanceUUID, t.folder, before.ID), name, run)
	if err != nil {
		return err
	}
	t.reply.BackupFile = path
	for writes := uint(1); ; writes++ {
		failure := t.nova.UpdateService(ctx, before.ID, changeTo(now, after))
		if failure != nil && !openstack.Uncertain(failure) {
			return failure
		}
		run.LeftAt = t.now()
		service, err := t.read(ctx)
		if err != nil {
			return unread(err, failure)
		}
		t.reply.Service, run.Left = service, service
		now = settingOf(*service)
		t.reply.Changed = now != settingOf(before)
		// Others may have changed what is none of this call's business.
		if after, err = t.wanted(ctx, *service); err != nil {
			return err
		}
		if now == after {
			return t.done(run, path)
		}
		switch {
		case failure == nil:
			return errors.New("it was written, but is something else when read back: somebody else changes it, too")
		case writes == maxWrites || openstack.Pause(ctx, writes) != nil:
			return fmt.Errorf("not done after %d tries (run the module again): %w", writes, failure)
		}
	}
}

// done completes the backup: a later run puts back only what is still as this one left it.
func (t *task) done(run record, path string) error {
	if t.told != "" { // somebody wrote it after this call had read it
		t.reply.Warnings = append(t.reply.Warnings, t.told)
		t.reply.Msg = t.told
	}
	if !t.reply.Changed {
		return nil
	}
	t.call.Audit("%s, backup in %s", strings.Join(t.reply.Plan, "; "), path)
	if err := backup.Replace(path, run); err != nil {
		t.reply.Warnings = append(t.reply.Warnings, "a later run cannot tell from the backup how this one left the service: "+err.Error())
	}
	return nil
}

// unread says that what came of a write could not be read back.
func unread(err, failure error) error {
	if failure != nil {
		return fmt.Errorf("whether it was written could not be read back (run the module again): %w (after: %w)", err, failure)
	}
	return fmt.Errorf("it was written, but could not be read back (run the module again): %w", err)
}

// await looks until the service is reported as it is waited for.
func (t *task) await(ctx context.Context) error {
	if t.told != "" {
		return nil // what is not put back need not be waited for
	}
	for looks := uint(1); t.WaitFor != "" && t.reply.Service.State != t.WaitFor && !t.call.Check; looks++ {
		if openstack.Pause(ctx, looks) != nil {
			hint := "does nova-compute run there, and is it connected?"
			if t.reply.Service.ForcedDown {
				hint = "it is forced down (forced_down: false)"
			} else if t.WaitFor == down {
				hint = "it still reports: stop nova-compute there, or force it down (forced_down: true)"
			}
			return fmt.Errorf("%s on %s is still reported as %s: %s", t.Binary, t.Host, t.reply.Service.State, hint)
		}
		service, err := t.read(ctx)
		if err != nil {
			return err
		}
		t.reply.Service = service
	}
	return nil
}
