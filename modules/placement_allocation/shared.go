package main

import (
	"context"
	"fmt"
	"sync"

	"nova-orphan/internal/placement"
)

// shared is a question that is asked once for all who wait to have it asked. Nobody gets the
// answer to one that was asked before: it would say nothing of what happened since.
type shared[T any] struct {
	mu, turn sync.Mutex
	next     func() (T, error)
}

func (s *shared[T]) ask(question func() (T, error)) (T, error) {
	s.mu.Lock()
	if s.next == nil {
		s.next = sync.OnceValues(func() (T, error) {
			s.mu.Lock()
			s.next = nil // whoever comes from here on is too late for this one
			s.mu.Unlock()
			return question()
		})
	}
	mine := s.next
	s.mu.Unlock()
	s.turn.Lock() // while one is asked, others come together for the next
	defer s.turn.Unlock()
	return mine()
}

// providers are the resource providers that the call has met, by their UUIDs. A tree is read
// once for all consumers that hold something on it.
type providers struct {
	client allocations
	mu     sync.Mutex
	known  map[string]placement.Provider
	asked  map[string]func() error
}

// learn reads a provider's tree, unless it is known.
func (p *providers) learn(ctx context.Context, uuid string) error {
	p.mu.Lock()
	_, known := p.known[uuid]
	if !known && p.asked[uuid] == nil {
		p.asked[uuid] = sync.OnceValue(func() error {
			tree, err := p.client.Tree(ctx, uuid)
			p.note(tree...)
			return err
		})
	}
	ask := p.asked[uuid]
	p.mu.Unlock()
	if known {
		return nil
	}
	return ask()
}

func (p *providers) note(tree ...placement.Provider) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, member := range tree {
		p.known[member.UUID] = member
	}
}

func (p *providers) get(uuid string) (placement.Provider, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	provider, known := p.known[uuid]
	return provider, known
}

func (p *providers) name(uuid string) string { provider, _ := p.get(uuid); return provider.Name }

// rootOf is the name of the provider's tree, most often Nova's name for a host.
func (p *providers) rootOf(uuid string) string {
	provider, _ := p.get(uuid)
	return p.name(provider.Root)
}

// described is a provider in a message.
func (p *providers) described(uuid string) string {
	if name := p.name(uuid); name != "" && name != uuid {
		return fmt.Sprintf("%s (%s)", name, uuid)
	}
	return uuid
}
