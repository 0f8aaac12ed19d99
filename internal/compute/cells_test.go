package compute

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

func TestWhoAsksMeanwhileSharesTheNextAnswerAndNoEarlierOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{turn: make(chan struct{}, 1)}
		sent, asked := make(chan int), 0
		release := make(chan error)
		send := func(context.Context) error {
			asked++
			sent <- asked
			return <-release
		}
		var all sync.WaitGroup
		answers := make([]error, 4)
		ask := func(i int) { all.Go(func() { answers[i] = s.ask(t.Context(), send) }) }
		ask(0)
		<-sent
		for i := 1; i < 4; i++ { // while the first is under way
			ask(i)
		}
		synctest.Wait()
		earlier, later := errors.New("earlier"), errors.New("later")
		release <- earlier
		if n := <-sent; n != 2 {
			t.Errorf("it was asked %d times", n)
		}
		release <- later
		all.Wait()
		if !slices.Equal(answers, []error{earlier, later, later, later}) || asked != 2 {
			t.Errorf("asked %d times, got %v", asked, answers)
		}
	})
}

func TestAQuestionThatBreaksOffIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shared{turn: make(chan struct{}, 1)}
		begun, end := make(chan struct{}), make(chan struct{})
		var all sync.WaitGroup
		defer all.Wait()
		s.turn <- struct{}{} // somebody else's is under way
		all.Go(func() {
			defer func() { _ = recover() }()
			_ = s.ask(t.Context(), func(context.Context) error { close(begun); <-end; panic("found") })
		})
		synctest.Wait()
		var err error
		all.Go(func() { err = s.ask(t.Context(), func(context.Context) error { return nil }) })
		synctest.Wait()
		<-s.turn
		<-begun
		close(end)
		synctest.Wait()
		if err == nil {
			t.Error("it passes for an answer")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.ask(ctx, func(ctx context.Context) error { return ctx.Err() }); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
