package openstack

import (
	"cmp"
	"fmt"
	"slices"
	"sync/atomic"

	"nova-orphan/internal/ansible"
)

// InQuery is how many UUIDs a query may name: its line then has 5 KB, and eventlet, Apache and HAProxy take 8.
const InQuery = 100

// atOnce is how many requests a service gets at a time.
const atOnce = 8

// InParallel asks about all of a list, size of them in a request, and gives the answers as one, in the
// list's order. Its error is the first, after which nothing more is asked.
func InParallel[T any](list []string, size int, ask func(some []string) ([]T, error)) (all []T, err error) {
	var running []<-chan ansible.Outcome[[]T]
	var failed atomic.Bool
	slots := make(chan struct{}, atOnce)
	for some := range slices.Chunk(list, size) {
		running = append(running, ansible.Go(func() ([]T, error) {
			slots <- struct{}{}
			defer func() { <-slots }()
			if failed.Load() {
				return nil, nil
			}
			answer, failure := ask(some)
			if failure != nil {
				failed.Store(true)
			}
			return answer, failure
		}))
	}
	for _, one := range running {
		outcome := <-one
		all, err = append(all, outcome.Value...), cmp.Or(err, outcome.Err)
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Briefly names the first of a list that is not empty, and counts the others.
func Briefly(list []string) string {
	if len(list) == 1 {
		return list[0]
	}
	return fmt.Sprintf("%s and %d others", list[0], len(list)-1)
}
