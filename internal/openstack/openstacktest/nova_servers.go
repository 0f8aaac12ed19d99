package openstacktest

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Server is a server as GET /servers/{uuid} shows it.
type Server struct {
	Status, Host string
	Node         string // the hypervisor's host name; empty: as Host
	Task         string
	VMState      string    // empty: that of the status
	Updated      time.Time // zero: long ago
	LockedReason string
	Locked       bool
	// Protected is disable_terminate of the database.
	Protected bool
	// Unmapped: it is listed, but not found.
	Unmapped bool
	// Partial: its cell does not answer.
	Partial bool
	Cell    string
	Volumes map[string]bool // delete_on_termination, by the volumes' ids
	// Attached has of some volumes the device, and the attachment that Nova knows.
	Attached map[string]Attached
	Fault    string
	// UserData is shown to admins.
	UserData string
	// looks is how often it is still seen in the middle of its delete.
	looks int
}

func (s Server) vmState() string {
	if s.VMState != "" {
		return s.VMState
	}
	return map[string]string{"ACTIVE": "active", "ERROR": "error", "SHUTOFF": "stopped", "BUILD": "building", "DELETED": "deleted"}[s.Status]
}

func (n *Nova) serveServer(w http.ResponseWriter, r *http.Request, parts []string) {
	uuid := parts[0]
	server, ok := n.Servers[uuid]
	if !ok || server.Unmapped || n.NotAdmin || n.ListsAll {
		novaRefuses(w, http.StatusNotFound, "itemNotFound", "Instance "+uuid+" could not be found.")
		return
	}
	if !n.answers(server.Cell) {
		novaRefuses(w, http.StatusInternalServerError, "computeFault", "Unexpected API Error.")
		return
	}
	var body map[string]json.RawMessage
	_ = json.NewDecoder(r.Body).Decode(&body)
	_, force := body["forceDelete"]
	_, reset := body["os-resetState"]
	switch {
	case r.Method == http.MethodGet && len(parts) == 1:
		if server.looks > 0 {
			if server.looks--; server.looks == 0 {
				delete(n.Servers, uuid)
				break
			}
			n.Servers[uuid] = server
		}
		shown := n.shown(uuid, server)
		if r.Header.Get("OpenStack-API-Version") != tellsLockedReason {
			delete(shown, "locked_reason")
		}
		reply(w, http.StatusOK, map[string]any{"server": shown})
		return
	case r.Method == http.MethodDelete && len(parts) == 1:
		n.deleteServer(uuid, server)
		w.WriteHeader(http.StatusNoContent)
		return
	case r.Method == http.MethodPost && force:
		n.deleteServer(uuid, server)
		w.WriteHeader(http.StatusAccepted)
		return
	case r.Method == http.MethodPost && reset:
		server.Status, server.VMState, server.Task, server.Updated = "ERROR", "error", "", time.Now()
		n.Servers[uuid] = server
		w.WriteHeader(http.StatusAccepted)
		return
	case r.Method == http.MethodPut && len(parts) == 3:
		n.setFlag(w, server, parts[2], body["volumeAttachment"])
		return
	}
	novaRefuses(w, http.StatusNotFound, "itemNotFound", "Instance "+uuid+" could not be found.")
}

func (n *Nova) setFlag(w http.ResponseWriter, server Server, volume string, body json.RawMessage) {
	var wanted struct {
		DeleteOnTermination bool `json:"delete_on_termination"`
	}
	_, attached := server.Volumes[volume]
	if err := json.Unmarshal(body, &wanted); err != nil || !attached {
		novaRefuses(w, http.StatusNotFound, "itemNotFound", "No volume Block Device Mapping with id "+volume+".")
		return
	}
	server.Volumes[volume] = wanted.DeleteOnTermination
	w.WriteHeader(http.StatusAccepted)
}

// deleteServer is nova/compute/api.py _delete, and what nova-compute makes of it.
func (n *Nova) deleteServer(uuid string, server Server) {
	at := slices.IndexFunc(n.Services, func(s Service) bool { return s.Host == server.Host && s.Binary == "nova-compute" })
	switch {
	case server.Protected:
		return
	case server.Host == "" || at < 0 || n.Services[at].down():
		delete(n.Servers, uuid)
		return
	case server.Task == "deleting" || server.Task == "soft-deleting":
		// Ignored, but written all the same.
		server.Updated = time.Now()
		n.Servers[uuid] = server
		return
	}
	server.Task, server.Updated = "deleting", time.Now()
	switch n.Services[at].Agent {
	case "":
		server.looks = 2
	case "fails":
		server.Task, server.Status, server.VMState, server.Fault = "", "ERROR", "error", "Failed to terminate process"
	}
	n.Servers[uuid] = server
}

