package orphan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// named is a host that something names.
type named struct {
	host  string   // Nova's name; the hypervisor's, where no compute node tells that
	nodes []string // what Nova calls its hypervisors
	by    []string
}

// shortName is a host's name without its domain.
func shortName(name string) string {
	short, _, _ := strings.Cut(name, ".")
	return short
}

// sameHost says whether one name is the other, or the short form of it.
func sameHost(a, b string) bool {
	return a != "" && b != "" && (a == b || shortName(a) == b || a == shortName(b))
}

// isBareMetal says that all nodes of one of Nova's hosts are Ironic's, so that no hypervisor tells of what runs there.
func (x *index) isBareMetal(host string) bool {
	nodes := x.nodesByHost[host]
	return len(nodes) > 0 && !slices.ContainsFunc(nodes, func(n ComputeNode) bool { return !n.Ironic })
}

// names lists the hosts on which a domain of the instance may be: the row's own first, then those that anything else names.
func (f *finding) names() (all []named) {
	add := func(by, host string, nodes ...string) {
		at := slices.IndexFunc(all, func(n named) bool { return n.host == host })
		switch {
		case host == "" || f.isBareMetal(host):
			return
		case at < 0:
			at, all = len(all), append(all, named{host: host})
			for _, node := range f.nodesByHost[host] {
				all[at].nodes = appendNew(all[at].nodes, node.Hypervisor)
			}
		}
		all[at].by = appendNew(all[at].by, by)
		for _, node := range nodes {
			all[at].nodes = appendNew(all[at].nodes, node)
		}
	}
	if record := f.look.Record; record != nil {
		add(byRow, record.Host, record.Node)
	}
	for _, host := range f.look.Hosts {
		add(byRecord, host)
	}
	for _, migration := range f.migrated[f.UUID] {
		add(byRecord, migration.Source)
		add(byRecord, migration.Destination)
	}
	for _, consumer := range f.consumers() {
		for _, held := range f.Held[consumer] {
			if root, is := f.computes(held); is {
				add(byAllocation, f.novaHostOf(root, all), root.Name)
			}
		}
	}
	return all
}

func appendNew(list []string, text string) []string {
	if text == "" || slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}

// consumers are the instance and its migrations that are over and may still hold something.
func (f *finding) consumers() []string {
	consumers := []string{f.UUID}
	for _, migration := range f.migrated[f.UUID] {
		over := f.look.Over(migration.Migration) || f.look.Verdict == Lost && f.look.MoveIsSilent(f.clock(), migration.UpdatedAt)
		if over && (f.PlacementFailure != "" || len(f.Held[migration.UUID]) > 0) {
			consumers = appendNew(consumers, migration.UUID)
		}
	}
	return consumers
}

// computes gives the root of a provider's tree if that is a compute host's. A sharing provider, and what another service
// made, is no host; but before there was the trait (Stein), nothing but CPUs and memory told a compute node.
func (f *finding) computes(held Held) (root Provider, is bool) {
	provider := f.Providers[held.Provider]
	root = f.Providers[provider.Root]
	_, isNode := f.nodeByUUID[root.UUID]
	computing := slices.ContainsFunc([]string{"VCPU", "PCPU", "MEMORY_MB"}, func(class string) bool { return held.Resources[class] > 0 })
	return root, root.UUID != "" && !provider.Sharing && !root.Sharing && (isNode || root.Compute || computing)
}

// novaHostOf is Nova's name of a provider's host. A compute node that was made anew has another uuid and the same name.
func (f *finding) novaHostOf(root Provider, known []named) string {
	if node, is := f.nodeByUUID[root.UUID]; is {
		return node.Host
	}
	for _, n := range known {
		if slices.Contains(n.nodes, root.Name) {
			return n.host
		}
	}
	if node, is := f.nodeByName[root.Name]; is {
		return node.Host
	}
	for _, n := range known {
		if sameHost(n.host, root.Name) {
			return n.host
		}
	}
	return root.Name
}

