package orphan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Doubt is an instance that may be an orphan, if what could not be read were known.
type Doubt struct {
	UUID    string   `json:"uuid"`
	Name    string   `json:"name"`
	Reasons []string `json:"reasons"`
	Hosts   []string `json:"hosts"`
}

// doubts says why the instance may be no orphan, or have more that is left, for all that could be read.
func (f *finding) doubts() (reasons []string) {
	if f.Verdict == Unknown {
		return []string{"it cannot be judged"}
	}
	if f.Verdict == Lost && f.elsewhereOnly() {
		return []string{fmt.Sprintf("libvirt: %s is no compute node of this cloud, nor has it a resource provider: what is there may be another "+
			"cloud's. If it is, take the host out of the inventory's compute hosts", strings.Join(f.Hosts, ", "))}
	}
	hosts, anywhere := slices.Clone(f.Hosts), ""
	switch {
	case f.Kind == KindFiles:
		anywhere = "its folder may be on storage that the hosts share"
	case len(hosts) == 0 && f.row == nil:
		anywhere = "no host of it is known"
	case f.Verdict != Live:
		hosts = append(hosts, f.look.Hosts...)
	}
	for _, host := range slices.Sorted(maps.Keys(f.unreadHosts)) {
		switch {
		case slices.Contains(hosts, host):
			reasons = append(reasons, fmt.Sprintf("the hypervisor of %s could not be read: %s", host, f.unreadHosts[host]))
		case anywhere != "":
			reasons = append(reasons, fmt.Sprintf("%s, and the hypervisor of %s could not be read: %s", anywhere, host, f.unreadHosts[host]))
		}
	}
	return append(reasons, f.unreadAllocations(f.Hosts)...)
}

// unreadAllocations says what of Placement was not read and may be of an instance on these hosts, by Nova's or their hypervisors' names.
func (f *finding) unreadAllocations(hosts []string) (reasons []string) {
	if f.PlacementFailure != "" {
		reasons = append(reasons, "placement could not be read: "+f.PlacementFailure)
	}
	for _, uuid := range slices.Sorted(maps.Keys(f.UnreadProviders)) {
		root := f.Providers[f.Providers[uuid].Root]
		if host := cmp.Or(f.nodeByUUID[root.UUID].Host, root.Name); slices.Contains(hosts, host) {
			reasons = append(reasons, fmt.Sprintf("resource provider %s could not be read: %s", f.providerName(uuid), f.UnreadProviders[uuid]))
		}
	}
	return reasons
}

// WithoutNode are the names of the hypervisors that have something of these instances, and that no compute node has: Placement may
// have a provider of that name.
func (p *Picture) WithoutNode(uuids []string) (names []string) {
	x := p.indexed()
	for _, uuid := range uuids {
		for _, at := range slices.Concat(x.domains[uuid], x.files[uuid]) {
			if name := at.hypervisor.Name; len(x.nodesByName[name]) == 0 {
				names = appendNew(names, name)
			}
		}
	}
	return names
}

// elsewhereOnly says that nothing but domains and folders on hosts that the cloud does not know tells of the instance. Without
// Placement that is not known.
func (f *finding) elsewhereOnly() bool {
	known := func(at place) bool { return f.hypervisors[at.hypervisor.Name] }
	places := slices.Concat(f.domains[f.UUID], f.files[f.UUID])
	return f.look.Verdict == Absent && f.PlacementFailure == "" && len(f.Held[f.UUID]) == 0 && len(f.over) == 0 && len(places) > 0 &&
		!slices.ContainsFunc(places, known)
}
