package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/placement"
)

// record is what a backup holds: the consumer as it was, and as the step left it,
// so that a restore can tell whether anything has changed since.
type record struct {
	consumer
	ChangedTo *consumer `json:"changed_to,omitempty"`
	// State is saved where nothing was changed.
	State string `json:"state,omitempty"`
}

// restoring is what a backup asks for.
type restoring struct {
	saved placement.Allocation
	// left is what the step made of it; nil if the backup does not say.
	left *placement.Allocation
	// gone are those of saved's providers that Placement no longer has.
	gone []string
	// name is how to call a provider.
	name func(uuid string) string
}

// planRestore puts the whole allocation back if the consumer holds what the step
// left, or part of what it held before, or nothing.
func planRestore(now placement.Allocation, r restoring) (step, error) {
	if now.Equal(r.saved) {
		return step{before: now, after: now}, nil
	}
	var against orphan.Refusal
	for _, provider := range r.gone {
		against = append(against, fmt.Sprintf("the resource provider %s, on which %s held something, is gone", r.name(provider), now.Consumer))
	}
	untouched := r.left != nil && now.Equal(*r.left)
	if !untouched && !now.Empty() {
		for _, provider := range slices.Sorted(maps.Keys(now.Providers)) {
			is, was := listResources(now.Providers[provider]), listResources(r.saved.Providers[provider])
			if is != was {
				against = append(against, fmt.Sprintf("%s holds something else by now on %s: %s (it was %s)", now.Consumer, r.name(provider), is, was))
			}
		}
		if now.ProjectID != r.saved.ProjectID || now.UserID != r.saved.UserID {
			against = append(against, fmt.Sprintf("%s belongs to project %s, user %s by now (it was project %s, user %s)",
				now.Consumer, now.ProjectID, now.UserID, r.saved.ProjectID, r.saved.UserID))
		}
	}
	if len(against) > 0 {
		return step{}, against
	}
	after := r.saved
	after.Generation = now.Generation
	return step{before: now, after: after}, nil
}

// readBackup reads the backup, whose consumer must be that of the option, if given.
func (t *task) readBackup() (*record, error) {
	whose, err := t.Backup.UUID()
	if err != nil {
		return nil, err
	}
	if len(t.Consumers) == 0 {
		t.Consumers = []string{whose}
	}
	saved := &record{}
	if err := t.Backup.Read(name, t.Consumers[0], saved); err != nil {
		return nil, err
	}
	return saved, nil
}

// allocation is the other way round of listed. It takes nothing for granted: a
// backup may have been edited.
func (c consumer) allocation() (placement.Allocation, error) {
	a := placement.Allocation{Consumer: c.Consumer, Providers: map[string]placement.Resources{}}
	if c.ProjectID != nil && c.UserID != nil {
		a.ProjectID, a.UserID = *c.ProjectID, *c.UserID
	}
	for _, h := range c.Held {
		if _, err := ansible.UUID(h.Provider); err != nil {
			return a, fmt.Errorf("its resource_provider %w", err)
		}
		if _, twice := a.Providers[h.Provider]; twice {
			return a, fmt.Errorf("it names the resource provider %s twice", h.Provider)
		}
		if len(h.Resources) == 0 {
			return a, fmt.Errorf("it holds nothing on the resource provider %s", h.Provider)
		}
		for class, amount := range h.Resources {
			if !className.MatchString(class) || amount < 1 {
				return a, fmt.Errorf("it holds %d of %q, which is no resource", amount, class)
			}
		}
		a.Providers[h.Provider] = h.Resources
	}
	if !a.Empty() && (a.ProjectID == "" || a.UserID == "") {
		return a, errors.New("it has no project_id or user_id")
	}
	return a, nil
}

// wantedFrom is what the backup asks for, with the providers that are gone.
func (t *task) wantedFrom(ctx context.Context) (wanted, error) {
	w := wanted{state: present}
	content, err := t.readBackup()
	if err != nil {
		return w, err
	}
	r := restoring{name: t.nameOf}
	if r.saved, err = content.allocation(); err == nil && (r.saved.Empty() || r.saved.Consumer != t.Consumers[0]) {
		err = errors.New("it holds nothing for it")
	}
	if err == nil && content.ChangedTo != nil {
		var left placement.Allocation
		left, err = content.ChangedTo.allocation()
		r.left = &left
	}
	if err != nil {
		return w, fmt.Errorf("read the backup of %s: %s: %w", t.Consumers[0], t.Backup, err)
	}
	for _, h := range content.Held {
		known, err := t.learn(ctx, h.Provider)
		if err != nil {
			return w, err
		}
		if !known {
			t.names[h.Provider] = h.Name
			r.gone = append(r.gone, h.Provider)
		}
	}
	w.restoring = &r
	return w, nil
}
