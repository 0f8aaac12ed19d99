package openstacktest

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Nova is the fake compute API. It behaves as release 26 (Zed) was seen to; the
// contract suite of package compute holds it to the real service.
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

func (n *Nova) init() {
	n.Servers, n.PageSize, n.began = map[string]Server{}, 2, time.Now().UTC()
}

func (n *Nova) serve(w http.ResponseWriter, r *http.Request, parts []string) {
	w.Header().Set("X-Openstack-Request-Id", "req-of-the-fake-nova")
	wanted := "compute 2.59"
	if r.Method == http.MethodPut && parts[0] == "servers" {
		wanted = "compute 2.85"
	}
	if r.Method == http.MethodGet && len(parts) == 2 && parts[0] == "servers" && r.Header.Get("OpenStack-API-Version") == tellsLockedReason {
		wanted = tellsLockedReason
		if n.BeforeLockedReason {
			reply(w, http.StatusNotAcceptable, nil)
			return
		}
	}
	_, all := r.URL.Query()["all_tenants"]
	switch {
	case r.Header.Get("OpenStack-API-Version") != wanted:
		novaRefuses(w, http.StatusBadRequest, "badRequest", "the fake Nova speaks "+wanted)
	case r.Method == http.MethodGet && len(parts) == 3 && parts[2] == "os-volume_attachments":
		n.listVolumes(w, parts[1])
	case parts[0] == "servers" && !all:
		n.serveServer(w, r, parts[1:])
	case n.NotAdmin:
		novaRefuses(w, http.StatusForbidden, "forbidden", "Policy doesn't allow it to be performed.")
	case parts[0] == "servers" && n.ListsAll && r.URL.Query().Get("status") == "deleted":
		novaRefuses(w, http.StatusForbidden, "forbidden", "Only administrators may list deleted instances")
	case parts[0] == "servers" && r.Method == http.MethodGet:
		n.listServers(w, r, slices.Contains(parts, "detail"))
	case parts[0] == "os-migrations" && r.Method == http.MethodGet:
		n.listMigrations(w, r)
	case parts[0] == "os-simple-tenant-usage" && n.Down != "" && !n.Returns:
		novaRefuses(w, http.StatusInternalServerError, "computeFault", "Unexpected API Error.")
	case parts[0] == "os-simple-tenant-usage":
		n.Down = ""
		reply(w, http.StatusOK, map[string]any{"tenant_usage": map[string]any{}})
	case parts[0] == "os-services":
		n.serveServices(w, r, parts[1:])
	default:
		reply(w, http.StatusNotFound, nil)
	}
}

// novaRefuses answers as Nova does: with one key, which names the kind of error.
func novaRefuses(w http.ResponseWriter, status int, kind, message string) {
	reply(w, status, map[string]any{kind: map[string]any{"code": status, "message": message}})
}

// answers says whether a cell is not down.
func (n *Nova) answers(cell string) bool { return cell == "" || cell != n.Down }

// listMigrations takes for a marker also what the filters leave out, or what is deleted
// (nova/compute/migration_list.py get_marker_record).
func (n *Nova) listMigrations(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	all := slices.Clone(n.Migrations)
	all = slices.DeleteFunc(all, func(m Migration) bool { return !n.answers(m.Cell) })
	from := -1
	if marker := query.Get("marker"); marker != "" {
		if from = slices.IndexFunc(all, func(m Migration) bool { return m.UUID == marker }); from < 0 {
			novaRefuses(w, http.StatusBadRequest, "badRequest", "Marker "+marker+" could not be found.")
			return
		}
	}
	all = slices.DeleteFunc(all[from+1:], func(m Migration) bool {
		return m.Deleted || query.Has("instance_uuid") && m.Instance != query.Get("instance_uuid") || query.Has("host") &&
			m.SourceHost != query.Get("host")
	})
	page := []any{}
	for _, m := range all[:min(n.PageSize, len(all))] {
		var updated any
		if !m.Updated.IsZero() {
			updated = m.Updated.UTC().Format("2006-01-02T15:04:05.000000")
		}
		page = append(page, map[string]any{
			"id": 1, "uuid": m.UUID, "status": m.Status, "instance_uuid": m.Instance, "migration_type": cmp.Or(m.Type, "resize"),
			"source_compute": m.SourceHost, "source_node": m.SourceNode,
			"created_at": "2026-01-29T13:42:02.000000", "updated_at": updated, "new_instance_type_id": nil,
		})
	}
	body := map[string]any{"migrations": page}
	if n.PageSize < len(all) {
		body["migrations_links"] = []any{map[string]any{"rel": "next", "href": strings.TrimSuffix(r.URL.String(), "?")}}
	}
	reply(w, http.StatusOK, body)
}