func (n *Nova) shown(uuid string, server Server) map[string]any {
	if server.Partial {
		return map[string]any{"id": uuid, "status": "UNKNOWN", "created": "2026-01-29T13:42:02Z"}
	}
	updated := server.Updated
	if updated.IsZero() {
		updated = time.Date(2026, 1, 29, 13, 42, 2, 0, time.UTC)
	}
	body := map[string]any{
		"id": uuid, "name": "vm1", "status": server.Status, "tenant_id": "project-1", "user_id": "user-1", "locked": server.Locked,
		"locked_reason":       server.LockedReason,
		"OS-EXT-STS:vm_state": server.vmState(), "OS-EXT-STS:power_state": 1, "OS-EXT-STS:task_state": nil,
		"OS-EXT-SRV-ATTR:instance_name": "instance-0000002a", "OS-EXT-SRV-ATTR:user_data": server.UserData,
		"OS-EXT-SRV-ATTR:root_device_name": "/dev/vda",
		"OS-EXT-SRV-ATTR:host":             nil, "OS-EXT-SRV-ATTR:hypervisor_hostname": nil,
		"created": "2026-01-29T13:42:02Z", "updated": updated.UTC().Format(time.RFC3339),
		"flavor": map[string]any{"original_name": "m1.nano", "vcpus": 1},
	}
	if server.Host != "" {
		body["OS-EXT-SRV-ATTR:host"] = server.Host
		body["OS-EXT-SRV-ATTR:hypervisor_hostname"] = cmp.Or(server.Node, server.Host)
	}
	if server.Task != "" {
		body["OS-EXT-STS:task_state"] = server.Task
	}
	if server.Fault != "" {
		body["fault"] = map[string]any{"code": 500, "message": server.Fault, "created": "2026-01-29T13:42:02Z"}
	}
	body["host_status"] = n.hostStatus(server.Host)
	volumes := []any{}
	for _, id := range slices.Sorted(maps.Keys(server.Volumes)) {
		volumes = append(volumes, map[string]any{"id": id, "delete_on_termination": server.Volumes[id]})
	}
	body["os-extended-volumes:volumes_attached"] = volumes
	return body
}

func (n *Nova) hostStatus(host string) string {
	for _, s := range n.Services {
		switch {
		case s.Host != host || s.Binary != "nova-compute":
		case s.ForcedDown:
			return "DOWN"
		case s.Disabled:
			return "MAINTENANCE"
		case s.Silent:
			return "UNKNOWN"
		default:
			return "UP"
		}
	}
	return ""
}

func (n *Nova) listServers(w http.ResponseWriter, r *http.Request, detail bool) {
	query := r.URL.Query()
	var found []string
	for _, uuid := range slices.Sorted(maps.Keys(n.Servers)) {
		server := n.Servers[uuid]
		for key, value := range map[string]string{"uuid": uuid, "host": server.Host, "status": server.Status} {
			if wanted := query.Get(key); wanted != "" && wanted != value {
				uuid = ""
			}
		}
		if !n.answers(server.Cell) {
			uuid = ""
		}
		if uuid != "" {
			found = append(found, uuid)
		}
	}
	from := 0
	if marker := query.Get("marker"); marker != "" {
		from = 1 + slices.Index(found, marker)
	}
	page := []any{}
	for _, uuid := range found[from:min(from+n.PageSize, len(found))] {
		one := map[string]any{"id": uuid, "name": "vm1"}
		if detail {
			one = n.shown(uuid, n.Servers[uuid])
			delete(one, "locked_reason")
		}
		page = append(page, one)
	}
	body := map[string]any{"servers": page}
	if from+n.PageSize < len(found) {
		body["servers_links"] = []any{map[string]any{"rel": "next", "href": strings.TrimSuffix(r.URL.String(), "?")}}
	}
	reply(w, http.StatusOK, body)
}
