package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

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
	// backups are what is to be put back, by consumer.
	backups map[string]*backedUp
	// migrations has by the instances' UUIDs the *shared.Question for what Nova says for several consumers of one at once.
	migrations sync.Map
}

// prepare reads what is the same for all consumers, and says what to do for each.
func (c *cloud) prepare(ctx context.Context, reply *answer) (do func(context.Context, string, *entry) error, err error) {
	if err = c.connect(ctx); err == nil && c.Provider != "" {
		reply.ResourceProvider, err = c.findProvider(ctx)
	}
	do = c.change
	switch provider := reply.ResourceProvider; {
	case err != nil:
	case c.State == absent:
		c.goal, err = c.removal(ctx, provider)
	case c.backups != nil:
		c.goal, err = c.restore(ctx)
	case c.State == present:
		c.goal = set(provider.UUID, c.Resources, c.ProjectID, c.UserID)
	case c.State == saved:
		do = c.save
	case len(c.Consumers) > 0:
		do = c.show
	default:
		do, err = c.ofProvider(ctx, provider.UUID)
	}
	return do, err
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

func (c *cloud) findProvider(ctx context.Context) (*placement.Provider, error) {
	provider, err := c.placement.Provider(ctx, c.Provider)
	missing := errors.Is(err, placement.ErrNoProvider)
	switch {
	case err == nil:
		c.providers.note(provider)
		return &provider, nil
	case missing && c.State == absent:
		return nil, nil // nothing can be held there; whether that is a typing error, remove judges
	case missing:
		err = fmt.Errorf("%w: resource_provider takes %s", err, providerOption)
	}
	return nil, err
}

// removal is of everything, or of what is held on the whole tree of the provider.
func (c *cloud) removal(ctx context.Context, provider *placement.Provider) (goal, error) {
	if provider == nil {
		return remove(c.Provider, nil), nil
	}
	members, err := c.placement.Tree(ctx, provider.UUID)
	c.providers.note(members...)
	var tree []string
	for _, member := range members {
		tree = append(tree, member.UUID)
	}
	if err == nil && !slices.Contains(tree, provider.UUID) {
		err = fmt.Errorf("read the provider tree of %s: the provider itself is not in it", provider.UUID)
	}
	return remove(c.Provider, tree), err
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
