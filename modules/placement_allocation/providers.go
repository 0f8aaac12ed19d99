package main

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"nova-orphan/internal/placement"
	"nova-orphan/internal/shared"
)

// providers are the resource providers that the call has met. A tree is read once for all
// consumers that hold something on it.
type providers struct {
	client *placement.Client
	// By a provider's UUID: known has the placement.Provider, asked the *shared.Question for its tree.
	known, asked sync.Map
}

// learn reads a provider's tree, unless it is known.
func (p *providers) learn(ctx context.Context, uuid string) error {
	question, _ := p.asked.LoadOrStore(uuid, new(shared.Question[struct{}]))
	_, err := question.(*shared.Question[struct{}]).Ask(ctx, func(ctx context.Context) (none struct{}, err error) {
		if _, known := p.get(uuid); !known {
			var tree []placement.Provider
			tree, err = p.client.Tree(ctx, uuid)
			p.note(tree...)
		}
		return none, err
	})
	return err
}

func (p *providers) note(tree ...placement.Provider) {
	for _, member := range tree {
		p.known.Store(member.UUID, member)
	}
}

func (p *providers) get(uuid string) (provider placement.Provider, known bool) {
	found, known := p.known.Load(uuid)
	if known {
		provider = found.(placement.Provider)
	}
	return provider, known
}

func (p *providers) name(uuid string) string { provider, _ := p.get(uuid); return provider.Name }

// treesOf are the names of the trees on which something is held, most often Nova's names for the hosts.
func (p *providers) treesOf(held map[string]placement.Resources) (names []string) {
	for uuid := range held {
		provider, _ := p.get(uuid)
		names = append(names, p.name(provider.Root))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// described is a provider in a message.
func (p *providers) described(uuid string) string {
	if name := p.name(uuid); name != "" && name != uuid {
		return fmt.Sprintf("%s (%s)", name, uuid)
	}
	return uuid
}
