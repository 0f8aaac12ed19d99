package main

import (
	"cmp"
	"context"
	"errors"
	"sync"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/cinder"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/neutron"
	"nova-orphan/internal/openstack"
)

// cloud is how the call reaches Nova and the other services, of which only Nova must be there.
type cloud struct {
	parameters
	call   *ansible.Call
	lookup novaLookup
	nova   *compute.Client
	// What is nil, the cloud does not have.
	volumes *cinder.Client
	ports   *neutron.Client
	images  *glance
	// serviceToken asks for the token of a service, once; see openstack.ServiceToken.
	serviceToken func(context.Context) (string, error)
}

// connect finds the services; Nova is looked up by its API.
func connect(ctx context.Context, call *ansible.Call, p parameters) (*cloud, error) {
	found, err := openstack.Connect(ctx, p.Auth, call.Secret)
	if err != nil {
		return nil, err
	}
	ofNetwork, err := found.ForNetwork(ctx, p.Auth, call.Secret)
	if err != nil {
		return nil, err
	}
	client, err := found.Compute()
	if err != nil {
		return nil, err
	}
	c := &cloud{parameters: p, call: call, nova: compute.New(client)}
	c.lookup = fromAPI{c.nova, p.Policy}
	var mu sync.Mutex
	token := ""
	c.serviceToken = func(ctx context.Context) (_ string, err error) {
		mu.Lock()
		defer mu.Unlock()
		if token == "" {
			token, err = openstack.ServiceToken(ctx, p.Auth, call.Secret)
		}
		return token, err
	}
	optional := func(find func() (*gophercloud.ServiceClient, error)) *gophercloud.ServiceClient {
		client, failure := find()
		if !errors.Is(failure, openstack.ErrNoService) {
			err = cmp.Or(err, failure)
		}
		return client
	}
	if client := optional(found.BlockStorage); client != nil {
		c.volumes = cinder.New(client)
		err = cmp.Or(err, c.volumes.SeesAllProjects(ctx))
	}
	if client := optional(ofNetwork.Network); client != nil {
		c.ports = neutron.New(client)
	}
	if client := optional(found.Image); client != nil {
		c.images = &glance{client: client}
	}
	return c, err
}
