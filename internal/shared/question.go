// Package shared has what the elements of a list share while they are worked on at once.
package shared

import (
	"context"
	"sync"
)

// Questions are about one key each, and asked in one for all who wait to have theirs asked. Nobody
// gets the answer to one that was asked before: it would say nothing of what happened since.
type Questions[K comparable, T any] struct {
	mu   sync.Mutex
	turn chan struct{}
	next *together[K, T]
}

// together are those who are asked about in one.
type together[K comparable, T any] struct {
	keys []K
	ask  func() asked[K, T]
}

type asked[K comparable, T any] struct {
	answers map[K]T
	err     error
	cut     bool // the context of the one who asked has ended
}

// Ask waits for its turn, and gives the answer for the key to a question that is asked from now on, by the
// first of those who wait for it, about all their keys. That one's interruption is none of theirs, who ask
// again, and one who is interrupted goes on with nobody's answer.
func (s *Questions[K, T]) Ask(ctx context.Context, key K, question func(context.Context, []K) (map[K]T, error)) (T, error) {
	for {
		got := s.ask(ctx, key, question)
		switch {
		case got.err == nil:
			return got.answers[key], ctx.Err()
		case !got.cut || ctx.Err() != nil:
			return got.answers[key], got.err
		}
	}
}

func (s *Questions[K, T]) ask(ctx context.Context, key K, question func(context.Context, []K) (map[K]T, error)) asked[K, T] {
	s.mu.Lock()
	if s.next == nil {
		all := &together[K, T]{}
		all.ask = sync.OnceValue(func() asked[K, T] {
			s.mu.Lock()
			s.next = nil // whoever comes from here on is too late for this one
			s.mu.Unlock()
			answers, err := question(ctx, all.keys)
			return asked[K, T]{answers, err, ctx.Err() != nil}
		})
		s.next = all
	}
	if s.turn == nil {
		s.turn = make(chan struct{}, 1)
	}
	mine := s.next
	mine.keys = append(mine.keys, key)
	s.mu.Unlock()
	s.turn <- struct{}{} // while one is asked, others come together for the next
	defer func() { <-s.turn }()
	return mine.ask()
}

// Question is the same question of all.
type Question[T any] struct{ of Questions[struct{}, T] }

// Ask is Questions.Ask without a key.
func (s *Question[T]) Ask(ctx context.Context, question func(context.Context) (T, error)) (T, error) {
	return s.of.Ask(ctx, struct{}{}, func(ctx context.Context, _ []struct{}) (map[struct{}]T, error) {
		answer, err := question(ctx)
		return map[struct{}]T{{}: answer}, err
	})
}
