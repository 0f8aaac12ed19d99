package step

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/orphan"
)

// AtOnce is how many elements of a list are worked on at a time, so that a long list does
// not take an API for itself.
const AtOnce = 8

// late is how long after the call's deadline an element is waited for that is in a call
// which cannot be cancelled. It is less than what package ansible grants the module.
const late = 3 * time.Second

// Entry is a pointer to a struct that embeds Answer.
type Entry[A any] interface {
	*A
	answer() *Answer
}

// Named is an entry that says whose it is. An entry is told so when it is made, so that one
// of which nothing else is known says it, too.
type Named interface{ Name(element string) }

func newEntry[A any, P Entry[A]](element string) P {
	a := P(new(A))
	if named, ok := any(a).(Named); ok {
		named.Name(element)
	}
	return a
}

// Each does something for every element of a list, at most atOnce at a time, and gives
// their answers, in the list's order, each element once. What one fails at, or panics,
// keeps none of the others from being done; the error then counts and names those that
// failed. result gets what is said of the call as a whole. kind is what the elements are,
// in the plural.
func Each[A any, P Entry[A]](ctx context.Context, result *ansible.Result, kind string, list []string, atOnce int,
	do func(ctx context.Context, element string, a P) error) ([]P, error) {
	list = unique(list)
	outcomes := make([]<-chan ansible.Outcome[P], len(list))
	places := make(chan struct{}, atOnce)
	for i, element := range list {
		outcomes[i] = ansible.Go(func() (P, error) {
			a := newEntry[A, P](element)
			select {
			case places <- struct{}{}:
				defer func() { <-places }()
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				a.answer().Verdict = orphan.Unknown
				return a, fmt.Errorf("not begun, so that nothing was changed: %w", context.Cause(ctx))
			}
			// A panic would take the answer with it.
			outcome := <-ansible.Go(func() (P, error) { return a, do(ctx, element, a) })
			return a, outcome.Err
		})
	}
	hung := make(<-chan time.Time)
	if deadline, ok := ctx.Deadline(); ok {
		timer := time.NewTimer(time.Until(deadline) + late)
		defer timer.Stop()
		hung = timer.C
	}
	answers, errs := make([]P, len(list)), make([]error, len(list))
	for i := range list {
		select {
		case outcome := <-outcomes[i]:
			answers[i], errs[i] = outcome.Value, outcome.Err
		case <-hung:
			closed := make(chan time.Time)
			close(closed)
			hung = closed // for the others that hang, too
			select {
			case outcome := <-outcomes[i]:
				answers[i], errs[i] = outcome.Value, outcome.Err
			default:
				answers[i] = newEntry[A, P](list[i])
				answers[i].answer().Verdict = orphan.Unknown
				errs[i] = fmt.Errorf("no answer within the time: what was asked of the service may still happen, run the module again to see")
			}
		}
		answers[i].answer().complete(errs[i])
	}
	return answers, gather(result, kind, list, answers, errs)
}

// Stop is Each for what fails for all elements alike, before one is looked at: a service that does not answer.
func Stop[A any, P Entry[A]](result *ansible.Result, kind string, list []string, err error) ([]P, error) {
	return Each(context.Background(), result, kind, list, AtOnce, func(_ context.Context, _ string, a P) error {
		a.answer().Verdict = orphan.Unknown
		return err
	})
}

// gather puts what the elements' answers say together into the call's, and their errors into one.
func gather[A any, P Entry[A]](result *ansible.Result, kind string, list []string, answers []P, errs []error) error {
	changed := 0
	for i, element := range list {
		a := answers[i].answer()
		result.Changed = result.Changed || a.Changed
		if a.Changed {
			changed++
		}
		for _, warning := range a.Warnings {
			if len(list) > 1 && !strings.Contains(warning, element) {
				warning = element + ": " + warning
			}
			result.Warnings = appendNew(result.Warnings, warning)
		}
		if a.Diff == nil {
			continue
		}
		if result.Diff == nil {
			result.Diff = &ansible.Diff{Before: map[string]any{}, After: map[string]any{}}
		}
		result.Diff.Before[element], result.Diff.After[element] = a.Diff.Before, a.Diff.After
	}
	result.Msg = fmt.Sprintf("%d %s: %d changed", len(list), kind, changed)
	if len(list) == 1 {
		result.Msg = answers[0].answer().Msg
	}
	return together(kind, list, errs)
}

// failures is the error of a call for several elements.
type failures struct {
	text string
	errs []error
}

func (f *failures) Error() string   { return f.text }
func (f *failures) Unwrap() []error { return f.errs }

// together counts and names those that failed, each message once.
func together(kind string, list []string, errs []error) error {
	var messages, whose []string
	var failed []error
	for i, err := range errs {
		if err == nil {
			continue
		}
		failed = append(failed, err)
		at := slices.Index(messages, err.Error())
		if at < 0 {
			messages, whose = append(messages, err.Error()), append(whose, list[i])
		} else {
			whose[at] += ", " + list[i]
		}
	}
	switch {
	case len(failed) == 0:
		return nil
	case len(list) == 1:
		return failed[0]
	}
	for i := range messages {
		messages[i] = whose[i] + ": " + messages[i]
	}
	return &failures{fmt.Sprintf("%d of %d %s failed: %s", len(failed), len(list), kind, strings.Join(messages, "; ")), failed}
}

func unique(list []string) (once []string) {
	for _, element := range list {
		once = appendNew(once, element)
	}
	return once
}

func appendNew(list []string, text string) []string {
	if slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}
