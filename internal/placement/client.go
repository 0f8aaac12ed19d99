// Package placement reads and replaces the allocations of consumers, guarded by
// their generations, and knows which resource providers form a tree. All that is held
// it reads over the API or, much quicker, from Placement's database.
package placement

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/allocations"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"

	"nova-orphan/internal/openstack"
)

// Client asks one Placement service.
type Client struct {
	service *gophercloud.ServiceClient
	// typed tells the types of consumers, too, unless Placement is older than they are.
	typed   *gophercloud.ServiceClient
	untyped atomic.Bool
	// Workers is how many requests of one call are under way at a time.
	Workers int
}

// New makes a Client of gophercloud's, whose microversion must be 1.28 to 1.37
// (see openstack.PlacementMicroversion).
func New(service *gophercloud.ServiceClient) *Client {
	typed := *service
	typed.Microversion = openstack.ConsumerTypeMicroversion
	return &Client{service: service, typed: &typed, Workers: 8}
}

// Provider is a resource provider.
type Provider struct {
	UUID       string `json:"uuid"`
	Name       string `json:"name"`
	Generation int    `json:"generation"`
	// Root is the UUID of the tree's root, which is the provider itself where it has
	// no parent. A compute host's root is named by its hypervisor's host name.
	Root string `json:"-"`
}

// ErrNoProvider is a resource provider that Placement does not know.
var ErrNoProvider = errors.New("no such resource provider")

// Allocation reads what the consumer holds. Placement answers 200 and an empty
// mapping for a consumer that it does not know (placement/handlers/allocation.py
// list_for_consumer), so that nothing held is no error.
func (c *Client) Allocation(ctx context.Context, consumer string) (Allocation, error) {
	service := c.typed
	if c.untyped.Load() {
		service = c.service
	}
	answer, err := allocations.Get(ctx, service, consumer).Extract()
	switch {
	case gophercloud.ResponseCodeIs(err, http.StatusNotAcceptable) && service == c.typed:
		c.untyped.Store(true)
		return c.Allocation(ctx, consumer)
	case err != nil:
		return Allocation{}, fmt.Errorf("read the allocation of %s: %w", consumer, err)
	case answer.Allocations == nil:
		return Allocation{}, fmt.Errorf("read the allocation of %s: the answer has no allocations", consumer)
	}
	value := func(text *string) string { return *cmp.Or(text, new(string)) }
	allocation := Allocation{Consumer: consumer, ProjectID: value(answer.ProjectID), UserID: value(answer.UserID),
		Type: value(answer.ConsumerType), Generation: answer.ConsumerGeneration, Providers: map[string]Resources{}}
	for provider, held := range answer.Allocations {
		if len(held.Resources) == 0 {
			return Allocation{}, fmt.Errorf("read the allocation of %s: the answer has no resources for %s", consumer, provider)
		}
		allocation.Providers[provider] = held.Resources
	}
	if !allocation.Empty() && allocation.Generation == nil {
		return Allocation{}, fmt.Errorf("read the allocation of %s: the answer has no consumer_generation: placement must speak microversion "+
			"1.28 (Rocky)", consumer)
	}
	return allocation, nil
}

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// Provider finds a resource provider by its UUID, else by its name, which for a
// compute host is its hypervisor's host name. The error may be ErrNoProvider.
func (c *Client) Provider(ctx context.Context, uuidOrName string) (Provider, error) {
	options := []resourceproviders.ListOpts{{Name: uuidOrName}}
	if uuidForm.MatchString(uuidOrName) {
		// Ironic's providers are named by a UUID, too.
		options = []resourceproviders.ListOpts{{UUID: strings.ToLower(uuidOrName)}, {Name: uuidOrName}}
	}
	for _, option := range options {
		found, err := c.list(ctx, option)
		if err != nil {
			return Provider{}, fmt.Errorf("find resource provider %s: %w", uuidOrName, err)
		}
		if len(found) > 0 {
			return found[0], nil
		}
	}
	return Provider{}, fmt.Errorf("find resource provider %s: %w", uuidOrName, ErrNoProvider)
}

// Tree lists all providers of the tree to which this one belongs: the root and
// its children (NUMA cells, PCI devices, bandwidth), never a sharing provider.
// It is empty for a provider that Placement does not know.
func (c *Client) Tree(ctx context.Context, uuid string) ([]Provider, error) {
	tree, err := c.list(ctx, resourceproviders.ListOpts{InTree: uuid})
	if err != nil {
		return nil, fmt.Errorf("read the provider tree of %s: %w", uuid, err)
	}
	return tree, nil
}

func (c *Client) list(ctx context.Context, options resourceproviders.ListOpts) ([]Provider, error) {
	query, err := options.ToResourceProviderListQuery()
	if err != nil {
		return nil, err
	}
	// Placement has no pages, and gophercloud's would decode all of it three times.
	var answer struct {
		Providers []struct {
			Provider
			Root string `json:"root_provider_uuid"`
		} `json:"resource_providers"`
	}
	if _, err = c.service.Get(ctx, c.service.ServiceURL("resource_providers")+query, &answer, nil); err != nil {
		return nil, err
	}
	if answer.Providers == nil {
		return nil, errors.New("the answer has no resource_providers")
	}
	providers := make([]Provider, len(answer.Providers))
	for i, one := range answer.Providers {
		if one.UUID == "" || one.Root == "" {
			return nil, errors.New("the answer has a resource provider without uuid or root_provider_uuid")
		}
		providers[i] = one.Provider
		providers[i].Root = one.Root
	}
	return providers, nil
}

// Consumers lists what each consumer holds on this one provider. Placement tells
// no project, user or generation here. The error may be ErrNoProvider.
func (c *Client) Consumers(ctx context.Context, provider string) (map[string]Resources, error) {
	answer, err := resourceproviders.GetAllocations(ctx, c.service, provider).Extract()
	if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		err = ErrNoProvider
	}
	if err != nil {
		return nil, fmt.Errorf("read the allocations on %s: %w", provider, err)
	}
	consumers := map[string]Resources{}
	for consumer, held := range answer.Allocations {
		consumers[consumer] = held.Resources
	}
	return consumers, nil
}
