package openstacktest

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Neutron is the fake network API.
type Neutron struct {
	Ports     []*Port
	NoNeutron bool // no endpoint in the catalog
	// ForServices is the policy since 2024.1: only NetworkUser writes a port's profile.
	ForServices bool
	// InTrunk are ports that Neutron does not delete.
	InTrunk map[string]bool
}

// Port is a port.
type Port struct {
	ID, Device, Owner, Host string
	DNSName                 string
	Profile                 map[string]any
	Revision                int
}

func (n *Neutron) routes() routes {
	n.InTrunk = map[string]bool{}
	return routes{
		"GET /ports":         n.list,
		"GET /ports/{id}":    n.port(show[*Port]("port")),
		"PUT /ports/{id}":    n.port(n.change),
		"DELETE /ports/{id}": n.port(n.remove),
	}
}

func (p *Port) json() object {
	return object{
		"id": p.ID, "name": "", "mac_address": "fa:16:3e:00:00:01", "status": map[bool]string{true: "DOWN", false: "ACTIVE"}[p.Host == ""],
		"network_id": "network-1", "project_id": "project-1", "device_id": p.Device, "device_owner": p.Owner, "binding:host_id": p.Host,
		"binding:profile": p.Profile, "fixed_ips": []object{{"subnet_id": "subnet-1", "ip_address": "192.0.2.7"}},
		"dns_name": p.DNSName, "revision_number": p.Revision,
	}
}

func neutronError(status int, kind, message string) answer {
	return answer{status, object{"NeutronError": object{"type": kind, "message": message, "detail": ""}}}
}

// port handles requests for one, at the revision that is asked for.
func (n *Neutron) port(handle func(*http.Request, *Port) answer) func(*http.Request) answer {
	return one(&n.Ports, func(r *http.Request, port *Port) answer {
		wanted, conditional := strings.CutPrefix(r.Header.Get("If-Match"), "revision_number=")
		if conditional && wanted != strconv.Itoa(port.Revision) {
			return neutronError(http.StatusPreconditionFailed, "RevisionNumberConstraintFailed",
				"Constrained to "+wanted+", but current revision is "+strconv.Itoa(port.Revision))
		}
		return handle(r, port)
	})
}

// list takes several values of a filter, and has pages of two, as with pagination_max_limit = 2. A link goes on from a page that
// is full (neutron/api/api_common.py get_pagination_links).
func (n *Neutron) list(r *http.Request) answer {
	devices, ids := r.URL.Query()["device_id"], r.URL.Query()["id"]
	found := slices.DeleteFunc(slices.Clone(n.Ports), func(p *Port) bool {
		return devices != nil && !slices.Contains(devices, p.Device) || ids != nil && !slices.Contains(ids, p.ID)
	})
	page, _ := list(r, "ports", shown(found), 2, nil)
	links := []object{{"rel": "previous", "href": "http://behind.the.proxy/ports?page_reverse=True"}}
	if found, _ := page.body["ports"].([]object); len(found) == 2 {
		links = append(links, object{"rel": "next", "href": "http://behind.the.proxy/ports?marker="})
	}
	page.body["ports_links"] = links
	return page
}

func (n *Neutron) remove(_ *http.Request, port *Port) answer {
	if n.InTrunk[port.ID] {
		return neutronError(http.StatusConflict, "PortInUseAsTrunkParent", "Port "+port.ID+" is currently a parent port for trunk 1.")
	}
	n.Ports = without(n.Ports, port)
	return answer{http.StatusNoContent, nil}
}

func (n *Neutron) change(r *http.Request, port *Port) answer {
	wanted := sent(r).Get("port")
	device, owner, name, profile := wanted.Get("device_id"), wanted.Get("device_owner"), wanted.Get("dns_name"), wanted.Get("binding:profile")
	if !device.Exists() || !owner.Exists() {
		return neutronError(http.StatusBadRequest, "HTTPBadRequest", "the fake Neutron only unbinds")
	}
	if profile.IsObject() {
		if n.ForServices && !strings.HasPrefix(r.Header.Get("X-Auth-Token"), "network-") {
			return neutronError(http.StatusForbidden, "PolicyNotAuthorized",
				"(rule:update_port and rule:update_port:binding:profile) is disallowed by policy")
		}
		port.Profile = profile.Value().(object)
	}
	port.Device, port.Owner, port.Host = device.String(), owner.String(), ""
	if name.Exists() {
		port.DNSName = name.String()
	}
	port.Revision++
	return shows("port", port.json())
}
