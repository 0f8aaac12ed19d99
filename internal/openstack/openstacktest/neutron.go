package openstacktest

import (
	"encoding/json"
	"net/http"
	"net/url"
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

func (n *Neutron) init() { n.InTrunk = map[string]bool{} }

func (p *Port) json() map[string]any {
	return map[string]any{
		"id": p.ID, "name": "", "mac_address": "fa:16:3e:00:00:01", "status": map[bool]string{true: "DOWN", false: "ACTIVE"}[p.Host == ""],
		"network_id": "network-1", "project_id": "project-1", "device_id": p.Device, "device_owner": p.Owner, "binding:host_id": p.Host,
		"binding:profile": p.Profile, "fixed_ips": []any{map[string]any{"subnet_id": "subnet-1", "ip_address": "192.0.2.7"}},
		"dns_name": p.DNSName, "revision_number": p.Revision,
	}
}

func neutronError(kind, message string) map[string]any {
	return map[string]any{"NeutronError": map[string]any{"type": kind, "message": message, "detail": ""}}
}

func (n *Neutron) serve(w http.ResponseWriter, r *http.Request, parts []string, byService bool) {
	if len(parts) == 0 || parts[0] != "ports" {
		reply(w, http.StatusNotFound, neutronError("HTTPNotFound", "The resource could not be found."))
		return
	}
	if len(parts) == 1 {
		n.list(w, r.URL.Query())
		return
	}
	port := find(n.Ports, func(p *Port) bool { return p.ID == parts[1] })
	wanted, conditional := strings.CutPrefix(r.Header.Get("If-Match"), "revision_number=")
	switch {
	case port == nil:
		reply(w, http.StatusNotFound, neutronError("PortNotFound", "Port "+parts[1]+" could not be found."))
	case conditional && wanted != strconv.Itoa(port.Revision):
		reply(w, http.StatusPreconditionFailed, neutronError("RevisionNumberConstraintFailed",
			"Constrained to "+wanted+", but current revision is "+strconv.Itoa(port.Revision)))
	case r.Method == http.MethodGet:
		reply(w, http.StatusOK, map[string]any{"port": port.json()})
	case r.Method == http.MethodDelete && n.InTrunk[port.ID]:
		reply(w, http.StatusConflict, neutronError("PortInUseAsTrunkParent", "Port "+port.ID+" is currently a parent port for trunk 1."))
	case r.Method == http.MethodDelete:
		n.Ports = slices.DeleteFunc(n.Ports, func(other *Port) bool { return other == port })
		reply(w, http.StatusNoContent, nil)
	default:
		n.change(w, r, port, byService)
	}
}

// list has pages of two, as with pagination_max_limit = 2. A link goes on from a page that
// is full (neutron/api/api_common.py get_pagination_links).
func (n *Neutron) list(w http.ResponseWriter, query url.Values) {
	var found []*Port
	for _, p := range n.Ports {
		if p.Device == query.Get("device_id") {
			found = append(found, p)
		}
	}
	list, links := []any{}, []any{map[string]any{"rel": "previous", "href": "http://behind.the.proxy/ports?page_reverse=True"}}
	for _, p := range page(found, query, func(p *Port) string { return p.ID }) {
		list = append(list, p.json())
	}
	if len(list) == 2 {
		links = append(links, map[string]any{"rel": "next", "href": "http://behind.the.proxy/ports?marker="})
	}
	reply(w, http.StatusOK, map[string]any{"ports": list, "ports_links": links})
}

func (n *Neutron) change(w http.ResponseWriter, r *http.Request, port *Port, byService bool) {
	var request struct {
		Port struct {
			Device  *string        `json:"device_id"`
			Owner   *string        `json:"device_owner"`
			DNSName *string        `json:"dns_name"`
			Profile map[string]any `json:"binding:profile"`
			Host    *string        `json:"binding:host_id"`
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || request.Port.Device == nil || request.Port.Owner == nil {
		reply(w, http.StatusBadRequest, neutronError("HTTPBadRequest", "the fake Neutron only unbinds"))
		return
	}
	if request.Port.Profile != nil {
		if n.ForServices && !byService {
			reply(w, http.StatusForbidden, neutronError("PolicyNotAuthorized",
				"(rule:update_port and rule:update_port:binding:profile) is disallowed by policy"))
			return
		}
		port.Profile = request.Port.Profile
	}
	port.Device, port.Owner, port.Host = *request.Port.Device, *request.Port.Owner, ""
	if request.Port.DNSName != nil {
		port.DNSName = *request.Port.DNSName
	}
	port.Revision++
	reply(w, http.StatusOK, map[string]any{"port": port.json()})
}
