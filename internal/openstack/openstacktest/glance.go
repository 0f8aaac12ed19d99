package openstacktest

import "net/http"

// Glance is the fake image API.
type Glance struct {
	Images   []Image
	NoGlance bool // no endpoint in the catalog
}

// Image is an image; Mapping is its property block_device_mapping, a text of JSON.
type Image struct{ ID, Name, Instance, Mapping string }

func (g *Glance) serve(w http.ResponseWriter, r *http.Request, parts []string) {
	if len(parts) != 1 || parts[0] != "images" {
		reply(w, http.StatusNotFound, nil)
		return
	}
	list := []any{}
	for _, image := range g.Images {
		query := r.URL.Query()
		if query.Has("instance_uuid") && image.Instance != query.Get("instance_uuid") || query.Get("bdm_v2") == "True" && image.Mapping == "" {
			continue
		}
		body := map[string]any{"id": image.ID, "name": image.Name, "status": "active", "created_at": "2026-01-29T13:42:02Z"}
		if image.Instance != "" {
			body["instance_uuid"] = image.Instance
		}
		if image.Mapping != "" {
			body["block_device_mapping"], body["bdm_v2"] = image.Mapping, "True"
		}
		list = append(list, body)
	}
	reply(w, http.StatusOK, map[string]any{"images": list, "schema": "/v2/schemas/images", "first": "/v2/images"})
}
