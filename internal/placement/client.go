package placement

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/allocations"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"

	"nova-orphan/internal/openstack"
)

// Client asks one Placement service.
type Client struct {
	service *gophercloud.ServiceClient
}

// New makes a Client of gophercloud's, whose microversion must be 1.28 to 1.37
// (see openstack.PlacementMicroversion).
func New(service *gophercloud.ServiceClient) *Client { return &Client{service} }

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
	answer, err := allocations.Get(ctx, c.service, consumer).Extract()
	if err != nil {
		return Allocation{}, fmt.Errorf("read the allocation of %s: %w", consumer, err)
	}
	if answer.Allocations == nil {
		return Allocation{}, fmt.Errorf("read the allocation of %s: the answer has no allocations", consumer)
	}
	allocation := Allocation{Consumer: consumer, Generation: answer.ConsumerGeneration, Providers: map[string]Resources{}}
	if answer.ProjectID != nil && answer.UserID != nil {
		allocation.ProjectID, allocation.UserID = *answer.ProjectID, *answer.UserID
	}
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

// ConsumerType reads what kind of consumer it is, which Placement can tell since
// release 6.0 (Xena, microversion 1.38): INSTANCE, MIGRATION, another service's own
// word, or "unknown" for what was written at an older microversion, as Nova does.
// It is empty where Placement is older, and for a consumer that holds nothing.
func (c *Client) ConsumerType(ctx context.Context, consumer string) (string, error) {
	typed := *c.service
	typed.Microversion = openstack.ConsumerTypeMicroversion
	answer, err := allocations.Get(ctx, &typed, consumer).Extract()
	if gophercloud.ResponseCodeIs(err, http.StatusNotAcceptable) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the type of consumer %s: %w", consumer, err)
	}
	if answer.ConsumerType == nil {
		return "", nil
	}
	return *answer.ConsumerType, nil
}

// Provider finds a resource provider by its UUID, else by its name, which for a
// compute host is its hypervisor's host name. The error may be ErrNoProvider.
func (c *Client) Provider(ctx context.Context, uuidOrName string, isUUID bool) (Provider, error) {
	options := []resourceproviders.ListOpts{{Name: uuidOrName}}
	if isUUID {
		// Ironic's providers are named by a UUID, too.
		options = []resourceproviders.ListOpts{{UUID: uuidOrName}, {Name: uuidOrName}}
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
	pages, err := resourceproviders.List(c.service, options).AllPages(ctx)
	if err != nil {
		return nil, err
	}
	found, err := resourceproviders.ExtractResourceProviders(pages)
	if err != nil {
		return nil, err
	}
	var providers []Provider
	for _, provider := range found {
		if provider.UUID == "" || provider.RootProviderUUID == "" {
			return nil, errors.New("the answer has a resource provider without uuid or root_provider_uuid")
		}
		providers = append(providers, Provider{UUID: provider.UUID, Name: provider.Name, Generation: provider.Generation,
			Root: provider.RootProviderUUID})
	}
	return providers, nil
}

// Consumers lists what each consumer holds on this one provider. Placement tells
// no project, user or generation here. The error may be ErrNoProvider.
func (c *Client) Consumers(ctx context.Context, provider string) (map[string]Resources, error) {
	answer, err := resourceproviders.GetAllocations(ctx, c.service, provider).Extract()
	if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		return nil, fmt.Errorf("read the allocations on %s: %w", provider, ErrNoProvider)
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
