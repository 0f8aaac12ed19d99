package openstack

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

func list(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func TestAListIsAskedInParallelAndAnsweredInItsOrder(t *testing.T) {
	var asked, most, now atomic.Int32
	meet := make(chan struct{}) // closed once as many are asked as there may be at a time
	all, err := InParallel(list(45), 2, func(some []string) ([]string, error) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		if asked.Add(1) == atOnce {
			close(meet)
		}
		<-meet
		return some, nil
	})
	if err != nil || !slices.Equal(all, list(45)) || asked.Load() != 23 || most.Load() > atOnce {
		t.Errorf("got %v, %v, in %d requests, %d at a time", all, err, asked.Load(), most.Load())
	}
	if all, err := InParallel(nil, 2, func([]string) ([]string, error) { panic("nothing is asked") }); len(all) > 0 || err != nil {
		t.Errorf("of none: got %v, %v", all, err)
	}
}

func TestAfterAnErrorNothingMoreIsAskedAndNothingIsAnswered(t *testing.T) {
	var asked atomic.Int32
	for name, ask := range map[string]func([]string) ([]string, error){
		"no":    func([]string) ([]string, error) { return []string{"half"}, errors.New("no") },
		"error": func([]string) ([]string, error) { panic("found") },
	} {
		asked.Store(0)
		all, err := InParallel(list(100), 1, func(some []string) ([]string, error) {
			asked.Add(1)
			return ask(some)
		})
		if err == nil || !strings.Contains(err.Error(), name) || all != nil || name == "no" && asked.Load() > 2*atOnce {
			t.Errorf("got %v, %v, after %d requests", all, err, asked.Load())
		}
	}
}

func TestALongListIsNamedByItsFirst(t *testing.T) {
	if one, three := Briefly([]string{"a"}), Briefly([]string{"a", "b", "c"}); one != "a" || three != "a and 2 others" {
		t.Errorf("got %q, %q", one, three)
	}
}
