package ansible

import (
	"fmt"
	"runtime/debug"
)

// panicError is a panic. Go would print it on standard error, with all that it holds,
// and end the process without an answer.
type panicError struct {
	cause any
	stack string
}

func (e *panicError) Error() string {
	return fmt.Sprintf("internal error, please report it: %v", e.cause)
}

// caught is what f returns, or its panic as an error.
func caught[T any](f func() (T, error)) (value T, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = &panicError{cause, string(debug.Stack())}
		}
	}()
	return f()
}

// Outcome is what a function has returned.
type Outcome[T any] struct {
	Value T
	Err   error
}

// Go runs f in a goroutine of its own, and sends its outcome once, without waiting for a
// reader. A panic of f is an error. Nothing else starts a goroutine, since none but the
// one that panics can catch it.
func Go[T any](f func() (T, error)) <-chan Outcome[T] {
	done := make(chan Outcome[T], 1)
	go func() {
		value, err := caught(f)
		done <- Outcome[T]{value, err}
	}()
	return done
}
