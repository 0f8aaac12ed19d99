package openstacktest

import (
	"net/http"
	"slices"
)

// markerOnly is the key of what is in no list, but may be a marker.
const markerOnly = "marker only"

// list answers with a page of what follows the marker and passes the filters, which are the objects' keys by what a query
// calls them; more says whether others follow.
func list(r *http.Request, kind string, all []object, size int, filters map[string]string) (page answer, more bool) {
	query := r.URL.Query()
	if marker := query.Get("marker"); marker != "" {
		at := slices.IndexFunc(all, func(o object) bool { return o["id"] == marker || o["uuid"] == marker })
		if at < 0 {
			return faults(http.StatusBadRequest, "badRequest", "Marker "+marker+" could not be found."), false
		}
		all = all[at+1:]
	}
	found := []object{}
	for _, o := range all {
		passes := o[markerOnly] == nil
		for name, key := range filters {
			value, _ := o[key].(string)
			passes = passes && (query.Get(name) == "" || slices.Contains(query[name], value))
		}
		if passes {
			found = append(found, o)
		}
	}
	return shows(kind, found[:min(size, len(found))]), len(found) > size
}

// resource is what services show by its id.
type resource interface{ json() object }

func shown[T resource](all []T) (list []object) {
	for _, one := range all {
		list = append(list, one.json())
	}
	return list
}

// one handles a request for the one of all that its path names.
func one[T resource](all *[]T, handle func(*http.Request, T) answer) func(*http.Request) answer {
	return func(r *http.Request) answer {
		for _, one := range *all {
			if one.json()["id"] == r.PathValue("id") {
				return handle(r, one)
			}
		}
		return faults(http.StatusNotFound, "itemNotFound", r.PathValue("id")+" could not be found.")
	}
}

// show is a handler that shows what there is.
func show[T resource](kind string) func(*http.Request, T) answer {
	return func(_ *http.Request, one T) answer { return shows(kind, one.json()) }
}

// without is all but this one.
func without[T comparable](all []T, one T) []T {
	return slices.DeleteFunc(all, func(other T) bool { return other == one })
}
