package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/cinder"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/neutron"
	"nova-orphan/internal/openstack"
)

// volumes is the Cinder that this module needs.
type volumes interface {
	SeesAllProjects(ctx context.Context) error
	Attachments(ctx context.Context, instance string) ([]cinder.Attachment, error)
	AttachmentsOf(ctx context.Context, volume string) ([]cinder.Attachment, error)
	AttachmentExists(ctx context.Context, attachment string) (bool, error)
	Volume(ctx context.Context, id string) (*cinder.Volume, error)
	Snapshots(ctx context.Context, volume string) ([]cinder.Snapshot, error)
	Snapshot(ctx context.Context, id string) (*cinder.Snapshot, error)
	DeleteAttachment(ctx context.Context, attachment, serviceToken string) (bool, error)
	DeleteSnapshot(ctx context.Context, snapshot string) (bool, error)
	DeleteVolume(ctx context.Context, volume string) (bool, error)
	ResetVolume(ctx context.Context, volume string) error
}

// ports is the Neutron that this module needs.
type ports interface {
	Ports(ctx context.Context, instance string) ([]neutron.Port, error)
	Port(ctx context.Context, id string) (*neutron.Port, error)
	Unbind(ctx context.Context, port neutron.Port) error
	Delete(ctx context.Context, port neutron.Port) (bool, error)
}

// images is the Glance that this module needs.
type images interface {
	// MadeFrom lists the images made from the instance, and those made of a volume's
	// snapshot.
	MadeFrom(ctx context.Context, instance string, snapshots []cinder.Snapshot) ([]image, error)
}

// novaAPI is the Nova that this module needs.
type novaAPI interface {
	Server(ctx context.Context, uuid string) (*compute.Server, error)
	Find(ctx context.Context, uuid string) (server *compute.Server, unmapped bool, err error)
	Migrations(ctx context.Context, instance string) ([]compute.Migration, error)
	Devices(ctx context.Context, uuid string) (map[string]string, error)
	KeepVolume(ctx context.Context, uuid, volume string) error
}

// cloud is how the call reaches Nova and the other services, of which only Nova must be there.
type cloud struct {
	parameters
	call   *ansible.Call
	lookup novaLookup
	nova   novaAPI
	// What is nil, the cloud does not have.
	volumes volumes
	ports   ports
	images  images
	// seesAll says that Cinder shows all projects.
	seesAll atomic.Bool
	// serviceToken asks for the token of a service; see openstack.ServiceToken.
	serviceToken func(context.Context) (string, error)
}

// connect finds the services; Nova is looked up by its API.
func connect(ctx context.Context, call *ansible.Call, p parameters) (*cloud, error) {
	found, err := openstack.Connect(ctx, p.Auth, call.Secret)
	if err != nil {
		return nil, err
	}
	client, err := found.Compute()
	if err != nil {
		return nil, err
	}
	c := &cloud{parameters: p, call: call, nova: compute.New(client)}
	c.lookup = fromAPI{c.nova, c.Judging()}
	var once sync.Mutex
	token := ""
	c.serviceToken = func(ctx context.Context) (_ string, err error) {
		once.Lock()
		defer once.Unlock()
		if token == "" {
			token, err = openstack.ServiceToken(ctx, p.Auth, call.Secret)
		}
		return token, err
	}
	ofNetwork, err := found.ForNetwork(ctx, p.Auth, call.Secret)
	if err != nil {
		return nil, err
	}
	if client, err = found.BlockStorage(); err == nil {
		c.volumes = cinder.New(client)
	} else if !errors.Is(err, openstack.ErrNoService) {
		return nil, err
	}
	if client, err = ofNetwork.Network(); err == nil {
		c.ports = neutron.New(client)
	} else if !errors.Is(err, openstack.ErrNoService) {
		return nil, err
	}
	if client, err = found.Image(); err == nil {
		c.images = &glance{client}
	} else if !errors.Is(err, openstack.ErrNoService) {
		return nil, err
	}
	return c, nil
}
