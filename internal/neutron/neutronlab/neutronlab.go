//go:build lab

// Package neutronlab makes ports in the lab's Neutron, and takes them away after the test.
package neutronlab

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/tidwall/gjson"
)

// Lab is a network of one test's own.
type Lab struct {
	t       *testing.T
	service *gophercloud.ServiceClient
	network string
}

// New makes the network.
func New(t *testing.T, service *gophercloud.ServiceClient) *Lab {
	t.Helper()
	l := &Lab{t: t, service: service}
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

// Ask sends a request, and returns its answer.
func (l *Lab) Ask(method, path string, body any) gjson.Result {
	l.t.Helper()
	// Not t.Context(), which has ended when the clean-up runs.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	response, err := l.service.Request(ctx, method, l.service.ServiceURL(path), &gophercloud.RequestOpts{
		JSONBody: body, OkCodes: []int{http.StatusOK, http.StatusCreated, http.StatusNoContent}, KeepResponseBody: true,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer json.RawMessage
	_ = json.NewDecoder(response.Body).Decode(&answer) // a deletion has nothing to say
	return gjson.ParseBytes(answer)
}

// Port makes one that looks like an instance's.
func (l *Lab) Port(device string) string {
	l.t.Helper()
	return l.Ask(http.MethodPost, "ports", map[string]any{"port": map[string]any{
		"network_id": l.network, "device_id": device, "device_owner": "compute:nova", "binding:host_id": "compute1",
	}}).Get("port.id").String()
}

// As is the same network by another account.
func (l *Lab) As(service *gophercloud.ServiceClient) *Lab { return &Lab{l.t, service, l.network} }

// Bound makes a port with what a host has told about its device, which takes Nova's account.
func (l *Lab) Bound(device string, profile map[string]any) string {
	l.t.Helper()
	return l.Ask(http.MethodPost, "ports", map[string]any{"port": map[string]any{
		"network_id": l.network, "device_id": device, "device_owner": "compute:nova", "binding:host_id": "compute1", "binding:profile": profile,
	}}).Get("port.id").String()
}

// Give gives a port to another device.
func (l *Lab) Give(port, device string) {
	l.t.Helper()
	l.Ask(http.MethodPut, "ports/"+port, map[string]any{"port": map[string]any{"device_id": device}})
}

// Rename changes a port's name.
func (l *Lab) Rename(port string) {
	l.t.Helper()
	l.Ask(http.MethodPut, "ports/"+port, map[string]any{"port": map[string]any{"name": "renamed"}})
}

// Show is a port; it does not exist if there is none.
func (l *Lab) Show(port string) gjson.Result {
	l.t.Helper()
	return l.Ask(http.MethodGet, "ports?id="+port, nil).Get("ports.0")
}
