package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/placement"
)

// cloud is how the call reaches Placement and Nova, and what is the same for all consumers.
type cloud struct {
	parameters
	call      *ansible.Call
	placement *placement.Client
	providers *providers
	nova      *compute.Client
	// noNova is why Nova cannot be asked, which matters only where it is.
	noNova error
	// goal is what each is to hold.
	goal goal
	// listsAll and migrations, of the instance, are what Nova says for several consumers at once.
	listsAll   shared[struct{}]
	migrations shared[[]compute.Migration]
}

// prepare reads what is the same for all consumers, and says what to do for each.
func (c *cloud) prepare(ctx context.Context, reply *answer, backup *backedUp) (func(context.Context, string, *entry) error, error) {
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	var tree []string
	if c.Provider != "" {
		provider, err := c.placement.Provider(ctx, c.Provider)
		switch {
		case err == nil:
			reply.ResourceProvider = &provider
			c.providers.note(provider)
		case !errors.Is(err, placement.ErrNoProvider):
			return nil, err
		case c.State != absent: // where it holds nothing for anybody; whether that is a typing error, remove judges
			return nil, fmt.Errorf("%w: resource_provider takes %s", err, providerOption)
		}
		if c.State == absent && err == nil {
			if tree, err = c.treeOf(ctx, provider.UUID); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case c.State == absent:
		c.goal = remove(c.Provider, tree)
	case backup != nil:
		var err error
		if c.goal, err = c.restore(ctx, *backup); err != nil {
			return nil, err
		}
	case c.State == present:
		c.goal = set(reply.ResourceProvider.UUID, c.Resources, c.ProjectID, c.UserID)
	case c.State == saved:
		return c.save, nil
	case len(c.Consumers) > 0:
		return c.show, nil
	default:
		return c.ofProvider(ctx, reply.ResourceProvider.UUID)
	}
	return c.change, nil
}

const providerOption = "the UUID or the name, which for a compute host is the hypervisor's host name, not nova's host"

func (c *cloud) connect(ctx context.Context) error {
	found, err := openstack.Connect(ctx, c.Auth, c.call.Secret)
	if err != nil {
		return err
	}
	service, err := found.Placement()
	if err != nil {
		return err
	}
	c.placement = placement.New(service)
	c.providers = &providers{client: c.placement}
	if service, c.noNova = found.Compute(); c.noNova == nil {
		c.nova = compute.New(service)
	}
	return nil
}

// treeOf are the UUIDs of the provider's whole tree.
func (c *cloud) treeOf(ctx context.Context, provider string) (uuids []string, err error) {
	tree, err := c.placement.Tree(ctx, provider)
	c.providers.note(tree...)
	for _, member := range tree {
		uuids = append(uuids, member.UUID)
	}
	if err == nil && !slices.Contains(uuids, provider) {
		err = fmt.Errorf("read the provider tree of %s: the provider itself is not in it", provider)
	}
	return uuids, err
}

// ofProvider shows all the consumers of a provider.
func (c *cloud) ofProvider(ctx context.Context, provider string) (func(context.Context, string, *entry) error, error) {
	consumers, err := c.placement.Consumers(ctx, provider)
	c.Consumers = slices.Sorted(maps.Keys(consumers))
	return func(_ context.Context, consumer string, reply *entry) error {
		c.fill(reply, placement.Allocation{Consumer: consumer, Providers: map[string]placement.Resources{provider: consumers[consumer]}})
		return nil
	}, err
}

// read reads what a consumer holds, and the names of the providers.
func (c *cloud) read(ctx context.Context, consumer string) (placement.Allocation, error) {
	now, err := c.placement.Allocation(ctx, consumer)
	for _, uuid := range slices.Sorted(maps.Keys(now.Providers)) {
		if err == nil {
			err = c.providers.learn(ctx, uuid)
		}
	}
	return now, err
}
