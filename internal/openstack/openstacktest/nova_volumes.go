package openstacktest

import (
	"maps"
	"net/http"
	"slices"
)

// Attached is what Nova knows of a volume of a server.
type Attached struct{ Device, Attachment string }

// listVolumes is GET /servers/{uuid}/os-volume_attachments. The fake says nothing of
// delete_on_termination there, which Nova does from 2.79 on.
func (n *Nova) listVolumes(w http.ResponseWriter, uuid string) {
	server, ok := n.Servers[uuid]
	if !ok || server.Unmapped || n.NotAdmin {
		novaRefuses(w, http.StatusNotFound, "itemNotFound", "Instance "+uuid+" could not be found.")
		return
	}
	list := []any{}
	for _, volume := range slices.Sorted(maps.Keys(server.Volumes)) {
		entry := map[string]any{"id": volume, "volumeId": volume, "serverId": uuid}
		if device := server.Attached[volume].Device; device != "" {
			entry["device"] = device
		}
		list = append(list, entry)
	}
	reply(w, http.StatusOK, map[string]any{"volumeAttachments": list})
}

// uses says whether Nova would tell Cinder that this attachment is in use.
func (n *Nova) uses(server, volume, attachment string) bool {
	return n.Servers[server].Attached[volume].Attachment == attachment
}
