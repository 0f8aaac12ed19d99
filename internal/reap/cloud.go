package reap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
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

// wanted is what is looked at: by their own ids, and by the instances that have them.
type wanted struct {
	volumes, ports      []string
	attachedTo, devices []string
}

// look asks Cinder and Neutron at the same time; an error says why that service could not be asked.
func (c *Cloud) look(ctx context.Context, w wanted) (held holdings, volumes, ports error) {
	if len(w.volumes)+len(w.ports)+len(w.attachedTo) == 0 {
		return held, nil, nil
	}
	if err := c.Connect(ctx); err != nil {
		return held, err, err
	}
	asked := ansible.Go(func() (holdings, error) { return c.lookAtVolumes(ctx, w) })
	held, ports = c.lookAtPorts(ctx, w)
	found := <-asked
	held.volumes, held.attached = found.Value.volumes, found.Value.attached
	return held, found.Err, ports
}

func (c *Cloud) lookAtPorts(ctx context.Context, w wanted) (held holdings, err error) {
	if c.neutron == nil {
		return held, nil
	}
	own, err := c.neutron.Ports(ctx, w.devices...)
	if err != nil {
		return held, err
	}
	ports, err := c.neutron.PortsByID(ctx, w.ports...)
	if err != nil {
		return held, err
	}
	held.own, held.ports = map[string][]neutron.Port{}, map[string]*neutron.Port{}
	for _, port := range own {
		held.own[port.DeviceID] = append(held.own[port.DeviceID], port)
	}
	for _, port := range ports {
		held.ports[port.ID] = &port
	}
	return held, nil
}

func (c *Cloud) lookAtVolumes(ctx context.Context, w wanted) (held holdings, err error) {
	if len(w.volumes)+len(w.attachedTo) == 0 || c.cinder == nil {
		return held, nil
	}
	if err = c.seesAll.ask(func() error { return c.cinder.SeesAllProjects(ctx) }); err != nil {
		return held, err
	}
	volumes, err := c.cinder.Volumes(ctx, w.volumes...)
	if err != nil {
		return held, err
	}
	found := map[string]*heldVolume{}
	for _, volume := range volumes {
		found[volume.ID] = &heldVolume{Volume: volume}
	}
	attachments, err := c.cinder.AttachmentsOfAny(ctx, w.attachedTo, slices.Sorted(maps.Keys(found)))
	if err != nil {
		return held, err
	}
	held.volumes, held.attached = found, map[string][]cinder.Attachment{}
	for _, a := range attachments {
		held.attached[a.Instance] = append(held.attached[a.Instance], a)
		if volume := found[a.VolumeID]; volume != nil {
			volume.all = append(volume.all, a)
		}
	}
	return held, nil
}

// Connect logs in. Without it the first question does.
func (c *Cloud) Connect(ctx context.Context) error {
	return c.connected.ask(func() error { return c.connect(ctx) })
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

// byRows are the volumes that nova-compute does anything to because of the instances' rows, and the ports of
// their info caches.
func byRows(findings ...nova.Finding) (volumes, ports []string) {
	for _, f := range findings {
		for _, m := range f.Mappings() {
			if acts(m) {
				volumes = append(volumes, m.VolumeID)
			}
		}
		for _, port := range f.CachedPorts() {
			ports = append(ports, port.ID)
		}
	}
	slices.Sort(volumes)
	return slices.Compact(volumes), ports
}

// Foresee asks what the reap of the instance would do. With preserve, no volume is deleted. The error says why it
// cannot be told.
func (c *Cloud) Foresee(ctx context.Context, f nova.Finding, preserve bool) (*Reap, error) {
	volumes, ports := byRows(f)
	held, noVolumes, noPorts := c.look(ctx, wanted{volumes: volumes, ports: ports, devices: []string{f.UUID}})
	if err := cmp.Or(noVolumes, noPorts); err != nil {
		return nil, fmt.Errorf("cannot tell what nova-compute would do to volumes %v and ports %v when it reaps the domain, "+
			"since it goes by the deleted rows as well, whoever has them by now: %w (%s)", volumes, ports, err, wayToTheAPIs)
	}
	return foresee(f.UUID, f.Mappings(), f.CachedPorts(), held, preserve), nil
}

// wayToTheAPIs is the way out where Cinder or Neutron cannot be asked.
const wayToTheAPIs = "let the module ask Cinder and Neutron as an administrator: by nova_conf, cloud, auth or OS_* variables; " +
	"then run it again"

// Elsewhere asks which of the volumes and ports of a backup are somebody else's by now.
func (c *Cloud) Elsewhere(ctx context.Context, instance string, saved nova.Saved) (nova.Elsewhere, error) {
	volumes, ports := saved.Held()
	held, noVolumes, noPorts := c.look(ctx, wanted{volumes: volumes, ports: ports, devices: []string{instance}})
	if err := cmp.Or(noVolumes, noPorts); err != nil {
		return nova.Elsewhere{}, fmt.Errorf("cannot tell whether volumes %v and ports %v are somebody else's by now: %w (%s)",
			volumes, ports, err, wayToTheAPIs)
	}
	return elsewhere(instance, held), nil
}
