// Package neutron reads an instance's ports and lets go of them as Nova does when it
// deletes the instance.
package neutron

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/ports"

	"nova-orphan/internal/openstack"
	"nova-orphan/internal/shared"
)

// Client asks one Neutron service, as a user who sees all projects.
type Client struct {
	service *gophercloud.ServiceClient
	// What is asked about several at the same time is one request.
	byDevice, byID *shared.Questions[string, []Port]
}

// New makes a Client of gophercloud's.
func New(service *gophercloud.ServiceClient) *Client {
	return &Client{service, &shared.Questions[string, []Port]{}, &shared.Questions[string, []Port]{}}
}

// Port is a port. Profile is what the host was told about its device.
type Port struct {
	ID          string         `json:"id"`
	Name        string         `json:"name"`
	MACAddress  string         `json:"mac_address"`
	Status      string         `json:"status"`
	NetworkID   string         `json:"network_id"`
	ProjectID   string         `json:"project_id"`
	DeviceID    string         `json:"device_id"`
	DeviceOwner string         `json:"device_owner"`
	Host        string         `json:"binding:host_id"`
	Profile     map[string]any `json:"binding:profile"`
	FixedIPs    []FixedIP      `json:"fixed_ips"`
	// DNSName is nil where Neutron has no extension for it.
	DNSName *string `json:"dns_name,omitempty"`
	// Revision is nil where Neutron does not count them.
	Revision *int `json:"revision_number,omitempty"`
}

// FixedIP is an address of a port.
type FixedIP struct {
	Subnet  string `json:"subnet_id"`
	Address string `json:"ip_address"`
}

// Ports lists those whose device is one of the instances.
func (c *Client) Ports(ctx context.Context, instances ...string) ([]Port, error) {
	return c.list(ctx, "of instance", "device_id", instances, func(p Port) string { return p.DeviceID })
}

// PortsByID lists those of the ports that Neutron knows.
func (c *Client) PortsByID(ctx context.Context, ids ...string) ([]Port, error) {
	return c.list(ctx, "with id", "id", ids, func(p Port) string { return p.ID })
}

// list asks for many values in a query. Without a limit Neutron ignores a marker,
// though it may have cut the page (neutron/api/api_common.py get_limit_and_marker).
func (c *Client) list(ctx context.Context, what, filter string, values []string, value func(Port) string) ([]Port, error) {
	return openstack.InParallel(values, openstack.InQuery, func(some []string) ([]Port, error) {
		query := url.Values{filter: some, "limit": {"1000"}}
		ports, err := openstack.Pages(ctx, c.service, "ports", query, func(p Port) string { return p.ID })
		if at := slices.IndexFunc(ports, func(p Port) bool { return !slices.Contains(some, value(p)) }); at >= 0 {
			err = fmt.Errorf("the answer has a port %q of device %q", ports[at].ID, ports[at].DeviceID)
		}
		if err != nil {
			return nil, fmt.Errorf("list the ports %s %s: %w", what, openstack.Briefly(some), err)
		}
		return ports, nil
	})
}

// PortsOf lists those of one instance, as Ports does, together with whoever asks for others' at the same time.
func (c *Client) PortsOf(ctx context.Context, instance string) ([]Port, error) {
	return c.byDevice.Ask(ctx, instance, func(ctx context.Context, instances []string) (map[string][]Port, error) {
		ports, err := c.Ports(ctx, instances...)
		return grouped(ports, func(p Port) string { return p.DeviceID }), err
	})
}

// Port is nil for a port that Neutron does not know. It is asked for together with others, as by PortsOf.
func (c *Client) Port(ctx context.Context, id string) (*Port, error) {
	found, err := c.byID.Ask(ctx, id, func(ctx context.Context, ids []string) (map[string][]Port, error) {
		ports, err := c.PortsByID(ctx, ids...)
		return grouped(ports, func(p Port) string { return p.ID }), err
	})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

func grouped(ports []Port, by func(Port) string) map[string][]Port {
	groups := map[string][]Port{}
	for _, port := range ports {
		groups[by(port)] = append(groups[by(port)], port)
	}
	return groups
}

// ofTheHost are the keys of a binding profile that belong to a device of the host,
// and not to the port (nova/network/neutron.py _unbind_ports).
var ofTheHost = []string{
	"pci_vendor_info", "pci_slot", "allocation", "arq_uuid", "physical_network", "card_serial_number", "vf_num", "pf_mac_address",
	"device_mac_address",
}

// Unbind frees a port for another device, as Nova does with one that it did not make:
// nova/network/neutron.py _unbind_ports and _reset_port_dns_name. It is refused if
// the port has changed since it was read, where Neutron counts revisions. Other than
// Nova it leaves out a profile of which nothing is taken: since 2024.1 that alone needs
// the role service.
func (c *Client) Unbind(ctx context.Context, port Port) error {
	profile := map[string]any{}
	maps.Copy(profile, port.Profile)
	for _, key := range ofTheHost {
		delete(profile, key)
	}
	change := map[string]any{"device_id": "", "device_owner": "", "binding:host_id": nil}
	if len(profile) < len(port.Profile) {
		change["binding:profile"] = profile
	}
	if port.DNSName != nil && *port.DNSName != "" {
		// Nova would refuse to give the port to a server of another name.
		change["dns_name"] = ""
	}
	service, body, options := c.ifUnchanged(port), map[string]any{"port": change}, &gophercloud.RequestOpts{OkCodes: []int{http.StatusOK}}
	if _, err := service.Put(ctx, service.ServiceURL("ports", port.ID), body, nil, options); err != nil {
		return fmt.Errorf("unbind port %s: %w", port.ID, err)
	}
	return nil
}

// Delete deletes a port, unless it has changed since it was read. It is false for one
// that is gone already.
func (c *Client) Delete(ctx context.Context, port Port) (bool, error) {
	return openstack.Found(ports.Delete(ctx, c.ifUnchanged(port), port.ID).Err, "delete port %s", port.ID)
}

// ifUnchanged is with the condition that Neutron checks in the transaction that writes
// (extension revision-if-match, since Pike).
func (c *Client) ifUnchanged(port Port) *gophercloud.ServiceClient {
	service := *c.service
	if port.Revision != nil {
		service.MoreHeaders = map[string]string{"If-Match": "revision_number=" + strconv.Itoa(*port.Revision)}
	}
	return &service
}
