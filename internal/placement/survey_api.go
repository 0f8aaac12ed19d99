package placement

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"

	"nova-orphan/internal/ansible"
)

// Survey reads all of Placement: the providers in three requests, and what is held on each
// in one, Workers at a time. An error is that the providers could not be read. One that
// vanishes meanwhile is left out.
func (c *Client) Survey(ctx context.Context) (*Survey, error) {
	providers, err := c.list(ctx, resourceproviders.ListOpts{})
	if err != nil {
		return nil, fmt.Errorf("read the resource providers: %w", err)
	}
	sharing, err := c.withTrait(ctx, sharingTrait, "")
	if err != nil {
		return nil, err
	}
	computing, err := c.withTrait(ctx, computeTrait, "")
	if err != nil {
		return nil, err
	}
	b := newBuilder()
	for _, one := range providers {
		b.addProvider(SurveyProvider{one.UUID, one.Name, one.Root, sharing[one.UUID], computing[one.UUID]})
	}
	var mu sync.Mutex // for b
	errs := c.each(len(providers), func(i int) error {
		answer, err := c.heldOn(ctx, providers[i].UUID)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case errors.Is(err, ErrNoProvider):
			b.removeProvider(b.Providers[providers[i].UUID])
			return nil
		case err != nil:
			return err
		}
		return b.addAnswer(providers[i].UUID, answer)
	})
	for i, err := range errs {
		if provider := b.Providers[providers[i].UUID]; err != nil {
			err = fmt.Errorf("read the allocations on %s (%s): %w", provider.Name, provider.UUID, err)
			b.Failures = append(b.Failures, ProviderFailure{provider, err})
		}
	}
	return b.survey(), nil
}

// SurveyProvider is one provider, as a survey tells of it. The error may be ErrNoProvider.
func (c *Client) SurveyProvider(ctx context.Context, uuid string) (SurveyProvider, error) {
	found, err := c.Provider(ctx, uuid)
	if err != nil {
		return SurveyProvider{}, err
	}
	sharing, err := c.withTrait(ctx, sharingTrait, found.UUID)
	if err != nil {
		return SurveyProvider{}, err
	}
	computing, err := c.withTrait(ctx, computeTrait, found.UUID)
	return SurveyProvider{found.UUID, found.Name, found.Root, sharing[found.UUID], computing[found.UUID]}, err
}

// withTrait are the providers with a trait, by UUID, of all or of one. A provider tells its traits only one by one;
// this filter came with 1.18.
func (c *Client) withTrait(ctx context.Context, trait, uuid string) (map[string]bool, error) {
	providers, err := c.list(ctx, resourceproviders.ListOpts{Required: trait, UUID: uuid})
	if err != nil {
		return nil, fmt.Errorf("read the resource providers with %s: %w", trait, err)
	}
	has := map[string]bool{}
	for _, provider := range providers {
		has[provider.UUID] = true
	}
	return has, nil
}

// heldOn is the answer that tells what is held on a provider; on a sharing one it may be
// many MiB, of which gophercloud's typed call would make several times as much. The error
// is ErrNoProvider only when Placement lists no such provider, since a proxy says 404, too.
func (c *Client) heldOn(ctx context.Context, provider string) (string, error) {
	response, err := c.service.Get(ctx, c.service.ServiceURL("resource_providers", provider, "allocations"), nil,
		&gophercloud.RequestOpts{KeepResponseBody: true})
	if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		if _, gone := c.Provider(ctx, provider); errors.Is(gone, ErrNoProvider) {
			return "", gone
		}
	}
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var answer strings.Builder
	_, err = io.Copy(&answer, response.Body)
	return answer.String(), err
}

// Details is what each of the consumers holds now, with its type, project, user and
// generation; one that holds nothing is empty. With an error the map has those that could
// be read.
func (c *Client) Details(ctx context.Context, consumers []string) (map[string]Allocation, error) {
	read := make([]Allocation, len(consumers))
	errs := c.each(len(consumers), func(i int) (err error) {
		read[i], err = c.Allocation(ctx, consumers[i])
		return err
	})
	details, failed := map[string]Allocation{}, error(nil)
	for i, consumer := range consumers {
		if errs[i] == nil {
			details[consumer] = read[i]
		} else if failed == nil {
			failed = errs[i]
		}
	}
	if failed != nil {
		return details, fmt.Errorf("%d of %d consumers could not be read, the first: %w", len(consumers)-len(details), len(consumers), failed)
	}
	return details, nil
}

// hopeless is after how many failures in a row Placement is not asked on: each may have
// taken several tries.
const hopeless = 16

// each does something for each number below count, Workers at a time, and gives its errors.
func (c *Client) each(count int, do func(int) error) []error {
	errs := make([]error, count)
	var next, inARow atomic.Int64
	work := func() (none struct{}, _ error) {
		for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
			if inARow.Load() >= hopeless {
				errs[i] = fmt.Errorf("not asked for, since %d requests before it failed", hopeless)
			} else if errs[i] = (<-ansible.Go(func() (struct{}, error) { return none, do(i) })).Err; errs[i] != nil {
				inARow.Add(1)
			} else {
				inARow.Store(0)
			}
		}
		return none, nil
	}
	var workers []<-chan ansible.Outcome[struct{}]
	for range max(1, min(c.Workers, count)) {
		workers = append(workers, ansible.Go(work))
	}
	for _, worker := range workers {
		<-worker
	}
	return errs
}
