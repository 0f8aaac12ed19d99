package shared

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
			got, err := question.Ask(t.Context(), func(context.Context) (int32, error) {
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
			_, _ = question.Ask(t.Context(), func(context.Context) (int, error) { panic("found") })
		})
	}
	all.Wait()
}

func TestAnInterruptionIsOnlyThatOfTheOneWhoIsInterrupted(t *testing.T) {
	var question Question[int]
	var all, come sync.WaitGroup
	const people = 50
	come.Add(people)
	cut, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range people {
		all.Go(func() {
			mine := []context.Context{cut, t.Context()}[i%2]
			come.Done()
			got, err := question.Ask(mine, func(ctx context.Context) (int, error) {
				come.Wait() // so that they come together
				return 1, ctx.Err()
			})
			if !errors.Is(err, mine.Err()) || err == nil && got != 1 {
				t.Errorf("got %d, %v: %v", got, err, mine.Err())
			}
		})
	}
	all.Wait()
}

func TestTheOthersWhoComeMeanwhileAreAskedAboutInOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var questions Questions[int, int]
		const people = 50
		var asked, keys int
		var all sync.WaitGroup
		for i := range people {
			all.Go(func() {
				got, err := questions.Ask(t.Context(), i, func(_ context.Context, about []int) (map[int]int, error) {
					synctest.Wait() // until all of them have come
					asked, keys = asked+1, keys+len(about)
					answers := map[int]int{}
					for _, key := range about {
						answers[key] = -key
					}
					return answers, nil
				})
				if got != -i || err != nil {
					t.Errorf("%d got %d, %v", i, got, err)
				}
			})
		}
		all.Wait()
		if asked > 2 || keys != people {
			t.Errorf("asked %d times about %d", asked, keys)
		}
	})
}
