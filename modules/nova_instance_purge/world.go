package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/cinder"
	"nova-orphan/internal/neutron"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/openstack"
)

// world tells what is there outside of Nova's databases. An error is "cannot tell".
type world interface {
	Look(ctx context.Context, instance string, volumes, ports []string) (holdings, error)
}

// cloud is the world by the services' APIs. It connects when it is asked, once for all:
// instances without volumes and ports need none of them.
type cloud struct {
	auth   openstack.Auth
	secret func(...string)

	connected, seesAll once
	cinder             *cinder.Client // nil: the cloud has none
	neutron            *neutron.Client
}

// once is what is asked once for all instances, and its error.
type once struct {
	sync.Once
	err error
}

func (o *once) ask(what func() error) error {
	o.Do(func() {
		o.err = errors.New("it was asked before, and there was no answer") // unless there is one: what may panic
		o.err = what()
	})
	return o.err
}

// Look implements world. It asks Cinder and Neutron at the same time.
func (c *cloud) Look(ctx context.Context, instance string, volumes, ports []string) (holdings, error) {
	if len(volumes)+len(ports) == 0 {
		return holdings{}, nil
	}
	if err := c.connected.ask(func() error { return c.connect(ctx) }); err != nil {
		return holdings{}, err
	}
	asked := ansible.Go(func() (map[string]*heldVolume, error) { return c.lookAtVolumes(ctx, volumes) })
	held, err := c.lookAtPorts(ctx, instance, ports)
	found := <-asked
	held.volumes = found.Value
	return held, cmp.Or(found.Err, err)
}

func (c *cloud) lookAtPorts(ctx context.Context, instance string, ports []string) (held holdings, err error) {
	if c.neutron == nil {
		return held, nil
	}
	if held.own, err = c.neutron.Ports(ctx, instance); err != nil {
		return held, err
	}
	held.ports = map[string]*neutron.Port{}
	for _, id := range ports {
		if held.ports[id], err = c.neutron.Port(ctx, id); err != nil {
			return held, err
		}
	}
	return held, nil
}

func (c *cloud) lookAtVolumes(ctx context.Context, volumes []string) (map[string]*heldVolume, error) {
	if len(volumes) == 0 || c.cinder == nil {
		return nil, nil
	}
	if err := c.seesAll.ask(func() error { return c.cinder.SeesAllProjects(ctx) }); err != nil {
		return nil, err
	}
	found := map[string]*heldVolume{}
	for _, id := range volumes {
		volume, err := c.cinder.Volume(ctx, id)
		if err != nil {
			return nil, err
		}
		if volume == nil {
			continue
		}
		all, err := c.cinder.AttachmentsOf(ctx, id)
		if err != nil {
			return nil, err
		}
		found[id] = &heldVolume{*volume, all}
	}
	return found, nil
}

func (c *cloud) connect(ctx context.Context) error {
	found, err := openstack.Connect(ctx, c.auth, c.secret)
	if err != nil {
		return err
	}
	if service, err := found.BlockStorage(); err == nil {
		c.cinder = cinder.New(service)
	} else if !errors.Is(err, openstack.ErrNoService) {
		return err
	}
	if service, err := found.Network(); err == nil {
		c.neutron = neutron.New(service)
	} else if !errors.Is(err, openstack.ErrNoService) {
		return err
	}
	return nil
}

// readReap asks what the reap of the instance would do. The error says why it cannot be told.
func (t *task) readReap(ctx context.Context, finding nova.Finding) (*reap, error) {
	var volumes, ports []string
	mappings, cached := finding.Mappings(), finding.CachedPorts()
	for _, m := range mappings {
		if acts(m) && !slices.Contains(volumes, m.VolumeID) {
			volumes = append(volumes, m.VolumeID)
		}
	}
	for _, port := range cached {
		ports = append(ports, port.ID)
	}
	held, err := t.world.Look(ctx, t.instance, volumes, ports)
	if err != nil {
		return nil, fmt.Errorf("cannot tell what nova-compute would do to volumes %v and ports %v when it reaps the domain, "+
			"since it goes by the deleted rows as well, whoever has them by now: %w (%s)", volumes, ports, err, wayToTheAPIs)
	}
	return foreseeReap(t.instance, mappings, cached, held, t.PreserveVolumes), nil
}

// wayToTheAPIs is the way out where Cinder or Neutron cannot be asked.
const wayToTheAPIs = "let the module ask Cinder and Neutron as an administrator: by nova_conf, cloud, auth or OS_* variables; " +
	"then run it again"

// strangers asks which of the volumes and ports of a backup are somebody else's by now.
func (t *task) strangers(ctx context.Context, saved nova.Saved) (nova.Elsewhere, error) {
	volumes, ports := saved.Held()
	held, err := t.world.Look(ctx, t.instance, volumes, ports)
	if err != nil {
		return nova.Elsewhere{}, fmt.Errorf("cannot tell whether volumes %v and ports %v are somebody else's by now: %w (%s)",
			volumes, ports, err, wayToTheAPIs)
	}
	return elsewhere(t.instance, held), nil
}
