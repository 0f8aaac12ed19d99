// Package step has what every changing module says in the same words.
package step

import (
	"fmt"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/orphan"
)

// Instances is the option of a module that is for instances.
var Instances = ansible.Option{Name: "instance_uuid", Aliases: []string{"instance_uuids", "uuid", "server"}, Type: ansible.List,
	Elements: ansible.Str, Required: true, Check: ansible.UUID}

// BackupDir is the option that says where a module writes down what it is about to change.
var BackupDir = ansible.Option{Name: "backup_dir", Type: ansible.Path, Default: backup.DefaultDir, Check: ansible.Absolute}

// PolicyOptions are the options that say how an instance is judged.
func PolicyOptions() []ansible.Option {
	return append([]ansible.Option{
		MinAge,
		{Name: "unchanged_since", Type: ansible.Str, Check: isTime},
	}, ConsentOptions()...)
}

// MinAge is the option that says how long ago something must have been written to count as left alone.
var MinAge = ansible.Option{Name: "min_age", Type: ansible.Int, Default: 300, Check: ansible.Between(0, 366*24*60*60)}

// ConsentOptions are the options by which the judge lets go what it refuses by itself.
func ConsentOptions() []ansible.Option {
	return []ansible.Option{
		{Name: "allow_locked", Type: ansible.Bool, Default: false},
		{Name: "allow_stuck_migration", Type: ansible.Bool, Default: false},
		{Name: "allow_soft_deleted", Type: ansible.Bool, Default: false},
	}
}

// Consents are the values of ConsentOptions; embed it in a module's parameters.
type Consents struct {
	AllowLocked         bool `option:"allow_locked"`
	AllowStuckMigration bool `option:"allow_stuck_migration"`
	AllowSoftDeleted    bool `option:"allow_soft_deleted"`
}

// To gives them to a policy.
func (c Consents) To(policy orphan.Policy) orphan.Policy {
	policy.AllowLocked, policy.AllowStuckMigration, policy.AllowSoftDeleted = c.AllowLocked, c.AllowStuckMigration, c.AllowSoftDeleted
	return policy
}

// Policy are the values of PolicyOptions; embed it in a module's parameters.
type Policy struct {
	// MinAge is in seconds, at most a year.
	MinAge         int    `option:"min_age"`
	UnchangedSince string `option:"unchanged_since"`
	Consents
}

// Judging is the policy in the judge's terms.
func (p Policy) Judging() orphan.Policy {
	since, _ := time.Parse(time.RFC3339, p.UnchangedSince)
	return p.To(orphan.Policy{MinAge: time.Duration(p.MinAge) * time.Second, UnchangedSince: since})
}

func isTime(value any) (any, error) {
	text, _ := value.(string)
	if _, err := time.Parse(time.RFC3339, text); err != nil {
		return nil, fmt.Errorf("takes a time like 2026-11-26T20:34:16Z, as the answers have it in updated_at, got: %q", text)
	}
	return value, nil
}
