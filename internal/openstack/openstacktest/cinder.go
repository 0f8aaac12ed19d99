package openstacktest

import (
	"net/http"
	"slices"
	"strings"
)

// Cinder is the fake Cinder, at 3.27.
type Cinder struct {
	PageSize    int // osapi_max_limit
	Volumes     []*Volume
	Attachments []*Attachment
	Snapshots   []*Snapshot
	NoCinder    bool // no endpoint in the catalog
	NoVolumes   bool // the user is no admin of Cinder's: sees his own project only, which has nothing
	// Sticks are volumes whose status stays "detaching" when their last attachment is gone.
	Sticks map[string]bool
	// Linger are snapshots and volumes that are never deleted, but end in this status.
	Linger map[string]string

	nova         *Nova
	serviceToken func() string
}

// Volume is a volume.
type Volume struct {
	ID, Name, Status string
	Multiattach      bool
	Bootable         bool
}

// Attachment is an attachment; its Info stands in connection_info.
type Attachment struct {
	ID, Volume, Instance, Status string
	Device, Host                 string
	Info                         map[string]any
}

// Snapshot is a snapshot of a volume.
type Snapshot struct{ ID, Name, Volume, Status string }

func (c *Cinder) routes(nova *Nova, serviceToken func() string) routes {
	c.nova, c.serviceToken, c.PageSize, c.Sticks, c.Linger = nova, serviceToken, 2, map[string]bool{}, map[string]string{}
	return routes{
		"GET /os-services":          c.listServices,
		"GET /attachments":          func(r *http.Request) answer { return c.list(r, "attachments", summaries(c.Attachments)) },
		"GET /attachments/detail":   func(r *http.Request) answer { return c.list(r, "attachments", shown(c.Attachments)) },
		"GET /attachments/{id}":     one(&c.Attachments, show[*Attachment]("attachment")),
		"DELETE /attachments/{id}":  one(&c.Attachments, c.deleteAttachment),
		"GET /snapshots/detail":     func(r *http.Request) answer { return c.list(r, "snapshots", shown(c.Snapshots)) },
		"GET /snapshots/{id}":       one(&c.Snapshots, show[*Snapshot]("snapshot")),
		"DELETE /snapshots/{id}":    one(&c.Snapshots, c.deleteSnapshot),
		"GET /volumes/detail":       c.listVolumes,
		"GET /volumes/{id}":         one(&c.Volumes, c.showVolume),
		"DELETE /volumes/{id}":      one(&c.Volumes, c.deleteVolume),
		"POST /volumes/{id}/action": one(&c.Volumes, c.reset),
	}
}

// refuses other versions, and a service token that is none.
func (c *Cinder) refuses(r *http.Request) (none answer) {
	if r.Header.Get("OpenStack-API-Version") != "volume 3.27" {
		return faults(http.StatusNotAcceptable, "computeFault", "the fake Cinder only speaks 3.27")
	}
	if given := r.Header.Get("X-Service-Token"); given != "" && given != c.serviceToken() {
		return unauthorized("The request you have made requires authentication.")
	}
	return none
}

func (a *Attachment) json() object {
	return object{
		"id": a.ID, "volume_id": a.Volume, "instance": a.Instance, "status": a.Status, "attach_mode": "rw",
		"attached_at": "2026-01-29T13:42:02.000000", "detached_at": "", "connection_info": a.Info,
	}
}

func (s *Snapshot) json() object {
	return object{"id": s.ID, "name": s.Name, "volume_id": s.Volume, "status": s.Status, "size": 1,
		"created_at": "2026-01-29T13:42:02.000000"}
}

func (v *Volume) json() object {
	return object{"id": v.ID, "name": v.Name, "status": v.Status, "size": 1, "multiattach": v.Multiattach,
		"bootable": map[bool]string{true: "true", false: "false"}[v.Bootable], "os-vol-tenant-attr:tenant_id": "project-1"}
}

// summaries are without what only the details have.
func summaries(all []*Attachment) []object {
	list := shown(all)
	for _, o := range list {
		for _, key := range []string{"attach_mode", "attached_at", "detached_at", "connection_info"} {
			delete(o, key)
		}
	}
	return list
}

func (c *Cinder) showVolume(_ *http.Request, v *Volume) answer { return shows("volume", c.volume(v)) }