// match finds the inventory's host that Nova means, whether or not that was read, or says as a predicate why there is none. The
// names of Nova's host, of its hypervisor and of the inventory may all differ, or be short where another is fully
// qualified; what the hypervisor says of itself counts most, as Nova has its compute node's name from there
// (nova/virt/libvirt/host.py get_hostname).
func (x *index) match(n named, consents Consents) (*Hypervisor, string) {
	names := append([]string{n.host}, n.nodes...)
	same := func(name string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return sameHost(n, name) })
	}
	fitting := make([]*Hypervisor, len(x.Hypervisors))
	for i := range x.Hypervisors {
		fitting[i] = &x.Hypervisors[i]
	}
	found := false
	for _, fits := range []func(*Hypervisor) bool{
		func(h *Hypervisor) bool { return slices.Contains(n.nodes, h.Name) },
		func(h *Hypervisor) bool { return h.NovaHost == n.host },
		func(h *Hypervisor) bool { return slices.Contains(names, h.Host) },
		func(h *Hypervisor) bool { return same(h.Name) },
		func(h *Hypervisor) bool { return same(h.Host) },
		// The inventory may know it by the name of another network.
		func(h *Hypervisor) bool {
			return slices.ContainsFunc(names, func(name string) bool { return shortName(name) == shortName(h.Host) })
		},
	} {
		// Of several, a weaker name may tell which.
		if some := filter(fitting, fits); len(some) > 0 {
			if found, fitting = true, some; len(some) == 1 {
				break
			}
		}
	}
	isOwn, say, why := slices.Contains(n.by, byRow), "", ""
	if isOwn {
		say = ": say which it is with compute_host: NAME" + consents.several
	}
	switch {
	case !found && !x.HypervisorsAsked:
		why = "was not asked, nor any other (domains takes what libvirt_domain_info answers on each)"
	case !found:
		why = "is none of the hypervisors in the inventory"
		// One that did not answer has not said its name.
		if silent := filter(fitting, func(h *Hypervisor) bool { return h.Name == "" }); len(silent) > 0 {
			why += " that told their names, which " + hostsIn(silent) + " did not" + say
		} else if len(n.nodes) == 0 {
			why += say
		}
	case len(fitting) > 1:
		why = "fits several hosts of the inventory (" + hostsIn(fitting) + ")" + say
	case x.isAnother(fitting[0], n):
		why = fmt.Sprintf("is by its name %s of the inventory, which says that its hypervisor is %s, but Nova has it as %s%s",
			fitting[0].Host, fitting[0].Name, strings.Join(n.nodes, ", "), say)
	case x.isOthers(fitting[0], n):
		why = fmt.Sprintf("is by its name %s of the inventory, but that one's hypervisor, %s, is the host %s to Nova%s", fitting[0].Host,
			fitting[0].Name, x.nodesByName[fitting[0].Name][0].Host, say)
	default:
		return fitting[0], ""
	}
	at := slices.IndexFunc(x.Hypervisors, func(h Hypervisor) bool { return h.Host == consents.ComputeHost })
	if !isOwn || at < 0 || consents.several != "" {
		return nil, why
	}
	if chosen := &x.Hypervisors[at]; x.isAnother(chosen, n) {
		return nil, fmt.Sprintf("is no %s (compute_host): that says that its hypervisor is %s, but Nova has it as %s", chosen.Host, chosen.Name,
			strings.Join(n.nodes, ", "))
	}
	return &x.Hypervisors[at], ""
}

// matched is a compute host with what match says of it.
type matched struct {
	named
	hypervisor *Hypervisor
	why        string
}

// allHosts are Nova's, but for those whose nodes are bare metal, which has no hypervisor to ask.
func (x *index) allHosts() []matched {
	if x.matched != nil {
		return x.matched
	}
	x.matched = []matched{}
	for _, host := range slices.Sorted(maps.Keys(x.nodesByHost)) {
		m := matched{named: named{host: host}}
		for _, node := range x.nodesByHost[host] {
			if !node.Ironic {
				m.nodes = appendNew(m.nodes, node.Hypervisor)
			}
		}
		if m.hypervisor, m.why = x.match(m.named, Consents{}); len(m.nodes) > 0 {
			x.matched = append(x.matched, m)
		}
	}
	return x.matched
}

