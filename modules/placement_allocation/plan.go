package main

import (
	"fmt"
	"maps"
	"slices"

	"nova-orphan/internal/orphan"
	"nova-orphan/internal/placement"
)

// wanted is what the task asks for, for each of its consumers.
type wanted struct {
	state string
	// named is the resource provider as the option names it; empty: all of them.
	named string
	// provider is its UUID; empty when Placement does not know it.
	provider string
	// tree is all of the provider's tree, for state absent.
	tree              []string
	resources         placement.Resources
	projectID, userID string
	// restoring is what a backup asks for, in place of all that.
	restoring *restoring
}

func refuse(format string, values ...any) error {
	return orphan.Refusal{fmt.Sprintf(format, values...)}
}

// step is what is to be done to one consumer.
type step struct {
	before, after placement.Allocation
	written       bool // by this call
}

func (s step) changes() bool { return !s.before.Equal(s.after) }

// takes says that the step takes something from the consumer that it holds now,
// which would harm it if it were alive. To add a provider does not.
func (s step) takes() bool {
	if s.before.Empty() || !s.changes() {
		return false
	}
	for provider, held := range s.before.Providers {
		if !maps.Equal(held, s.after.Providers[provider]) {
			return true
		}
	}
	return s.before.ProjectID != s.after.ProjectID || s.before.UserID != s.after.UserID
}

// plan says what is to be done to a consumer that holds this now. The error is a refusal.
func plan(now placement.Allocation, w wanted) (step, error) {
	switch {
	case w.restoring != nil:
		return planRestore(now, *w.restoring)
	case w.state == present:
		return planPresent(now, w)
	case now.Empty():
		return step{before: now, after: now}, nil
	case w.named == "":
		return step{before: now, after: now.Without(slices.Sorted(maps.Keys(now.Providers)))}, nil
	case w.provider == "":
		// A provider that is gone takes its allocations with it; but the consumer holds
		// something, and a typing error must not pass for a clean-up.
		return step{}, refuse("%s holds resources, but there is no resource provider %q: it takes the UUID or the name, which for a compute "+
			"host is the hypervisor's host name, not nova's host (leave resource_provider out to remove the whole allocation)", now.Consumer,
			w.named)
	default:
		return step{before: now, after: now.Without(w.tree)}, nil
	}
}

func planPresent(now placement.Allocation, w wanted) (step, error) {
	after := now.With(w.provider, w.resources)
	if w.projectID != "" {
		after.ProjectID = w.projectID
	}
	if w.userID != "" {
		after.UserID = w.userID
	}
	if after.ProjectID == "" || after.UserID == "" {
		return step{}, refuse("%s holds nothing yet, so that its owner is not known: give project_id and user_id", now.Consumer)
	}
	return step{before: now, after: after}, nil
}
