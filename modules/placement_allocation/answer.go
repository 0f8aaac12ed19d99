package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/placement"
	"nova-orphan/internal/step"
)

type answer struct {
	ansible.Result
	ResourceProvider *placement.Provider `json:"resource_provider,omitempty"`
	Consumers        []*entry            `json:"consumers"`
}

// entry is the answer for one consumer: with what it holds now, and what it held before.
type entry struct {
	step.Answer
	consumer
	Before []held `json:"allocations_before"`
}

// Name implements step.Entry.
func (e *entry) Name(uuid string) { e.Consumer = uuid }

// consumer is one consumer with all that it holds; also the form of the backup.
type consumer struct {
	Consumer   string  `json:"consumer"`
	ProjectID  *string `json:"project_id"` // null: not known
	UserID     *string `json:"user_id"`
	Generation *int    `json:"consumer_generation"`
	Held       []held  `json:"allocations"` // null: not read
}

type held struct {
	Provider  string              `json:"resource_provider"`
	Name      string              `json:"resource_provider_name"`
	Resources placement.Resources `json:"resources"`
}

func (c *cloud) listed(a placement.Allocation) consumer {
	told := consumer{Consumer: a.Consumer, Generation: a.Generation, Held: []held{}}
	if a.ProjectID != "" {
		told.ProjectID, told.UserID = &a.ProjectID, &a.UserID
	}
	for _, uuid := range slices.Sorted(maps.Keys(a.Providers)) {
		told.Held = append(told.Held, held{Provider: uuid, Name: c.providers.name(uuid), Resources: a.Providers[uuid]})
	}
	return told
}

// fill puts what a consumer holds into the answer.
func (c *cloud) fill(reply *entry, now placement.Allocation) {
	reply.consumer = c.listed(now)
	if reply.Before == nil {
		reply.Before = reply.Held
	}
}

// fillPlan puts the plan and the diff into the answer. What a later look finds to do takes
// the place of what was not done.
func (c *cloud) fillPlan(reply *entry, todo change) {
	if !reply.Changed {
		reply.Plan, reply.Before = nil, reply.Held
		reply.Diff = &ansible.Diff{Before: c.sideOf(todo.before), After: c.sideOf(todo.after)}
	}
	reply.Plan = append(reply.Plan, c.describe(todo)...)
	reply.Msg = strings.Join(reply.Plan, "; ")
}

func (c *cloud) describe(todo change) (lines []string) {
	whose, before, after := todo.before.Consumer, todo.before.Providers, todo.after.Providers
	for _, uuid := range slices.Sorted(maps.Keys(before)) {
		if _, kept := after[uuid]; !kept {
			lines = append(lines, fmt.Sprintf("remove the allocation of %s on %s: %s", whose, c.providers.described(uuid),
				listResources(before[uuid])))
		}
	}
	for _, uuid := range slices.Sorted(maps.Keys(after)) {
		if was, is := listResources(before[uuid]), listResources(after[uuid]); was != is {
			lines = append(lines, fmt.Sprintf("set the allocation of %s on %s: %s (was %s)", whose, c.providers.described(uuid), is, was))
		}
	}
	if len(lines) == 0 {
		lines = append(lines, fmt.Sprintf("set the owner of %s: project %s, user %s", whose, todo.after.ProjectID, todo.after.UserID))
	}
	return lines
}

func (c *cloud) sideOf(a placement.Allocation) map[string]any {
	side := map[string]any{}
	for uuid, resources := range a.Providers {
		side[c.providers.described(uuid)] = resources
	}
	if !a.Empty() {
		side["project_id"], side["user_id"] = a.ProjectID, a.UserID
	}
	return side
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
