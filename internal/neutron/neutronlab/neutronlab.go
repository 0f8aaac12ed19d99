//go:build lab

// Package neutronlab makes ports in the lab's Neutron, and takes them away after the test.
package neutronlab

import (
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/openstack/openstacktest"
)

// Lab is a network of one test's own.
type Lab struct {
	openstacktest.REST
	network string
}

// New makes the network.
func New(t *testing.T, service *gophercloud.ServiceClient) *Lab {
	t.Helper()
	l := &Lab{REST: openstacktest.REST{T: t, Client: service}}
	l.network = l.Ask(http.MethodPost, "networks", map[string]any{"network": map[string]any{"name": "test"}}).Get("network.id").String()
	t.Cleanup(func() {
		for _, port := range l.Ask(http.MethodGet, "ports?network_id="+l.network, nil).Get("ports.#.id").Array() {
			l.Ask(http.MethodDelete, "ports/"+port.String(), nil)
		}
		l.Ask(http.MethodDelete, "networks/"+l.network, nil)
	})
	l.Ask(http.MethodPost, "subnets", map[string]any{"subnet": map[string]any{
		"network_id": l.network, "ip_version": 4, "cidr": "192.0.2.0/24", "enable_dhcp": false,
	}})
	return l
}

// As is the same network by another account.
func (l *Lab) As(service *gophercloud.ServiceClient) *Lab {
	return &Lab{openstacktest.REST{T: l.T, Client: service}, l.network}
}

// Port makes one that looks like an instance's.
func (l *Lab) Port(device string) string {
	l.T.Helper()
	return l.Bound(device, nil)
}

// Bound makes a port with what a host has told about its device, which takes Nova's account.
func (l *Lab) Bound(device string, profile map[string]any) string {
	l.T.Helper()
	port := map[string]any{"network_id": l.network, "device_id": device, "device_owner": "compute:nova", "binding:host_id": "compute1"}
	if profile != nil {
		port["binding:profile"] = profile
	}
	return l.Ask(http.MethodPost, "ports", map[string]any{"port": port}).Get("port.id").String()
}

// Set changes a port's device_id, or its name.
func (l *Lab) Set(port, key, value string) {
	l.T.Helper()
	l.Ask(http.MethodPut, "ports/"+port, map[string]any{"port": map[string]any{key: value}})
}

// Show is a port; it does not exist if there is none.
func (l *Lab) Show(port string) gjson.Result {
	l.T.Helper()
	return l.Ask(http.MethodGet, "ports?id="+port, nil).Get("ports.0")
}
