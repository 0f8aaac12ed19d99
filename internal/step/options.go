// Package step has what every changing module says in the same words.
package step

import (
	"fmt"
	"maps"
	"slices"
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
		{Name: "unchanged_since", Type: ansible.Raw, Check: AllOrEach(ansible.UUID, parseTime)},
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
	MinAge int `option:"min_age"`
	// UnchangedSince is when the caller itself last wrote an instance; zero of one that it did not write.
	UnchangedSince PerElement[time.Time] `option:"unchanged_since"`
	Consents
}

// Judging is the policy for an instance, in the judge's terms.
func (p Policy) Judging(uuid string) orphan.Policy {
	return p.To(orphan.Policy{MinAge: time.Duration(p.MinAge) * time.Second, UnchangedSince: p.UnchangedSince.Of(uuid)})
}

func parseTime(value any) (time.Time, error) {
	text, _ := value.(string)
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, fmt.Errorf("takes a time like 2026-11-26T20:34:16Z, as the answers have it in updated_at, or a dictionary of such by UUID, "+
			"got: %q", fmt.Sprint(value))
	}
	return at, nil
}

// PerElement is what an option of type ansible.Raw says of the elements of a list: the same of All, or of each in Each its own.
type PerElement[T any] struct {
	All  T
	Each map[string]T // nil: it is the same of all
}

// Of is the zero value of one that is not in the dictionary.
func (p PerElement[T]) Of(element string) T {
	if p.Each != nil {
		return p.Each[element]
	}
	return p.All
}

// AllOrEach is the Check of such an option; name checks how an element is called. The dictionary may have others than those of the
// list, or none.
func AllOrEach[T any](name func(any) (any, error), parse func(any) (T, error)) func(any) (any, error) {
	return func(given any) (any, error) {
		dict, ok := given.(map[string]any)
		if !ok {
			all, err := parse(given)
			return PerElement[T]{All: all}, err
		}
		p := PerElement[T]{Each: make(map[string]T, len(dict))}
		for _, key := range slices.Sorted(maps.Keys(dict)) {
			checked, err := name(key)
			if err != nil {
				return nil, err
			}
			element, _ := checked.(string)
			if _, twice := p.Each[element]; twice {
				return nil, fmt.Errorf("names %s twice", element)
			}
			if p.Each[element], err = parse(dict[key]); err != nil {
				return nil, fmt.Errorf("%s: %w", element, err)
			}
		}
		return p, nil
	}
}
