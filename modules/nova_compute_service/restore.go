package main

import (
	"fmt"
	"os"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/compute"
)

// readBackup reads the backup, which must be one of this very service.
func (t *task) readBackup(service compute.Service) (from record, err error) {
	folder := t.InstanceUUID
	if folder == "" {
		content, err := os.ReadFile(t.BackupFile)
		if err != nil {
			return from, fmt.Errorf("read the backup: %w", err)
		}
		uuid, err := ansible.UUID(gjson.GetBytes(content, "uuid").String())
		if err != nil {
			return from, fmt.Errorf("read the backup: %s is no backup of nova-orphan: it has no uuid", t.BackupFile)
		}
		folder = uuid.(string)
	}
	if err = backup.Read(t.BackupFile, name, folder, &from); err != nil {
		return from, err
	}
	if from.Service.ID != service.ID {
		return from, fmt.Errorf("read the backup: %s is that of the service %s on %s (%s), not of %s on %s (%s)",
			t.BackupFile, from.Service.Binary, from.Service.Host, from.Service.ID, service.Binary, service.Host, service.ID)
	}
	return from, nil
}
