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

// record is what a backup holds: the consumer as it was, and as the change was to leave
// it, so that a restore can tell whether anything has changed since.
type record struct {
	consumer
	ChangedTo *consumer `json:"changed_to,omitempty"`
	// State is saved where nothing was changed.
	State string `json:"state,omitempty"`
}

// backedUp is what a backup asks for.
type backedUp struct {
	consumer
	saved placement.Allocation
	// wrong is why it cannot be read, if so.
	wrong error
	// left is what the change made of it; nil if the backup does not say.
	left *placement.Allocation
	// gone are those of saved's providers that Placement no longer has.
	gone []string
	// described is how to call a provider.
	described func(uuid string) string
}

// readBackups reads the backups, which must be of the consumers of the option, if given.
func (c *cloud) readBackups() error {
	if len(c.Consumers) == 0 && c.Backup.File != "" {
		whose, err := c.Backup.UUID()
		if err != nil {
			return err
		}
		c.Consumers = []string{whose}
	} else if len(c.Consumers) == 0 {
		c.Consumers = slices.Sorted(maps.Keys(c.Backup.Contents))
	}
	c.backups = map[string]*backedUp{}
	for _, whose := range c.Consumers {
		c.backups[whose] = c.readBackup(whose)
	}
	if wrong := c.backups[c.Consumers[0]].wrong; len(c.Consumers) == 1 {
		return wrong
	}
	return nil
}

func (c *cloud) readBackup(whose string) *backedUp {
	var content record
	b := &backedUp{}
	if b.wrong = c.Backup.Read(name, whose, &content); b.wrong != nil {
		return b
	}
	var err error
	b.consumer = content.consumer
	if b.saved, err = content.allocation(); err == nil && (b.saved.Empty() || b.saved.Consumer != whose) {
		err = errors.New("it holds nothing for it")
	}
	if err == nil && content.ChangedTo != nil {
		b.left = new(placement.Allocation)
		*b.left, err = content.ChangedTo.allocation()
	}
	if err != nil {
		b.wrong = fmt.Errorf("read the backup of %s: %s: %w", whose, c.Backup, err)
	}
	return b
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

// restore puts the backups back, whose providers it looks for.
func (c *cloud) restore(ctx context.Context) (goal, error) {
	gone := map[string]placement.Provider{}
	for _, b := range c.backups {
		b.described = c.providers.described
		for _, h := range b.Held {
			if err := c.providers.learn(ctx, h.Provider); err != nil {
				return nil, err
			}
			if _, known := c.providers.get(h.Provider); !known {
				b.gone = append(b.gone, h.Provider)
				gone[h.Provider] = placement.Provider{UUID: h.Provider, Name: h.Name} // the backups alone have it
			}
		}
	}
	c.providers.note(slices.Collect(maps.Values(gone))...)
	return func(now placement.Allocation) (placement.Allocation, error) {
		return c.backups[now.Consumer].goal(now)
	}, nil
}

// goal is the whole allocation if the consumer holds what the change left, or part of
// what it held before, or nothing.
func (b backedUp) goal(now placement.Allocation) (placement.Allocation, error) {
	if now.Equal(b.saved) {
		return now, nil
	}
	var against orphan.Refusal
	for _, provider := range b.gone {
		against.Add("the resource provider %s, on which %s held something, is gone", b.described(provider), now.Consumer)
	}
	untouched := b.left != nil && now.Equal(*b.left)
	if !untouched && !now.Empty() {
		for _, provider := range slices.Sorted(maps.Keys(now.Providers)) {
			if is, was := listResources(now.Providers[provider]), listResources(b.saved.Providers[provider]); is != was {
				against.Add("%s holds something else by now on %s: %s (it was %s)", now.Consumer, b.described(provider), is, was)
			}
		}
		if now.ProjectID != b.saved.ProjectID || now.UserID != b.saved.UserID {
			against.Add("%s belongs to project %s, user %s by now (it was project %s, user %s)", now.Consumer, now.ProjectID, now.UserID,
				b.saved.ProjectID, b.saved.UserID)
		}
	}
	if len(against) > 0 {
		return now, against
	}
	after := b.saved
	after.Generation = now.Generation
	return after, nil
}
