package openstacktest

import (
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
	// "hangs", or "fails", at the second look, too.
	Agent string
	// Written is how often its row was written: it shows in updated_at, in seconds.
	Written int
	// Reports: its agent writes the row before each look.
	Reports bool
	Cell    string
}

func (s Service) down() bool { return s.ForcedDown || s.Silent }

// compute is where a host's nova-compute is among the services; -1 if it has none.
func (n *Nova) compute(host string) int {
	return slices.IndexFunc(n.Services, func(s Service) bool { return s.Host == host && s.Binary == "nova-compute" })
}

func (n *Nova) hostStatus(host string) string {
	at := n.compute(host)
	switch {
	case at < 0:
		return ""
	case n.Services[at].ForcedDown:
		return "DOWN"
	case n.Services[at].Disabled:
		return "MAINTENANCE"
	case n.Services[at].Silent:
		return "UNKNOWN"
	}
	return "UP"
}

func (n *Nova) shownService(s Service) object {
	return object{
		"id": s.ID, "host": s.Host, "binary": s.Binary, "zone": "nova", "state": map[bool]string{false: "up", true: "down"}[s.down()],
		"status":          map[bool]string{false: "enabled", true: "disabled"}[s.Disabled],
		"disabled_reason": orNull(s.Reason), "forced_down": s.ForcedDown,
		"updated_at": n.began.Add(time.Duration(s.Written) * time.Second).Format("2006-01-02T15:04:05.000000"),
	}
}

func (n *Nova) listServices(r *http.Request) answer {
	var all []object
	for i := range n.Services {
		if n.Services[i].Reports {
			n.Services[i].Written++
		}
		if n.answers(n.Services[i].Cell) {
			all = append(all, n.shownService(n.Services[i]))
		}
	}
	page, _ := list(r, "services", all, len(all), map[string]string{"host": "host", "binary": "binary"})
	return page
}

// updateService is nova/api/openstack/compute/services.py update, from 2.53 on.
func (n *Nova) updateService(r *http.Request) answer {
	forcedDown, id := sent(r).Get("forced_down"), r.PathValue("id")
	at := slices.IndexFunc(n.Services, func(s Service) bool { return s.ID == id })
	switch {
	case at < 0:
		return faults(http.StatusNotFound, "itemNotFound", "Service "+id+" could not be found.")
	case n.Services[at].Binary != "nova-compute":
		return faults(http.StatusBadRequest, "badRequest",
			"Updating a "+n.Services[at].Binary+" service is not supported. Only nova-compute services can be updated.")
	case !forcedDown.IsBool():
		return faults(http.StatusBadRequest, "badRequest", "No updates were requested. Fields 'status' or 'forced_down' should be specified.")
	}
	s := &n.Services[at]
	if s.ForcedDown != forcedDown.Bool() { // SQLAlchemy writes no row in which nothing changes
		s.ForcedDown = forcedDown.Bool()
		s.Written++
	}
	return shows("service", n.shownService(*s))
}
