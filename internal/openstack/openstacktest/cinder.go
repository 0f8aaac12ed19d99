package openstacktest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Cinder is the fake Cinder, at 3.27. Its lists are cut to pages of two.
type Cinder struct {
	Volumes     []*Volume
	Attachments []*Attachment
	Snapshots   []*Snapshot
	NoCinder    bool // no endpoint in the catalog
	NoVolumes   bool // the user is no admin of Cinder's: sees his own project only, which has nothing
	// Sticks are volumes whose status stays "detaching" when their last attachment is gone.
	Sticks map[string]bool
	// Linger are snapshots and volumes that are never deleted, but end in this status.
	Linger map[string]string

	nova *Nova
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

func (c *Cinder) init(nova *Nova) {
	c.nova, c.Sticks, c.Linger = nova, map[string]bool{}, map[string]string{}
}

func (c *Cinder) serve(w http.ResponseWriter, r *http.Request, parts []string, serviceToken string) {
	if r.Header.Get("OpenStack-API-Version") != "volume 3.27" {
		reply(w, http.StatusNotAcceptable, map[string]any{"computeFault": map[string]any{"message": "the fake Cinder only speaks 3.27"}})
		return
	}
	if given := r.Header.Get("X-Service-Token"); given != "" && given != serviceToken {
		reply(w, http.StatusUnauthorized,
			map[string]any{"error": map[string]any{"message": "The request you have made requires authentication."}})
		return
	}
	route := r.Method + " " + parts[0]
	if len(parts) > 1 {
		route += map[bool]string{true: "/detail", false: "/ID"}[parts[1] == "detail"]
	}
	if len(parts) > 2 {
		route += "/" + parts[2]
	}
	switch {
	case route == "GET os-services" && c.NoVolumes:
		reply(w, http.StatusForbidden, map[string]any{"forbidden": map[string]any{"code": 403,
			"message": "Policy doesn't allow volume_extension:services:index to be performed."}})
	case route == "GET os-services":
		reply(w, http.StatusOK, map[string]any{"services": []any{}})
	case route == "GET attachments/detail":
		c.listAttachments(w, r.URL.Query())
	case route == "GET snapshots/detail":
		c.listSnapshots(w, r.URL.Query())
	case route == "GET attachments/ID" && c.attachment(parts[1]) != nil:
		reply(w, http.StatusOK, map[string]any{"attachment": c.attachment(parts[1]).json()})
	case route == "DELETE attachments/ID" && c.attachment(parts[1]) != nil:
		c.deleteAttachment(w, c.attachment(parts[1]), r.Header.Get("X-Service-Token") != "")
	case route == "GET volumes/ID" && c.volume(parts[1]) != nil:
		reply(w, http.StatusOK, map[string]any{"volume": c.volumeJSON(c.volume(parts[1]))})
	case route == "DELETE volumes/ID" && c.volume(parts[1]) != nil:
		c.deleteVolume(w, c.volume(parts[1]))
	case route == "POST volumes/ID/action" && c.volume(parts[1]) != nil:
		c.reset(w, r, c.volume(parts[1]))
	case route == "GET snapshots/ID" && c.snapshot(parts[1]) != nil:
		reply(w, http.StatusOK, map[string]any{"snapshot": c.snapshot(parts[1]).json()})
	case route == "DELETE snapshots/ID" && c.snapshot(parts[1]) != nil:
		c.deleteSnapshot(w, c.snapshot(parts[1]))
	default:
		novaRefuses(w, http.StatusNotFound, "itemNotFound", strings.Join(parts, " ")+" could not be found.")
	}
}

func find[T any](all []*T, is func(*T) bool) *T {
	if at := slices.IndexFunc(all, is); at >= 0 {
		return all[at]
	}
	return nil
}

func (c *Cinder) volume(id string) *Volume {
	return find(c.Volumes, func(v *Volume) bool { return v.ID == id })
}

func (c *Cinder) attachment(id string) *Attachment {
	return find(c.Attachments, func(a *Attachment) bool { return a.ID == id })
}

func (c *Cinder) snapshot(id string) *Snapshot {
	return find(c.Snapshots, func(s *Snapshot) bool { return s.ID == id })
}

func (a *Attachment) json() map[string]any {
	return map[string]any{
		"id": a.ID, "volume_id": a.Volume, "instance": a.Instance, "status": a.Status, "attach_mode": "rw",
		"attached_at": "2026-01-29T13:42:02.000000", "detached_at": "", "connection_info": a.Info,
	}
}

func (s *Snapshot) json() map[string]any {
	return map[string]any{"id": s.ID, "name": s.Name, "volume_id": s.Volume, "status": s.Status, "size": 1,
		"created_at": "2026-01-29T13:42:02.000000"}
}

func (c *Cinder) volumeJSON(v *Volume) map[string]any {
	shown := []any{}
	for _, a := range c.Attachments {
		if a.Volume == v.ID && a.Status == "attached" {
			shown = append(shown, map[string]any{
				"id": v.ID, "volume_id": v.ID, "attachment_id": a.ID, "server_id": a.Instance, "device": a.Device, "host_name": a.Host,
			})
		}
	}
	return map[string]any{
		"id": v.ID, "name": v.Name, "status": v.Status, "size": 1, "multiattach": v.Multiattach, "attachments": shown,
		"bootable": map[bool]string{true: "true", false: "false"}[v.Bootable], "os-vol-tenant-attr:tenant_id": "project-1",
	}
}

// page is what follows the marker.
func page[T any](all []*T, query url.Values, id func(*T) string) []*T {
	if marker := query.Get("marker"); marker != "" {
		all = all[1+slices.IndexFunc(all, func(one *T) bool { return id(one) == marker }):]
	}
	return all[:min(2, len(all))]
}

func (c *Cinder) listAttachments(w http.ResponseWriter, query url.Values) {
	var found []*Attachment
	for _, a := range c.Attachments {
		asked := (!query.Has("instance_id") || a.Instance == query.Get("instance_id")) &&
			(!query.Has("volume_id") || a.Volume == query.Get("volume_id"))
		if asked && query.Get("all_tenants") != "" && !c.NoVolumes {
			found = append(found, a)
		}
	}
	list := []any{}
	for _, a := range page(found, query, func(a *Attachment) string { return a.ID }) {
		list = append(list, a.json())
	}
	reply(w, http.StatusOK, map[string]any{"attachments": list})
}

func (c *Cinder) listSnapshots(w http.ResponseWriter, query url.Values) {
	var found []*Snapshot
	for _, s := range c.Snapshots {
		if query.Get("volume_id") == s.Volume && query.Get("all_tenants") != "" && !c.NoVolumes {
			found = append(found, s)
		}
	}
	list := []any{}
	for _, s := range page(found, query, func(s *Snapshot) string { return s.ID }) {
		list = append(list, s.json())
	}
	reply(w, http.StatusOK, map[string]any{"snapshots": list})
}

// deleteAttachment is refused while Nova has it, unless it is a service that asks.
func (c *Cinder) deleteAttachment(w http.ResponseWriter, a *Attachment, byService bool) {
	if !byService && len(a.Info) > 0 && c.nova.uses(a.Instance, a.Volume, a.ID) {
		reply(w, http.StatusConflict, map[string]any{"conflictingRequest": map[string]any{
			"code": 409, "message": "Detach volume from instance " + a.Instance + " using the Compute API (HTTP 409)",
		}})
		return
	}
	c.Attachments = slices.DeleteFunc(c.Attachments, func(other *Attachment) bool { return other == a })
	left := []any{}
	for _, other := range c.Attachments {
		if other.Volume == a.Volume {
			left = append(left, map[string]any{"id": other.ID, "volume_id": other.Volume, "instance": other.Instance, "status": other.Status})
		}
	}
	if volume := c.volume(a.Volume); volume != nil && len(left) == 0 {
		volume.Status = "available"
		if c.Sticks[volume.ID] {
			volume.Status = "detaching"
		}
	}
	reply(w, http.StatusOK, map[string]any{"attachments": left})
}

func badRequest(message string) map[string]any {
	return map[string]any{"badRequest": map[string]any{"code": 400, "message": message}}
}

func (c *Cinder) deleteVolume(w http.ResponseWriter, v *Volume) {
	busy := slices.ContainsFunc(c.Snapshots, func(s *Snapshot) bool { return s.Volume == v.ID }) ||
		slices.ContainsFunc(c.Attachments, func(a *Attachment) bool { return a.Volume == v.ID })
	if busy || !slices.Contains([]string{"available", "error", "error_deleting"}, v.Status) {
		reply(w, http.StatusBadRequest, badRequest("Invalid volume: Volume status must be available or error or error_restoring or "+
			"error_extending or error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or "+
			"be disassociated from snapshots after volume transfer."))
		return
	}
	if status := c.Linger[v.ID]; status != "" {
		v.Status = status
	} else {
		c.Volumes = slices.DeleteFunc(c.Volumes, func(other *Volume) bool { return other == v })
	}
	reply(w, http.StatusAccepted, nil)
}

func (c *Cinder) deleteSnapshot(w http.ResponseWriter, s *Snapshot) {
	if !slices.Contains([]string{"available", "error", "error_deleting"}, s.Status) {
		reply(w, http.StatusBadRequest, badRequest("Invalid snapshot: Snapshot status must be available or error."))
		return
	}
	if status := c.Linger[s.ID]; status != "" {
		s.Status = status
	} else {
		c.Snapshots = slices.DeleteFunc(c.Snapshots, func(other *Snapshot) bool { return other == s })
	}
	reply(w, http.StatusAccepted, nil)
}

func (c *Cinder) reset(w http.ResponseWriter, r *http.Request, v *Volume) {
	var request struct {
		Reset struct {
			Status       string `json:"status"`
			AttachStatus string `json:"attach_status"`
		} `json:"os-reset_status"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || request.Reset.Status == "" {
		reply(w, http.StatusBadRequest, badRequest("the fake Cinder only resets states"))
		return
	}
	v.Status = request.Reset.Status
	if request.Reset.AttachStatus == "detached" {
		c.Attachments = slices.DeleteFunc(c.Attachments, func(a *Attachment) bool { return a.Volume == v.ID })
	}
	reply(w, http.StatusAccepted, nil)
}