// forOne says what is wrong with compute_host if the row's host of several instances, which is not the same, cannot be told: it
// names one.
func (x *index) forOne(looks map[string]Look, c Consents) Consents {
	var hosts []string
	for _, look := range looks {
		if record := look.Record; c.ComputeHost != "" && record != nil && record.Host != "" && !x.isBareMetal(record.Host) {
			f := &finding{index: x, look: look}
			if _, why := x.match(f.names()[0], Consents{}); why != "" {
				hosts = appendNew(hosts, record.Host)
			}
		}
	}
	if slices.Sort(hosts); len(hosts) > 1 {
		c.several = ", for " + strings.Join(hosts, " and for ") + " apart"
	}
	return c
}

// isAnother says that the hypervisor's own word is against it.
func (x *index) isAnother(h *Hypervisor, n named) bool {
	return h.Name != "" && len(n.nodes) > 0 && !slices.ContainsFunc(n.nodes, func(node string) bool { return sameHost(node, h.Name) })
}

// isOthers says that Nova's word is against it: of a host that no compute node has any more nothing else tells that.
func (x *index) isOthers(h *Hypervisor, n named) bool {
	nodes := x.nodesByName[h.Name]
	isIts := func(node ComputeNode) bool { return sameHost(node.Host, n.host) }
	return len(n.nodes) == 0 && len(nodes) > 0 && !slices.ContainsFunc(nodes, isIts)
}

func filter(all []*Hypervisor, keep func(*Hypervisor) bool) (some []*Hypervisor) {
	for _, h := range all {
		if keep(h) {
			some = append(some, h)
		}
	}
	return some
}

func hostsIn(hypervisors []*Hypervisor) string {
	names := make([]string, len(hypervisors))
	for i, h := range hypervisors {
		names[i] = h.Host
	}
	return strings.Join(names, ", ")
}

// unread says, as a predicate, why it is not known what the hypervisor has of the instance; "" if it is. The definition
// of another instance's domain matters to whoever acts there, and hides none of this one.
func (h *Hypervisor) unread(uuid string) string {
	if h.Failure != "" {
		for _, begin := range []string{"could not be ", "did not ", "was not "} {
			if strings.HasPrefix(h.Failure, begin) {
				return h.Failure
			}
		}
		return "could not be read: " + h.Failure
	}
	for _, reason := range h.Unread {
		other, is := strings.CutPrefix(reason, "domain ")
		if id, _, cut := strings.Cut(other, ": "); !is || !cut || len(id) != len(uuid) || strings.EqualFold(id, uuid) {
			return "could not be read in full: " + reason
		}
	}
	return ""
}

// novaHost is the name under which a compute service of the hypervisor has reported last, of all by which it goes; without a
// service it is the first. known are those that name it already.
func (x *index) novaHost(h *Hypervisor, known ...string) string {
	if len(x.nodesByName[h.Name]) == 0 && h.NovaHost != "" {
		known = slices.Insert(slices.Clone(known), 0, h.NovaHost)
	}
	names, last := x.novaNames([]string{h.Name}, known...), service{}
	first := cmp.Or(append(slices.Clone(names), h.Name, h.Host)...)
	if len(names) == 0 {
		names = x.novaNames(nil, h.Host)
	}
	for _, name := range names {
		if one := x.services[name]; last.Host == "" || one.SeenAt.After(last.SeenAt) {
			last = one
		}
	}
	return cmp.Or(last.Host, first)
}

// novaNames lists Nova's names for the host of some hypervisors: nova-compute may have been renamed, and its old name be left
// in rows. A service that has a compute node of another hypervisor is another host's.
func (x *index) novaNames(hypervisors []string, known ...string) (names []string) {
	names = append(names, known...)
	for _, hypervisor := range hypervisors {
		for _, node := range x.nodesByName[hypervisor] {
			names = appendNew(names, node.Host)
		}
	}
	for _, name := range slices.Clone(names) {
		var others []string
		for host := range x.services {
			if host != name && sameHost(name, host) && len(x.nodesByHost[host]) == 0 {
				others = append(others, host)
			}
		}
		if len(others) == 1 {
			names = appendNew(names, others[0])
		}
	}
	return names
}
