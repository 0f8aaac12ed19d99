package main

import (
	"fmt"
	"maps"

	"nova-orphan/internal/orphan"
	"nova-orphan/internal/placement"
)

// goal is what a consumer is to hold that holds this now. The error is a refusal.
type goal func(now placement.Allocation) (placement.Allocation, error)

// change is what is to be done to one consumer.
type change struct{ before, after placement.Allocation }

func (c change) needed() bool { return !c.before.Equal(c.after) }

// takes says that the change takes something from the consumer that it holds now,
// which would harm it if it were alive. To add a provider does not.
func (c change) takes() bool {
	if c.before.Empty() || !c.needed() {
		return false
	}
	for provider, held := range c.before.Providers {
		if !maps.Equal(held, c.after.Providers[provider]) {
			return true
		}
	}
	return c.before.ProjectID != c.after.ProjectID || c.before.UserID != c.after.UserID
}

// remove takes what is held on a provider's tree, or everything if no provider is named.
func remove(named string, tree []string) goal {
	return func(now placement.Allocation) (placement.Allocation, error) {
		switch {
		case named == "":
			now.Providers = map[string]placement.Resources{}
		case len(tree) == 0 && !now.Empty():
			// A provider that is gone takes its allocations with it; but the consumer holds
			// something, and a typing error must not pass for a clean-up.
			return now, refuse("%s holds resources, but there is no resource provider %q: it takes %s (leave resource_provider out to remove "+
				"the whole allocation)", now.Consumer, named, providerOption)
		default:
			now = now.Without(tree)
		}
		return now, nil
	}
}

// set makes these resources what is held on one provider. An owner that is not given stays.
func set(provider string, resources placement.Resources, project, user string) goal {
	return func(now placement.Allocation) (placement.Allocation, error) {
		after := now.With(provider, resources)
		if project != "" {
			after.ProjectID = project
		}
		if user != "" {
			after.UserID = user
		}
		if after.ProjectID == "" || after.UserID == "" {
			return now, refuse("%s holds nothing yet, so that its owner is not known: give project_id and user_id", now.Consumer)
		}
		return after, nil
	}
}

func refuse(format string, values ...any) error {
	return orphan.Refusal{fmt.Sprintf(format, values...)}
}
