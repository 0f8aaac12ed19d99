package step

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/orphan"
)

type entry struct {
	Answer
	element string
}

func (e *entry) Name(element string) { e.element = element }

func TestWhatOneElementFailsAtStopsNoneOfTheOthers(t *testing.T) {
	result := &ansible.Result{}
	answers, err := Each(t.Context(), result, "hosts", []string{"a", "b", "a", "c", "d", "e"}, 2,
		func(_ context.Context, element string, e *entry) error {
			switch element {
			case "a":
				e.Changed, e.Diff, e.Warnings = true, &ansible.Diff{Before: map[string]any{"is": 1}, After: map[string]any{}}, []string{"look"}
			case "b", "d":
				return errors.New("no")
			case "c":
				panic("found")
			}
			return nil
		})
	var got []string
	for _, e := range answers {
		got = append(got, fmt.Sprint(e.element, " ", e.Changed, " ", e.Failed, " ", e.Msg, " ", e.Reasons == nil, e.Plan == nil))
	}
	want := []string{"a true false  false false", "b false true no false false",
		"c false true internal error, please report it: found false false", "d false true no false false", "e false false  false false"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if err == nil || err.Error() != "3 of 5 hosts failed: b, d: no; c: internal error, please report it: found" {
		t.Errorf("got %v", err)
	}
	if !result.Changed || result.Msg != "5 hosts: 1 changed" || !slices.Equal(result.Warnings, []string{"a: look"}) {
		t.Errorf("got %+v", result)
	}
	if got := fmt.Sprint(result.Diff.Before, result.Diff.After); got != "map[a:map[is:1]] map[a:map[]]" {
		t.Errorf("got %s", got)
	}
}

func TestASingleElementSpeaksForTheCall(t *testing.T) {
	result := &ansible.Result{}
	refusal := orphan.Refusal{"it lives"}
	_, err := Each(t.Context(), result, "hosts", []string{"a"}, 1, func(_ context.Context, _ string, e *entry) error {
		e.Msg, e.Warnings = "done", []string{"look"}
		return refusal
	})
	var against orphan.Refusal
	if !errors.As(err, &against) || err.Error() != refusal.Error() || !slices.Equal(result.Warnings, []string{"look"}) {
		t.Errorf("got %v, %+v", err, result)
	}
}

func TestNoMoreThanSoManyAreWorkedOnAtATime(t *testing.T) {
	var now, most atomic.Int32
	met := make(chan struct{})
	var list []string
	for i := range 20 {
		list = append(list, fmt.Sprint(i))
	}
	_, err := Each(t.Context(), &ansible.Result{}, "hosts", list, 3, func(context.Context, string, *entry) error {
		at := now.Add(1)
		defer now.Add(-1)
		for seen := most.Load(); at > seen && !most.CompareAndSwap(seen, at); seen = most.Load() {
		}
		// Two meet, so that they are seen to be at work together.
		select {
		case met <- struct{}{}:
		case <-met:
		}
		return nil
	})
	if err != nil || most.Load() > 3 || most.Load() < 2 {
		t.Errorf("%d at a time, %v", most.Load(), err)
	}
}

func TestAnElementThatHangsDoesNotTakeTheAnswersOfTheOthersWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		defer close(over)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		result := &ansible.Result{}
		answers, err := Each(ctx, result, "hosts", []string{"a", "b"}, 2, func(_ context.Context, element string, e *entry) error {
			if element == "a" {
				<-over
			}
			e.Changed = true
			return nil
		})
		if answers[0].element != "a" || !answers[0].Failed || answers[0].Verdict != orphan.Unknown ||
			answers[1].Failed || !answers[1].Changed || !result.Changed {
			t.Errorf("got %+v and %+v", answers[0], answers[1])
		}
		if err == nil || !strings.Contains(err.Error(), "a: no answer within the time") || time.Since(began) != time.Minute+late {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func TestWhatIsNotBegunWhenTheTimeIsUpIsToldSo(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	answers, err := Each(ctx, &ansible.Result{}, "hosts", []string{"a", "b", "c"}, 1, func(_ context.Context, _ string, e *entry) error {
		cancel(errors.New("interrupted"))
		e.Changed = true
		return nil
	})
	done := 0
	for _, e := range answers {
		if e.Changed {
			done++
		} else if e.element == "" || e.Verdict != orphan.Unknown ||
			!strings.Contains(e.Msg, "not begun, so that nothing was changed: interrupted") {
			t.Errorf("got %+v", e)
		}
	}
	if done != 1 || err == nil || !strings.HasPrefix(err.Error(), "2 of 3 hosts failed: ") {
		t.Errorf("%d are done, %v", done, err)
	}
}