// listVolumes takes a list of ids as Python writes it, and gives a link from a page that is full.
func (c *Cinder) listVolumes(r *http.Request) answer {
	all, ids := []object{}, strings.Split(strings.Trim(r.URL.Query().Get("id"), "[']"), "','")
	for _, v := range c.Volumes {
		if slices.Contains(ids, v.ID) {
			all = append(all, c.volume(v))
		}
	}
	page := c.list(r, "volumes", all)
	if found, _ := page.body["volumes"].([]object); len(found) == c.PageSize {
		page.body["volumes_links"] = []object{{"rel": "next", "href": "http://behind.the.proxy/volumes/detail?marker="}}
	}
	return page
}

func (c *Cinder) volume(v *Volume) object {
	body, attachments := v.json(), []object{}
	for _, a := range c.Attachments {
		if a.Volume == v.ID && a.Status == "attached" {
			attachments = append(attachments, object{
				"id": v.ID, "volume_id": v.ID, "attachment_id": a.ID, "server_id": a.Instance, "device": a.Device, "host_name": a.Host,
			})
		}
	}
	body["attachments"] = attachments
	return body
}

func (c *Cinder) listServices(*http.Request) answer {
	if c.NoVolumes {
		return faults(http.StatusForbidden, "forbidden", "Policy doesn't allow volume_extension:services:index to be performed.")
	}
	return shows("services", []object{})
}

// list has what is in other projects only if it is asked for.
func (c *Cinder) list(r *http.Request, kind string, all []object) answer {
	if r.URL.Query().Get("all_tenants") == "" || c.NoVolumes {
		all = nil
	}
	page, _ := list(r, kind, all, c.PageSize, map[string]string{"instance_id": "instance", "volume_id": "volume_id"})
	return page
}

// deleteAttachment is refused while Nova has it, unless it is a service that asks.
func (c *Cinder) deleteAttachment(r *http.Request, a *Attachment) answer {
	inUse := c.nova.Servers[a.Instance].Attached[a.Volume].Attachment == a.ID
	if r.Header.Get("X-Service-Token") == "" && len(a.Info) > 0 && inUse {
		return faults(http.StatusConflict, "conflictingRequest", "Detach volume from instance "+a.Instance+" using the Compute API (HTTP 409)")
	}
	c.Attachments = without(c.Attachments, a)
	left := slices.DeleteFunc(shown(c.Attachments), func(o object) bool { return o["volume_id"] != a.Volume })
	for _, volume := range c.Volumes {
		if volume.ID == a.Volume && len(left) == 0 {
			volume.Status = map[bool]string{true: "detaching", false: "available"}[c.Sticks[volume.ID]]
		}
	}
	return shows("attachments", left)
}

func deletable(status string) bool {
	return slices.Contains([]string{"available", "error", "error_deleting"}, status)
}

func (c *Cinder) deleteVolume(_ *http.Request, v *Volume) answer {
	busy := slices.ContainsFunc(c.Snapshots, func(s *Snapshot) bool { return s.Volume == v.ID }) ||
		slices.ContainsFunc(c.Attachments, func(a *Attachment) bool { return a.Volume == v.ID })
	if busy || !deletable(v.Status) {
		return faults(http.StatusBadRequest, "badRequest", "Invalid volume: Volume status must be available or error or error_restoring or "+
			"error_extending or error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or "+
			"be disassociated from snapshots after volume transfer.")
	}
	if v.Status = c.Linger[v.ID]; v.Status == "" {
		c.Volumes = without(c.Volumes, v)
	}
	return answer{http.StatusAccepted, nil}
}

func (c *Cinder) deleteSnapshot(_ *http.Request, s *Snapshot) answer {
	if !deletable(s.Status) {
		return faults(http.StatusBadRequest, "badRequest", "Invalid snapshot: Snapshot status must be available or error.")
	}
	if s.Status = c.Linger[s.ID]; s.Status == "" {
		c.Snapshots = without(c.Snapshots, s)
	}
	return answer{http.StatusAccepted, nil}
}

func (c *Cinder) reset(r *http.Request, v *Volume) answer {
	wanted := sent(r).Get("os-reset_status")
	if wanted.Get("status").String() == "" {
		return faults(http.StatusBadRequest, "badRequest", "the fake Cinder only resets states")
	}
	v.Status = wanted.Get("status").String()
	if wanted.Get("attach_status").String() == "detached" {
		c.Attachments = slices.DeleteFunc(c.Attachments, func(a *Attachment) bool { return a.Volume == v.ID })
	}
	return answer{http.StatusAccepted, nil}
}
