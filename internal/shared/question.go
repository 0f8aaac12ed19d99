// Package shared has what the elements of a list share while they are worked on at once.
package shared

import (
	"context"
	"errors"
	"sync"
)

// Question is a question that is asked once for all who wait to have it asked. Nobody gets the
// answer to one that was asked before: it would say nothing of what happened since.
type Question[T any] struct {
	mu, turn sync.Mutex
	next     func() (T, error)
}

// Ask waits for its turn, and gives the answer to a question that is asked from now on.
func (s *Question[T]) Ask(question func() (T, error)) (T, error) {
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
	answer, err := mine()
	if errors.Is(err, context.Canceled) { // perhaps his who came first: he is interrupted, who has begun something is not
		return question()
	}
	return answer, err
}
