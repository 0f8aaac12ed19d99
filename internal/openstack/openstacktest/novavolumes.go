package openstacktest

import (
	"encoding/json"
	"net/http"
	"slices"
)

// VolumeMapping is a volume of a server as GET /servers/{uuid}/os-volume_attachments
// shows it, and the attachment that Nova knows of.
type VolumeMapping struct {
	Volume, Attachment, Device string
	DeleteOnTermination        bool
}

// serveVolumeAttachments lists at 2.79, and changes delete_on_termination at 2.85.
func (n *Nova) serveVolumeAttachments(w http.ResponseWriter, r *http.Request, parts []string) {
	server, ok := n.Servers[parts[1]]
	if !ok || n.NotAdmin {
		reply(w, http.StatusNotFound, itemNotFound("Instance "+parts[1]+" could not be found."))
		return
	}
	switch route := r.Method + " " + r.Header.Get("OpenStack-API-Version"); {
	case route == "GET compute 2.79" && len(parts) == 3:
		list := []any{}
		for _, mapping := range server.Volumes {
			list = append(list, map[string]any{
				"id": mapping.Volume, "volumeId": mapping.Volume, "serverId": parts[1], "device": mapping.Device, "tag": nil,
				"delete_on_termination": mapping.DeleteOnTermination,
			})
		}
		reply(w, http.StatusOK, map[string]any{"volumeAttachments": list})
	case route == "PUT compute 2.85" && len(parts) == 4:
		var request struct {
			VolumeAttachment struct {
				VolumeID            string `json:"volumeId"`
				DeleteOnTermination bool   `json:"delete_on_termination"`
			} `json:"volumeAttachment"`
		}
		at := slices.IndexFunc(server.Volumes, func(mapping VolumeMapping) bool { return mapping.Volume == parts[3] })
		if err := json.NewDecoder(r.Body).Decode(&request); err != nil || request.VolumeAttachment.VolumeID != parts[3] {
			reply(w, http.StatusBadRequest, map[string]any{"badRequest": map[string]any{"message": "the fake Nova swaps no volumes"}})
			return
		}
		if at < 0 {
			reply(w, http.StatusNotFound, itemNotFound("No volume Block Device Mapping with id "+parts[3]+"."))
			return
		}
		server.Volumes[at].DeleteOnTermination = request.VolumeAttachment.DeleteOnTermination
		reply(w, http.StatusAccepted, nil)
	default:
		reply(w, http.StatusBadRequest, map[string]any{"badRequest": map[string]any{"message": "the fake Nova does not know " + route}})
	}
}

// uses says whether Nova would tell Cinder that this attachment is in use.
func (n *Nova) uses(server, volume, attachment string) bool {
	return slices.ContainsFunc(n.Servers[server].Volumes, func(mapping VolumeMapping) bool {
		return mapping.Volume == volume && mapping.Attachment == attachment
	})
}

func itemNotFound(message string) map[string]any {
	return map[string]any{"itemNotFound": map[string]any{"code": 404, "message": message}}
}
