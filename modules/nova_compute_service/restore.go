package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/compute"
)

// readBackup reads the backup, which must be one of this very service.
func (t *task) readBackup(service compute.Service) (from record, err error) {
	folder := t.InstanceUUID
	if folder == "" {
		if folder, err = t.folderOfBackup(); err != nil {
			return from, err
		}
		t.folder = folder
	}
	if err = backup.Read(t.BackupFile, name, folder, &from); err != nil {
		return from, err
	}
	from.age = time.Since(from.LeftAt)
	if from.Service.ID != service.ID {
		return from, fmt.Errorf("read the backup: %s is that of the service %s on %s (%s), not of %s on %s (%s)",
			t.BackupFile, from.Service.Binary, from.Service.Host, from.Service.ID, service.Binary, service.Host, service.ID)
	}
	return from, nil
}

// folderOfBackup is on whose behalf it was written.
func (t *task) folderOfBackup() (string, error) {
	content, err := os.ReadFile(t.BackupFile)
	if err != nil {
		return "", fmt.Errorf("read the backup: %w", err)
	}
	uuid, err := ansible.UUID(gjson.GetBytes(content, "uuid").String())
	if err != nil {
		return "", fmt.Errorf("read the backup: %s is no backup of nova-orphan: it has no uuid", t.BackupFile)
	}
	return uuid.(string), nil
}

// listLeft reads what earlier runs on behalf of the instance have left forced down.
func (t *task) listLeft(ctx context.Context) error {
	files, err := backup.Earlier(t.BackupDir, t.InstanceUUID, name)
	if err != nil {
		return err
	}
	var runs []saved
	for _, file := range files {
		run := saved{path: file}
		if err = backup.Read(file, name, t.InstanceUUID, &run.record); err != nil {
			return err
		}
		run.age = time.Since(run.LeftAt)
		runs = append(runs, run)
	}
	var now []compute.Service
	if len(runs) > 0 {
		if now, err = t.nova.Services(ctx, updatable, ""); err != nil {
			return err
		}
	}
	left := leftovers(runs, now)
	t.reply.LeftForcedDown = &left
	return nil
}
