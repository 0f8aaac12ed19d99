package openstacktest

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// Service is a service as GET /os-services shows it.
type Service struct {
	ID, Host, Binary string
	ForcedDown       bool
	Disabled         bool
	Reason           string
	// Silent: it has not reported for a while.
	Silent bool
	// Agent is what nova-compute makes of a delete: done at the second look, or
	// "hangs", or "fails".
	Agent string
	// Written is how often its row was written: it shows in updated_at, in seconds.
	Written int
	// Reports: its agent writes the row before each look.
	Reports bool
	Cell    string
}

func (s Service) down() bool { return s.ForcedDown || s.Silent }

func (n *Nova) shownService(s Service) map[string]any {
	body := map[string]any{
		"id": s.ID, "host": s.Host, "binary": s.Binary, "zone": "nova", "state": "up", "status": "enabled", "disabled_reason": nil,
		"forced_down": s.ForcedDown,
		"updated_at":  n.began.Add(time.Duration(s.Written) * time.Second).Format("2006-01-02T15:04:05.000000"),
	}
	if s.down() {
		body["state"] = "down"
	}
	if s.Disabled {
		body["status"] = "disabled"
	}
	if s.Reason != "" {
		body["disabled_reason"] = s.Reason
	}
	return body
}

func (n *Nova) serveServices(w http.ResponseWriter, r *http.Request, parts []string) {
	switch {
	case r.Method == http.MethodGet && len(parts) == 0:
		found := []any{}
		for i, s := range n.Services {
			if s.Reports {
				n.Services[i].Written++
			}
			host, binary := r.URL.Query().Get("host"), r.URL.Query().Get("binary")
			if (host == "" || host == s.Host) && (binary == "" || binary == s.Binary) && n.answers(s.Cell) {
				found = append(found, n.shownService(n.Services[i]))
			}
		}
		reply(w, http.StatusOK, map[string]any{"services": found})
	case r.Method == http.MethodPut && len(parts) == 1:
		n.updateService(w, r, parts[0])
	default:
		reply(w, http.StatusNotFound, nil)
	}
}

// updateService is nova/api/openstack/compute/services.py update, from 2.53 on.
func (n *Nova) updateService(w http.ResponseWriter, r *http.Request, id string) {
	var body struct {
		ForcedDown *bool `json:"forced_down"`
	}
	err := json.NewDecoder(r.Body).Decode(&body)
	at := slices.IndexFunc(n.Services, func(s Service) bool { return s.ID == id })
	switch {
	case at < 0:
		novaRefuses(w, http.StatusNotFound, "itemNotFound", "Service "+id+" could not be found.")
		return
	case n.Services[at].Binary != "nova-compute":
		novaRefuses(w, http.StatusBadRequest, "badRequest",
			"Updating a "+n.Services[at].Binary+" service is not supported. Only nova-compute services can be updated.")
		return
	case err != nil || body.ForcedDown == nil:
		novaRefuses(w, http.StatusBadRequest, "badRequest", "No updates were requested. Fields 'status' or 'forced_down' should be specified.")
		return
	}
	s := &n.Services[at]
	if s.ForcedDown != *body.ForcedDown { // SQLAlchemy writes no row in which nothing changes
		s.ForcedDown = *body.ForcedDown
		s.Written++
	}
	reply(w, http.StatusOK, map[string]any{"service": n.shownService(*s)})
}
