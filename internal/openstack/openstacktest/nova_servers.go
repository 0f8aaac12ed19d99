package openstacktest

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
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
	// Request: it is shown from its build request, and no cell has it.
	Request bool
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
	// looks is how often it is still seen in the middle of its delete, and fails says that this then ends in an error.
	looks int
	fails bool
}

// Attached is what Nova knows of a volume of a server.
type Attached struct{ Device, Attachment string }

func notFound(uuid string) answer {
	return faults(http.StatusNotFound, "itemNotFound", "Instance "+uuid+" could not be found.")
}

// server handles requests for one that the user finds.
func (n *Nova) server(handle func(*http.Request, string, Server) answer) func(*http.Request) answer {
	return func(r *http.Request) answer {
		id := r.PathValue("id")
		server, ok := n.Servers[id]
		switch {
		case !ok || server.Unmapped || n.NotAdmin || n.ListsAll:
			return notFound(id)
		case !n.answers(server.Cell):
			return unexpected()
		}
		return handle(r, id, server)
	}
}

func (n *Nova) showServer(r *http.Request, id string, server Server) answer {
	if server.looks > 0 {
		server.looks--
		switch {
		case server.looks > 0:
		case server.fails:
			server.Status, server.VMState, server.Task, server.Updated = "ERROR", "error", "", time.Now()
			server.Fault = "Failed to terminate process"
		default:
			delete(n.Servers, id)
			return notFound(id)
		}
		n.Servers[id] = server
	}
	return shows("server", n.shown(id, server, r.Header.Get("OpenStack-API-Version") == tellsLockedReason))
}

func (n *Nova) act(r *http.Request, id string, server Server) answer {
	action := sent(r)
	if action.Get("forceDelete").Exists() {
		return n.deleteServer(r, id, server)
	}
	if !action.Get("os-resetState").Exists() {
		return notFound(id)
	}
	server.Status, server.VMState, server.Task, server.Updated = "ERROR", "error", "", time.Now()
	n.Servers[id] = server
	return answer{http.StatusAccepted, nil}
}

func (n *Nova) setFlag(r *http.Request, _ string, server Server) answer {
	volume, flag := r.PathValue("volume"), sent(r).Get("volumeAttachment.delete_on_termination")
	if _, attached := server.Volumes[volume]; !flag.IsBool() || !attached {
		return faults(http.StatusNotFound, "itemNotFound", "No volume Block Device Mapping with id "+volume+".")
	}
	server.Volumes[volume] = flag.Bool()
	return answer{http.StatusAccepted, nil}
}

// listVolumes says nothing of delete_on_termination, which Nova does from 2.79 on.
func (n *Nova) listVolumes(r *http.Request) answer {
	id := r.PathValue("id")
	server, ok := n.Servers[id]
	if !ok || server.Unmapped || n.NotAdmin {
		return notFound(id)
	}
	list := []object{}
	for _, volume := range slices.Sorted(maps.Keys(server.Volumes)) {
		entry := object{"id": volume, "volumeId": volume, "serverId": id}
		if device := server.Attached[volume].Device; device != "" {
			entry["device"] = device
		}
		list = append(list, entry)
	}
	return shows("volumeAttachments", list)
}

// deleteServer is nova/compute/api.py _delete, and what nova-compute makes of it.
func (n *Nova) deleteServer(r *http.Request, id string, server Server) answer {
	taken, at := answer{http.StatusNoContent, nil}, n.compute(server.Host)
	if r.Method == http.MethodPost {
		taken.status = http.StatusAccepted
	}
	switch {
	case server.Protected:
		return taken
	case at < 0 || n.Services[at].down():
		delete(n.Servers, id)
		return taken
	case server.Task == "deleting" || server.Task == "soft-deleting": // ignored, but written all the same
	default:
		server.Task, server.fails = "deleting", n.Services[at].Agent == "fails"
		if n.Services[at].Agent != "hangs" {
			server.looks = 2
		}
	}
	server.Updated = time.Now()
	n.Servers[id] = server
	return taken
}

// orNull is null in JSON if it is empty.
func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func (n *Nova) shown(id string, server Server, lockedReason bool) object {
	if server.Partial {
		return object{"id": id, "status": "UNKNOWN", "created": "2026-01-29T13:42:02Z"}
	}
	updated := server.Updated
	if updated.IsZero() {
		updated = time.Date(2026, 1, 29, 13, 42, 2, 0, time.UTC)
	}
	volumes := []object{}
	for _, volume := range slices.Sorted(maps.Keys(server.Volumes)) {
		volumes = append(volumes, object{"id": volume, "delete_on_termination": server.Volumes[volume]})
	}
	states := map[string]string{"ACTIVE": "active", "ERROR": "error", "SHUTOFF": "stopped", "BUILD": "building", "DELETED": "deleted"}
	node := ""
	if server.Host != "" {
		node = cmp.Or(server.Node, server.Host)
	}
	body := object{
		"id": id, "name": "vm1", "status": server.Status, "tenant_id": "project-1", "user_id": "user-1", "locked": server.Locked,
		"OS-EXT-STS:vm_state": cmp.Or(server.VMState, states[server.Status]), "OS-EXT-STS:power_state": 1,
		"OS-EXT-STS:task_state":         orNull(server.Task),
		"OS-EXT-SRV-ATTR:instance_name": "instance-0000002a", "OS-EXT-SRV-ATTR:user_data": server.UserData,
		"OS-EXT-SRV-ATTR:root_device_name": "/dev/vda",
		"OS-EXT-SRV-ATTR:host":             orNull(server.Host), "OS-EXT-SRV-ATTR:hypervisor_hostname": orNull(node),
		"created": "2026-01-29T13:42:02Z", "updated": updated.UTC().Format(time.RFC3339), "host_status": n.hostStatus(server.Host),
		"flavor": object{"original_name": "m1.nano", "vcpus": 1}, "os-extended-volumes:volumes_attached": volumes,
	}
	if server.Request { // which was never updated: Nova tells the time of the question
		body["OS-EXT-SRV-ATTR:instance_name"] = ""
		body["created"], body["updated"] = body["updated"], time.Now().UTC().Format(time.RFC3339)
	}
	if lockedReason {
		body["locked_reason"] = server.LockedReason
	}
	if server.Fault != "" {
		body["fault"] = object{"code": 500, "message": server.Fault, "created": "2026-01-29T13:42:02Z"}
	}
	return body
}
