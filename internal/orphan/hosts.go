package orphan

import (
	"maps"
	"slices"
	"time"
)

// What names a host as one that may have a domain of an instance, beside the host's own domains and folders.
const (
	byRow        = "row"        // instances.host
	byRecord     = "record"     // its migrations, faults, events, launched_on
	byAllocation = "allocation" // the resource provider of something that a consumer of it holds
)

// Host is one to look at or to act on, whose hypervisor was read.
type Host struct {
	Host       string `json:"host"`      // the inventory's name
	NovaHost   string `json:"nova_host"` // the compute service's
	Hypervisor string `json:"hypervisor_hostname"`
	// NamedBy says why it is one: row, record, allocation, domain, instance_files.
	NamedBy []string `json:"named_by"`
	// Domain is the name of the instance's domain there, and State its state; "" if it has none.
	Domain string `json:"domain"`
	State  string `json:"state"`
	// ComputeID are the compute nodes of which its nova-compute must find one named in its file to start again; empty where its release has
	// no such file.
	ComputeID []string `json:"compute_id"`
}

// Unasked is a host that may have something of the instance, and whose hypervisor was not read.
type Unasked struct {
	NovaHost string `json:"nova_host"`
	Why      string `json:"why"` // a predicate: the host "could not be reached"
	Gone     bool   `json:"gone"`
	names    []string
	// hypervisor is that of the inventory, nil where there is none.
	hypervisor *Hypervisor
}

// service is a nova-compute with its cell's clock.
type service struct {
	ComputeService
	now      time.Time
	downTime time.Duration
}

// reports says that its process was at work a moment ago, whether or not somebody had it count as down.
func (s service) reports() bool { return !s.SeenAt.IsZero() && s.now.Sub(s.SeenAt) <= s.downTime }

// places matches all that names a host with what was read. A hypervisor that has the domain is looked at, too, whether or
// not Nova knows it.
func (f *finding) places(consents Consents) (hosts []Host, unasked []Unasked) {
	hosts, unasked = []Host{}, []Unasked{}
	at := map[*Hypervisor]int{}
	add := func(h *Hypervisor, by []string, names ...string) *Host {
		i, met := at[h]
		if !met {
			i, at[h] = len(hosts), len(hosts)
			hosts = append(hosts, Host{Host: h.Host, NovaHost: f.novaHost(h, names...), Hypervisor: h.Name, NamedBy: []string{}})
		}
		for _, by := range by {
			hosts[i].NamedBy = appendNew(hosts[i].NamedBy, by)
		}
		return &hosts[i]
	}
	miss := func(n named, h *Hypervisor, why string) {
		names := slices.Concat(n.nodes, f.novaNames(n.nodes, n.host))
		i := slices.IndexFunc(unasked, func(u Unasked) bool {
			return u.NovaHost == n.host || h != nil && u.hypervisor == h && f.isOne(u, n.host, names)
		})
		if i < 0 {
			i, unasked = len(unasked), append(unasked, Unasked{NovaHost: n.host, Why: why, hypervisor: h})
		}
		unasked[i].names = append(unasked[i].names, names...)
	}
	names := f.names()
	for _, n := range names {
		h, why := f.match(n, consents)
		if h != nil {
			why = h.unread(f.UUID)
		}
		if why == "" {
			add(h, n.by, n.host)
		} else {
			miss(n, h, why)
		}
	}
	for _, place := range f.domains[f.UUID] {
		host := add(place.hypervisor, []string{RemainsDomain})
		host.Domain, host.State = place.domain().Name, place.domain().State
	}
	for _, place := range f.files[f.UUID] {
		add(place.hypervisor, []string{RemainsFiles})
	}
	if f.mayBeAnywhere(len(names) > 0) {
		for _, m := range f.allHosts() {
			if m.hypervisor == nil {
				miss(m.named, nil, m.why)
			} else if why := m.hypervisor.unread(f.UUID); why != "" {
				miss(m.named, m.hypervisor, why)
			}
		}
		for i := range f.Hypervisors {
			h := &f.Hypervisors[i]
			if why := h.unread(f.UUID); why != "" && !slices.ContainsFunc(unasked, func(u Unasked) bool { return u.hypervisor == h }) {
				miss(named{host: f.novaHost(h)}, h, why)
			}
		}
	}
	consents.mark(unasked)
	for i := range hosts {
		hosts[i].ComputeID = f.computeIDs(hosts[i].NovaHost)
	}
	return hosts, unasked
}

func (x *index) computeIDs(novaHost string) []string {
	ids := []string{}
	if x.services[novaHost].Identified {
		for _, node := range x.nodesByHost[novaHost] {
			ids = append(ids, node.UUID)
		}
	}
	return ids
}

// isOne says that a host that was missed goes by that name, too: its names are among these, or the one is the short form of the
// other, and of no third.
func (x *index) isOne(u Unasked, host string, names []string) bool {
	if slices.ContainsFunc(names, func(name string) bool { return slices.Contains(u.names, name) }) {
		return true
	}
	isThird := func(name string) bool {
		return shortName(name) == shortName(host) && (!sameHost(name, host) || !sameHost(name, u.NovaHost))
	}
	return sameHost(host, u.NovaHost) && !slices.ContainsFunc(slices.AppendSeq(slices.Clone(u.names), maps.Keys(x.nodesByHost)), isThird)
}

// mark says which of them are gone by the caller's word. Where one of the inventory may be several of Nova's, its own names are
// no word for any.
func (c Consents) mark(unasked []Unasked) {
	may := map[*Hypervisor]int{}
	for _, u := range unasked {
		may[u.hypervisor]++
	}
	for i := range unasked {
		u, own := &unasked[i], []string{}
		if u.hypervisor != nil {
			own = append(own, u.hypervisor.Host, u.hypervisor.Name)
		}
		names := slices.Clone(u.names)
		if u.names = append(u.names, own...); may[u.hypervisor] == 1 {
			names = u.names
		}
		u.Gone = slices.ContainsFunc(names, func(name string) bool { return name != "" && slices.Contains(c.HostsGone, name) })
	}
}

// mayBeAnywhere says that no name leads to all hosts that may have something of it: it once ran and has no host any more,
// no row tells of it, or its folder may be on storage that hosts share.
func (f *finding) mayBeAnywhere(isNamed bool) bool {
	switch record := f.look.Record; {
	case f.look.Verdict == Live || f.look.Verdict == Busy || f.look.Verdict == Unknown:
		return false
	case f.Kind == KindFiles || f.Verdict == Absent:
		return true
	case record != nil && record.Launched && record.Host == "":
		return true
	}
	return f.row == nil && !isNamed && len(f.domains[f.UUID]) == 0
}
