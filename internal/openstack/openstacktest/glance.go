package openstacktest

import "net/http"

// Glance is the fake image API.
type Glance struct {
	Images   []Image
	NoGlance bool // no endpoint in the catalog
}

// Image is an image; Mapping is its property block_device_mapping, a text of JSON.
type Image struct{ ID, Name, Instance, Mapping string }

func (g *Glance) routes() routes {
	return routes{"GET /images": func(r *http.Request) answer {
		var all []object
		for _, image := range g.Images {
			body := object{"id": image.ID, "name": image.Name, "status": "active", "created_at": "2026-01-29T13:42:02Z"}
			if image.Instance != "" {
				body["instance_uuid"] = image.Instance
			}
			if image.Mapping != "" {
				body["block_device_mapping"], body["bdm_v2"] = image.Mapping, "True"
			}
			all = append(all, body)
		}
		page, _ := list(r, "images", all, len(all), map[string]string{"instance_uuid": "instance_uuid", "bdm_v2": "bdm_v2"})
		return page
	}}
}
