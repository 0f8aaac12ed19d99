package reap

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

// Cloud asks Cinder and Neutron. It connects when it is asked, once for all: instances
// without volumes and ports need none of them.
type Cloud struct {
	auth   openstack.Auth
	secret func(...string)

	connected, seesAll once
	cinder             *cinder.Client // nil: the cloud has none
	neutron            *neutron.Client
}

// New makes a Cloud. Every secret that it reads goes to secret.
func New(auth openstack.Auth, secret func(...string)) *Cloud {
	return &Cloud{auth: auth, secret: secret}
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

// look asks Cinder and Neutron at the same time.
func (c *Cloud) look(ctx context.Context, instance string, volumes, ports []string) (holdings, error) {
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

func (c *Cloud) lookAtPorts(ctx context.Context, instance string, ports []string) (held holdings, err error) {
	if c.neutron == nil {
		return held, nil
	}
	own, err := c.neutron.Ports(ctx, instance)
	if err != nil {
		return held, err
	}
	held.own, held.ports = map[string][]neutron.Port{instance: own}, map[string]*neutron.Port{}
	for _, id := range ports {
		if held.ports[id], err = c.neutron.Port(ctx, id); err != nil {
			return held, err
		}
	}
	return held, nil
}

func (c *Cloud) lookAtVolumes(ctx context.Context, volumes []string) (map[string]*heldVolume, error) {
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

func (c *Cloud) connect(ctx context.Context) error {
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

// Foresee asks what the reap of the instance would do. With preserve, no volume is deleted. The error says why it
// cannot be told.
func (c *Cloud) Foresee(ctx context.Context, f nova.Finding, preserve bool) (*Reap, error) {
	var volumes, ports []string
	mappings, cached := f.Mappings(), f.CachedPorts()
	for _, m := range mappings {
		if acts(m) && !slices.Contains(volumes, m.VolumeID) {
			volumes = append(volumes, m.VolumeID)
		}
	}
	for _, port := range cached {
		ports = append(ports, port.ID)
	}
	held, err := c.look(ctx, f.UUID, volumes, ports)
	if err != nil {
		return nil, fmt.Errorf("cannot tell what nova-compute would do to volumes %v and ports %v when it reaps the domain, "+
			"since it goes by the deleted rows as well, whoever has them by now: %w (%s)", volumes, ports, err, wayToTheAPIs)
	}
	return foresee(f.UUID, mappings, cached, held, preserve), nil
}

// wayToTheAPIs is the way out where Cinder or Neutron cannot be asked.
const wayToTheAPIs = "let the module ask Cinder and Neutron as an administrator: by nova_conf, cloud, auth or OS_* variables; " +
	"then run it again"

// Elsewhere asks which of the volumes and ports of a backup are somebody else's by now.
func (c *Cloud) Elsewhere(ctx context.Context, instance string, saved nova.Saved) (nova.Elsewhere, error) {
	volumes, ports := saved.Held()
	held, err := c.look(ctx, instance, volumes, ports)
	if err != nil {
		return nova.Elsewhere{}, fmt.Errorf("cannot tell whether volumes %v and ports %v are somebody else's by now: %w (%s)",
			volumes, ports, err, wayToTheAPIs)
	}
	return elsewhere(instance, held), nil
}
