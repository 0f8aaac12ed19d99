package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
)

// readBackup reads the backup, which must be one of this very service.
func (t *task) readBackup(service compute.Service) (from record, err error) {
	folder := t.InstanceUUID
	if folder == "" {
		if folder, err = (backup.Source{File: t.BackupFile}).UUID(); err != nil {
			return from, err
		}
		t.folder = folder
	}
	if from, err = t.readRecord(t.BackupFile, folder); err != nil {
		return from, err
	}
	if from.Service.ID != service.ID {
		return from, fmt.Errorf("read the backup: %s is that of the service %s on %s (%s), not of %s on %s (%s)",
			t.BackupFile, from.Service.Binary, from.Service.Host, from.Service.ID, service.Binary, service.Host, service.ID)
	}
	return from, nil
}

func (t *task) readRecord(file, folder string) (r record, err error) {
	err = backup.Read(file, name, folder, &r)
	r.path, r.instance, r.age = file, folder, t.now().Sub(cmp.Or(r.LeftAt, r.At))
	return r, err
}

// history is what this module has written down, on behalf of whichever instance. What is no
// backup for others, as a copy that somebody keeps there, is told, and stops nobody.
func (t *task) history() (all []record, err error) {
	folders, err := os.ReadDir(t.BackupDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for earlier runs: %w", err)
	}
	for _, folder := range folders {
		if _, err := ansible.UUID(folder.Name()); err != nil {
			continue
		}
		records, err := t.recordsOf(folder.Name())
		switch {
		case err == nil:
			all = append(all, records...)
		case folder.Name() == t.ownFolder():
			return nil, err
		default:
			t.warn("what a run for another instance has forced down cannot be told: " + err.Error())
		}
	}
	return all, nil
}

func (t *task) recordsOf(folder string) (all []record, err error) {
	files, err := backup.Earlier(t.BackupDir, folder, name)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		r, err := t.readRecord(file, folder)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// ownFolder is that of the instance on whose behalf the module is called.
func (t *task) ownFolder() string { return cmp.Or(t.InstanceUUID, t.folder) }

func (t *task) warn(text string) {
	if !slices.Contains(t.reply.Warnings, text) {
		t.reply.Warnings = append(t.reply.Warnings, text)
	}
}

// listLeft reads what earlier runs have left forced down.
func (t *task) listLeft(ctx context.Context) error {
	history, err := t.history()
	if err != nil {
		return err
	}
	left := []leftover{}
	for _, r := range leftovers(history, t.InstanceUUID) {
		at := slices.IndexFunc(left, func(known leftover) bool { return known.Service.ID == r.Service.ID })
		if at >= 0 && left[at].AsLeft {
			continue
		}
		services, err := t.nova.Services(ctx, updatable, r.Service.Host)
		if err != nil {
			return err
		}
		now := slices.IndexFunc(services, func(s compute.Service) bool { return s.ID == r.Service.ID && s.ForcedDown })
		if now < 0 {
			continue
		}
		why := fmt.Sprintf("nova-compute on %s is forced down by a run for %s, %s ago, which may still be at work", r.Service.Host, r.instance,
			r.age.Round(time.Second))
		if r.instance == t.InstanceUUID || r.age > atLeast {
			if why, err = t.objection(ctx, r, services[now]); err != nil {
				return err
			}
		}
		one := leftover{Host: r.Service.Host, BackupFile: r.path, AsLeft: why == "", Msg: why, Service: services[now]}
		switch {
		case at < 0:
			left = append(left, one)
		case one.AsLeft:
			left[at] = one
		}
	}
	t.reply.LeftForcedDown = &left
	return nil
}

// reportLooks are how many looks, 3.2 s apart, a nova-compute that runs is given to report:
// by default it does every 10 seconds ([DEFAULT]report_interval), and every 60 on some clouds.
const reportLooks = 24

// objection is the record's, and looks whether nova-compute reports where that decides.
func (t *task) objection(ctx context.Context, r record, now compute.Service) (string, error) {
	history, err := t.history()
	if err != nil {
		return "", err
	}
	why := r.objection(now, history, false)
	if why == "" || r.objection(now, history, true) != "" || now.UpdatedAt == nil {
		return why, nil
	}
	for looks := 0; looks < reportLooks && openstack.Pause(ctx, 5) == nil; looks++ {
		services, err := t.nova.Services(ctx, now.Binary, now.Host)
		if err != nil {
			return "", err
		}
		reports := func(s compute.Service) bool {
			return s.ID == now.ID && s.ForcedDown == now.ForcedDown && s.UpdatedAt != nil && *s.UpdatedAt != *now.UpdatedAt
		}
		if slices.ContainsFunc(services, reports) {
			return "", nil
		}
	}
	return why, nil
}
