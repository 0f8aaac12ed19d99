package shared

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestNobodyGetsAnAnswerToWhatWasAskedBeforeHeWantedToKnow(t *testing.T) {
	var question Question[int32]
	var clock, asked, under atomic.Int32
	const people = 50
	failure := errors.New("no answer")
	var all, come sync.WaitGroup
	come.Add(people)
	for range people {
		all.Go(func() {
			wanted := clock.Add(1)
			come.Done()
			got, err := question.Ask(func() (int32, error) {
				if asked.Add(1) == 1 {
					come.Wait() // so that they come together
				}
				if under.Add(1) > 1 {
					t.Error("two are asked at once")
				}
				defer under.Add(-1)
				return clock.Load(), failure
			})
			if got < wanted || !errors.Is(err, failure) {
				t.Errorf("it was asked at %d, and wanted at %d: %v", got, wanted, err)
			}
		})
	}
	all.Wait()
	if n := asked.Load(); n < 1 || n > people {
		t.Errorf("it was asked %d times", n)
	}
	t.Logf("asked %d times for %d", asked.Load(), people)
}

func TestAnInterruptionOfOneIsNoneOfTheOthers(t *testing.T) {
	var question Question[int]
	var all, come sync.WaitGroup
	come.Add(9)
	for i := range 9 {
		all.Go(func() {
			come.Done()
			got, err := question.Ask(func() (int, error) {
				come.Wait()
				if i%2 == 0 {
					return 0, context.Canceled
				}
				return i, nil
			})
			if i%2 == 1 && err != nil {
				t.Errorf("%d: got %d, %v", i, got, err)
			}
		})
	}
	all.Wait()
}

func TestAPanicIsNoAnswerForThoseWhoWaitForIt(t *testing.T) {
	var question Question[int]
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			defer func() {
				if recover() == nil {
					t.Error("it takes it for an answer")
				}
			}()
			_, _ = question.Ask(func() (int, error) { panic("found") })
		})
	}
	all.Wait()
}
