package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/placement"
)

type answer struct {
	ansible.Result
	ResourceProvider *placement.Provider `json:"resource_provider,omitempty"`
	// Allocations are what Placement has now, AllocationsBefore what it had.
	Allocations       []consumer `json:"allocations"`
	AllocationsBefore []consumer `json:"allocations_before,omitempty"`
	BackupFiles       []string   `json:"backup_files,omitempty"`
}

// consumer is one consumer with all that it holds; also the form of the backup.
type consumer struct {
	Consumer   string  `json:"consumer"`
	ProjectID  *string `json:"project_id"` // null: not known
	UserID     *string `json:"user_id"`
	Generation *int    `json:"consumer_generation"`
	Held       []held  `json:"allocations"`
}

type held struct {
	Provider  string              `json:"resource_provider"`
	Name      string              `json:"resource_provider_name"`
	Resources placement.Resources `json:"resources"`
}

func newAnswer() *answer { return &answer{Allocations: []consumer{}} }

func (t *task) listed(a placement.Allocation) consumer {
	c := consumer{Consumer: a.Consumer, Generation: a.Generation, Held: []held{}}
	if a.ProjectID != "" {
		c.ProjectID, c.UserID = &a.ProjectID, &a.UserID
	}
	for _, uuid := range slices.Sorted(maps.Keys(a.Providers)) {
		c.Held = append(c.Held, held{Provider: uuid, Name: t.names[uuid], Resources: a.Providers[uuid]})
	}
	return c
}

// show only reads: the consumers, else all the consumers of the provider.
func (t *task) show(ctx context.Context, reply *answer) error {
	if t.Provider != "" {
		provider, err := t.findProvider(ctx)
		if err != nil {
			return err
		}
		reply.ResourceProvider = &provider
	}
	for _, uuid := range t.Consumers {
		now, err := t.read(ctx, uuid)
		if err != nil {
			return err
		}
		reply.Allocations = append(reply.Allocations, t.listed(now))
	}
	if len(t.Consumers) > 0 {
		return nil
	}
	consumers, err := t.placement.Consumers(ctx, reply.ResourceProvider.UUID)
	if err != nil {
		return err
	}
	for _, uuid := range slices.Sorted(maps.Keys(consumers)) {
		reply.Allocations = append(reply.Allocations, t.listed(placement.Allocation{
			Consumer: uuid, Providers: map[string]placement.Resources{reply.ResourceProvider.UUID: consumers[uuid]},
		}))
	}
	return nil
}

// fillAnswer puts the plan and the diff into the answer, and says whether there is
// anything to do.
func (t *task) fillAnswer(reply *answer, steps []step) bool {
	diff := ansible.Diff{Before: map[string]any{}, After: map[string]any{}}
	reply.Plan, reply.AllocationsBefore = nil, nil
	for _, step := range steps {
		reply.AllocationsBefore = append(reply.AllocationsBefore, t.listed(step.before))
		if !step.changes() {
			continue
		}
		reply.Plan = append(reply.Plan, t.describe(step)...)
		diff.Before[step.before.Consumer] = t.sideOf(step.before)
		diff.After[step.after.Consumer] = t.sideOf(step.after)
	}
	reply.Diff = &diff
	reply.Msg = strings.Join(reply.Plan, "; ")
	if len(reply.Plan) == 0 {
		reply.Msg = "nothing to change"
	}
	return len(reply.Plan) > 0
}

func (t *task) describe(s step) (lines []string) {
	for _, uuid := range slices.Sorted(maps.Keys(s.before.Providers)) {
		if _, kept := s.after.Providers[uuid]; !kept {
			lines = append(lines, fmt.Sprintf("remove the allocation of %s on %s: %s", s.before.Consumer, t.nameOf(uuid),
				listResources(s.before.Providers[uuid])))
		}
	}
	for _, uuid := range slices.Sorted(maps.Keys(s.after.Providers)) {
		was, is := listResources(s.before.Providers[uuid]), listResources(s.after.Providers[uuid])
		if was != is {
			lines = append(lines, fmt.Sprintf("set the allocation of %s on %s: %s (was %s)", s.after.Consumer, t.nameOf(uuid), is, was))
		}
	}
	if len(lines) == 0 {
		lines = append(lines, fmt.Sprintf("set the owner of %s: project %s, user %s", s.after.Consumer, s.after.ProjectID, s.after.UserID))
	}
	return lines
}

func (t *task) sideOf(a placement.Allocation) map[string]any {
	side := map[string]any{}
	for uuid, resources := range a.Providers {
		side[t.nameOf(uuid)] = resources
	}
	if !a.Empty() {
		side["project_id"], side["user_id"] = a.ProjectID, a.UserID
	}
	return side
}

func (t *task) nameOf(uuid string) string {
	if name := t.names[uuid]; name != "" && name != uuid {
		return fmt.Sprintf("%s (%s)", name, uuid)
	}
	return uuid
}

func listResources(resources placement.Resources) string {
	var parts []string
	for _, class := range slices.Sorted(maps.Keys(resources)) {
		parts = append(parts, fmt.Sprintf("%s %d", class, resources[class]))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
