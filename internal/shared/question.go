// Package shared has what the elements of a list share while they are worked on at once.
package shared

import (
	"context"
	"sync"
)

// Question is a question that is asked once for all who wait to have it asked. Nobody gets the
// answer to one that was asked before: it would say nothing of what happened since.
type Question[T any] struct {
	mu, turn sync.Mutex
	next     func() asked[T]
}

type asked[T any] struct {
	answer T
	err    error
	cut    bool // the context of the one who asked has ended
}

// Ask waits for its turn, and gives the answer to a question that is asked from now on, by the
// first of those who wait for it. That one's interruption is none of theirs, who ask again, and
// one who is interrupted goes on with nobody's answer.
func (s *Question[T]) Ask(ctx context.Context, question func(context.Context) (T, error)) (T, error) {
	for {
		got := s.ask(ctx, question)
		switch {
		case got.err == nil:
			return got.answer, ctx.Err()
		case !got.cut || ctx.Err() != nil:
			return got.answer, got.err
		}
	}
}

func (s *Question[T]) ask(ctx context.Context, question func(context.Context) (T, error)) asked[T] {
	s.mu.Lock()
	if s.next == nil {
		s.next = sync.OnceValue(func() asked[T] {
			s.mu.Lock()
			s.next = nil // whoever comes from here on is too late for this one
			s.mu.Unlock()
			answer, err := question(ctx)
			return asked[T]{answer, err, ctx.Err() != nil}
		})
	}
	mine := s.next
	s.mu.Unlock()
	s.turn.Lock() // while one is asked, others come together for the next
	defer s.turn.Unlock()
	return mine()
}
