package openstacktest

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Nova is the fake compute API. It behaves as release 26 (Zed) was seen to.
type Nova struct {
	Servers    map[string]Server
	Migrations []Migration // in the order of the API's pages
	Services   []Service
	Missing    bool // no endpoint in the catalog
	NotAdmin   bool // the user sees the servers of his own project only
	ListsAll   bool // the user is granted the list of all servers, and still no look at one of another project
	PageSize   int  // [api]max_limit
	// BeforeLockedReason makes it older than 2.73 (before Train).
	BeforeLockedReason bool
	// Down is a cell that does not answer: lists leave it out without a word, and what
	// asks a cell by itself fails.
	Down string
	// Returns has it come back in the moment in which it is asked whether every cell answers.
	Returns bool

	began time.Time
}

// Migration is a migration as GET /os-migrations shows it.
type Migration struct {
	UUID, Status, Instance string
	Type                   string // empty: resize
	SourceHost, SourceNode string
	Updated                time.Time // zero: never
	Cell                   string
	Deleted                bool // as those of an instance that was deleted: a marker, but in no list
}

// tellsLockedReason is the version of a request for one server that is answered with locked_reason.
const tellsLockedReason = "compute 2.73"

func (n *Nova) routes() routes {
	n.Servers, n.PageSize, n.began = map[string]Server{}, 2, time.Now().UTC()
	return routes{
		"GET /servers":                                     n.admins(func(r *http.Request) answer { return n.listServers(r, false) }),
		"GET /servers/detail":                              n.admins(func(r *http.Request) answer { return n.listServers(r, true) }),
		"GET /servers/{id}":                                n.server(n.showServer),
		"DELETE /servers/{id}":                             n.server(n.deleteServer),
		"POST /servers/{id}/action":                        n.server(n.act),
		"PUT /servers/{id}/os-volume_attachments/{volume}": n.server(n.setFlag),
		"GET /servers/{id}/os-volume_attachments":          n.listVolumes,
		"GET /os-migrations":                               n.admins(n.listMigrations),
		"GET /os-simple-tenant-usage/{project}":            n.admins(n.usage),
		"GET /os-services":                                 n.admins(n.listServices),
		"PUT /os-services/{id}":                            n.admins(n.updateService),
	}
}

// refuses what is not asked at the microversion that this request of the modules needs.
func (n *Nova) refuses(r *http.Request) (none answer) {
	wanted, given := "compute 2.59", r.Header.Get("OpenStack-API-Version")
	_, id, one := strings.Cut(r.URL.Path, "/servers/")
	switch {
	case r.Method == http.MethodPut && one:
		wanted = "compute 2.85"
	case r.Method == http.MethodGet && one && !strings.Contains(id, "/") && given == tellsLockedReason && n.BeforeLockedReason:
		return answer{http.StatusNotAcceptable, nil}
	case r.Method == http.MethodGet && one && !strings.Contains(id, "/") && given == tellsLockedReason:
		return none
	}
	if given != wanted {
		return faults(http.StatusBadRequest, "badRequest", "the fake Nova speaks "+wanted)
	}
	return none
}

// admins may ask for this.
func (n *Nova) admins(handle func(*http.Request) answer) func(*http.Request) answer {
	return func(r *http.Request) answer {
		if n.NotAdmin {
			return faults(http.StatusForbidden, "forbidden", "Policy doesn't allow it to be performed.")
		}
		return handle(r)
	}
}

// unexpected is what a cell is to Nova that does not answer.
func unexpected() answer {
	return faults(http.StatusInternalServerError, "computeFault", "Unexpected API Error.")
}

// answers says whether a cell is not down.
func (n *Nova) answers(cell string) bool { return cell == "" || cell != n.Down }

// usage asks each cell.
func (n *Nova) usage(*http.Request) answer {
	if n.Down != "" && !n.Returns {
		return unexpected()
	}
	n.Down = ""
	return shows("tenant_usage", object{})
}

// list is a page, with a link to the next.
func (n *Nova) list(r *http.Request, kind string, all []object, filters map[string]string) answer {
	page, more := list(r, kind, all, n.PageSize, filters)
	if more {
		page.body[kind+"_links"] = []object{{"rel": "next", "href": strings.TrimSuffix(r.URL.String(), "?")}}
	}
	return page
}

func (n *Nova) listServers(r *http.Request, detail bool) answer {
	query := r.URL.Query()
	if n.ListsAll && query.Get("status") == "deleted" {
		return faults(http.StatusForbidden, "forbidden", "Only administrators may list deleted instances")
	}
	var all []object
	for _, id := range slices.Sorted(maps.Keys(n.Servers)) {
		if server := n.Servers[id]; n.answers(server.Cell) && query.Has("all_tenants") {
			all = append(all, n.shown(id, server, false))
		}
	}
	listed := n.list(r, "servers", all, map[string]string{"uuid": "id", "host": "OS-EXT-SRV-ATTR:host", "status": "status"})
	if servers, ok := listed.body["servers"].([]object); ok && !detail {
		for i, server := range servers {
			servers[i] = object{"id": server["id"], "name": server["name"]}
		}
	}
	return listed
}

// listMigrations takes for a marker also what the filters leave out, or what is deleted
// (nova/compute/migration_list.py get_marker_record).
func (n *Nova) listMigrations(r *http.Request) answer {
	var all []object
	for _, m := range n.Migrations {
		if !n.answers(m.Cell) {
			continue
		}
		var updated any
		if !m.Updated.IsZero() {
			updated = m.Updated.UTC().Format("2006-01-02T15:04:05.000000")
		}
		shown := object{
			"id": 1, "uuid": m.UUID, "status": m.Status, "instance_uuid": m.Instance, "migration_type": cmp.Or(m.Type, "resize"),
			"source_compute": m.SourceHost, "source_node": m.SourceNode,
			"created_at": "2026-01-29T13:42:02.000000", "updated_at": updated, "new_instance_type_id": nil,
		}
		if m.Deleted {
			shown[markerOnly] = true
		}
		all = append(all, shown)
	}
	return n.list(r, "migrations", all, map[string]string{"instance_uuid": "instance_uuid", "host": "source_compute"})
}
