package openstacktest

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
)

// Nova is the fake compute API.
type Nova struct {
	Servers    map[string]Server
	Migrations []Migration // in the order of the API's pages
	Missing    bool        // no endpoint in the catalog
	NotAdmin   bool        // the user sees the servers of his own project only
	PageSize   int         // [api]max_limit
}

// Server is a server as GET /servers/{uuid} shows it.
type Server struct {
	Status, Host string
	Node         string // the hypervisor's host name; empty: as Host
	Task         string
	RootDevice   string
	Volumes      []VolumeMapping
}

// Migration is a migration as GET /os-migrations shows it.
type Migration struct {
	UUID, Status, Instance string
	Type                   string // empty: resize
	SourceHost, SourceNode string
}

func (n *Nova) init() {
	n.Servers, n.PageSize = map[string]Server{}, 2
}

func (n *Nova) serve(w http.ResponseWriter, r *http.Request, parts []string) {
	forbidden := map[string]any{"forbidden": map[string]any{"code": 403, "message": "Policy doesn't allow it to be performed."}}
	switch {
	case len(parts) > 2 && parts[2] == "os-volume_attachments":
		n.serveVolumeAttachments(w, r, parts)
	case r.Method != http.MethodGet || r.Header.Get("OpenStack-API-Version") != "compute 2.59":
		reply(w, http.StatusBadRequest, map[string]any{"badRequest": map[string]any{"message": "the fake Nova only answers GET at 2.59"}})
	case len(parts) == 2 && parts[0] == "servers":
		n.show(w, parts[1])
	case n.NotAdmin:
		reply(w, http.StatusForbidden, forbidden)
	case parts[0] == "servers" && r.URL.Query().Get("all_tenants") != "":
		reply(w, http.StatusOK, map[string]any{"servers": []any{}})
	case parts[0] == "os-migrations":
		n.listMigrations(w, r)
	default:
		reply(w, http.StatusNotFound, nil)
	}
}

func (n *Nova) show(w http.ResponseWriter, uuid string) {
	server, ok := n.Servers[uuid]
	if !ok || n.NotAdmin {
		reply(w, http.StatusNotFound, map[string]any{"itemNotFound": map[string]any{"code": 404, "message": "Instance " + uuid + " could not be found."}})
		return
	}
	body := map[string]any{
		"id": uuid, "status": server.Status, "OS-EXT-STS:vm_state": strings.ToLower(server.Status),
		"created": "2026-01-29T13:42:02Z", "updated": "2026-01-29T13:42:02Z", "OS-EXT-SRV-ATTR:root_device_name": cmp.Or(server.RootDevice, "/dev/vda"),
	}
	if server.Host != "" {
		body["OS-EXT-SRV-ATTR:host"] = server.Host
		body["OS-EXT-SRV-ATTR:hypervisor_hostname"] = cmp.Or(server.Node, server.Host)
	}
	body["OS-EXT-STS:task_state"] = nil
	if server.Task != "" {
		body["OS-EXT-STS:task_state"] = server.Task
	}
	reply(w, http.StatusOK, map[string]any{"server": body})
}

func (n *Nova) listMigrations(w http.ResponseWriter, r *http.Request) {
	all := slices.Clone(n.Migrations)
	if instance := r.URL.Query().Get("instance_uuid"); instance != "" {
		all = slices.DeleteFunc(all, func(m Migration) bool { return m.Instance != instance })
	}
	from := 0
	if marker := r.URL.Query().Get("marker"); marker != "" {
		from = 1 + slices.IndexFunc(all, func(m Migration) bool { return m.UUID == marker })
	}
	page := []any{}
	for _, m := range all[from:min(from+n.PageSize, len(all))] {
		page = append(page, map[string]any{
			"id": 1, "uuid": m.UUID, "status": m.Status, "instance_uuid": m.Instance, "migration_type": cmp.Or(m.Type, "resize"),
			"source_compute": m.SourceHost, "source_node": m.SourceNode,
			"created_at": "2026-01-29T13:42:02.000000", "updated_at": nil, "new_instance_type_id": nil,
		})
	}
	body := map[string]any{"migrations": page}
	if from+n.PageSize < len(all) {
		body["migrations_links"] = []any{map[string]any{"rel": "next", "href": strings.TrimSuffix(r.URL.String(), "?")}}
	}
	reply(w, http.StatusOK, body)
}
