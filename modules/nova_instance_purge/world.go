package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"nova-orphan/internal/cinder"
	"nova-orphan/internal/neutron"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/openstack"
)

// world tells what is there outside of Nova's databases. An error is "cannot tell".
type world interface {
	Look(ctx context.Context, instance string, volumes, ports []string) (holdings, error)
}

// cloud is the world by the services' APIs. It connects when it is asked: an instance
// without volumes and ports needs none of them.
type cloud struct {
	auth   openstack.Auth
	secret func(...string)

	connected bool
	cinder    *cinder.Client // nil: the cloud has none
	neutron   *neutron.Client
	seesAll   bool
}

// Look implements world.
func (c *cloud) Look(ctx context.Context, instance string, volumes, ports []string) (holdings, error) {
	held := holdings{volumes: map[string]*heldVolume{}, ports: map[string]*neutron.Port{}}
	if len(volumes)+len(ports) == 0 {
		return held, nil
	}
	if err := c.connect(ctx); err != nil {
		return held, err
	}
	if len(volumes) > 0 && c.cinder != nil {
		if err := c.lookAtVolumes(ctx, held, volumes); err != nil {
			return held, err
		}
	}
	if c.neutron == nil {
		return held, nil
	}
	var err error
	if held.own, err = c.neutron.Ports(ctx, instance); err != nil {
		return held, err
	}
	for _, id := range ports {
		if held.ports[id], err = c.neutron.Port(ctx, id); err != nil {
			return held, err
		}
	}
	return held, nil
}

func (c *cloud) lookAtVolumes(ctx context.Context, held holdings, volumes []string) error {
	if !c.seesAll {
		if err := c.cinder.SeesAllProjects(ctx); err != nil {
			return err
		}
		c.seesAll = true
	}
	for _, id := range volumes {
		volume, err := c.cinder.Volume(ctx, id)
		if err != nil {
			return err
		}
		if volume == nil {
			continue
		}
		all, err := c.cinder.AttachmentsOf(ctx, id)
		if err != nil {
			return err
		}
		held.volumes[id] = &heldVolume{*volume, all}
	}
	return nil
}

func (c *cloud) connect(ctx context.Context) error {
	if c.connected {
		return nil
	}
	found, err := openstack.Connect(ctx, c.auth, c.secret)
	if err != nil {
		return err
	}
	service, err := found.BlockStorage()
	switch {
	case err == nil:
		c.cinder = cinder.New(service)
	case !errors.Is(err, openstack.ErrNoService):
		return err
	}
	service, err = found.Network()
	switch {
	case err == nil:
		c.neutron = neutron.New(service)
	case !errors.Is(err, openstack.ErrNoService):
		return err
	}
	c.connected = true
	return nil
}

// readReap asks what the reap of the instance would do. It is nil where nova-compute will
// not reap: no cell has the row. The error says why it cannot be told.
func (r *run) readReap(ctx context.Context, finding nova.Finding) (*reap, error) {
	if finding.Cell() == nil {
		return nil, nil
	}
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
	held, err := r.world.Look(ctx, r.p.InstanceUUID, volumes, ports)
	if err != nil {
		return nil, fmt.Errorf("cannot tell what nova-compute would do to volumes %v and ports %v when it reaps the domain, "+
			"since it goes by the deleted rows as well, whoever has them by now: %w (%s)", volumes, ports, err, wayToTheAPIs)
	}
	return foreseeReap(r.p.InstanceUUID, mappings, cached, held, r.p.PreserveVolumes), nil
}

// wayToTheAPIs is the way out where Cinder or Neutron cannot be asked.
const wayToTheAPIs = "let the module ask Cinder and Neutron as an administrator: by nova_conf, cloud, auth or OS_* variables; " +
	"then run it again"

// strangers asks which of the volumes and ports of a backup are somebody else's by now.
func (r *run) strangers(ctx context.Context, saved nova.Saved) (nova.Elsewhere, error) {
	volumes, ports := saved.Held()
	held, err := r.world.Look(ctx, r.p.InstanceUUID, volumes, ports)
	if err != nil {
		return nova.Elsewhere{}, fmt.Errorf("cannot tell whether volumes %v and ports %v are somebody else's by now: %w (%s)",
			volumes, ports, err, wayToTheAPIs)
	}
	return elsewhere(r.p.InstanceUUID, held), nil
}
