package orphan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Record is the row of an instance, of instances or shadow_instances. What is NULL is "".
type Record struct {
	Judged
	Node     string
	Launched bool // it has run
	Cell     CellName
}

// Judged is a row as it was judged, in the form that judged_as of nova_instance_purge takes. UpdatedAt is UTC in ISO 8601.
type Judged struct {
	UpdatedAt string `json:"updated_at"`
	VMState   string `json:"vm_state"`
	TaskState string `json:"task_state"`
	Host      string `json:"host"`
}

// CellName identifies a cell.
type CellName struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`
}

// Consents are what the caller says of hosts.
type Consents struct {
	// HostsGone are hosts that are gone for good, by any of their names: what may be on them is not looked for. It counts
	// only of a host that could not be asked and whose nova-compute does not report.
	HostsGone []string
	// ComputeHost is the inventory's name of the row's host, where that cannot be told.
	ComputeHost string
	several     string // why it is for none
}

// Assessment is all that a purge has to know of an instance before it begins.
type Assessment struct {
	// Asked is the uuid that was given, which may be that of one of the instance's migrations.
	Asked   string   `json:"asked"`
	UUID    string   `json:"uuid"`
	Name    string   `json:"name"`
	Project string   `json:"project_id"`
	Kind    Kind     `json:"kind"`
	Verdict Verdict  `json:"verdict"`
	Reasons []string `json:"reasons"`
	// Refusals are why a purge must not begin, each with its way out.
	Refusals []string `json:"refusals"`
	// Instance is the row, nil if there is none.
	Instance *Judged   `json:"instance"`
	Cell     *CellName `json:"cell"`
	Mapped   bool      `json:"mapped"` // the API finds it
	// Consumers are the instance and its migrations that are over and may hold something.
	Consumers []string  `json:"consumers"`
	Hosts     []Host    `json:"hosts"`
	Unasked   []Unasked `json:"unasked"`
	Remains   []Remnant `json:"remains"`
	Plan      []string  `json:"plan"`
	Keeps     []string  `json:"keeps"`
	// Left is why the instance is not gone, as after a purge.
	Left []string `json:"left"`
}

// SameInstance is an error where two of the uuids that were asked for are one instance.
func (p *Picture) SameInstance(asked []string) error {
	by := map[string]string{}
	for _, uuid := range asked {
		instance, what := uuid, "instance "+uuid
		if migration, is := p.Migrations[uuid]; is {
			instance, what = migration.Instance, migration.told()
		}
		if other, twice := by[instance]; twice {
			return fmt.Errorf("instance_uuid has the same instance twice: %s, and %s. Name it once", other, what)
		}
		by[instance] = what
	}
	return nil
}

func (m MigrationPicture) told() string {
	return fmt.Sprintf("%s, a migration (%s) of instance %s", m.UUID, orNull(m.Status), m.Instance)
}

// Assess says of each instance that was asked for, in that order, what is proven of it, where to look for it and to act on it, and
// whether that may begin. Every one of them must have been looked at.
func (p *Picture) Assess(asked []string, looks map[string]Look, owners map[string]Owner, commands Commands,
	consents Consents) []Assessment {
	all, x := []Assessment{}, p.indexed()
	x.indexRest()
	consents = x.forOne(looks, consents)
	for _, uuid := range asked {
		migration, isMigration := p.Migrations[uuid]
		f := x.examine(cmp.Or(migration.Instance, uuid), looks, owners)
		if f.advise(commands); isMigration {
			f.Reasons = slices.Insert(f.Reasons, 0, "it was asked for by "+migration.told())
		}
		all = append(all, f.assess(uuid, consents))
	}
	return all
}

func (f *finding) assess(asked string, consents Consents) Assessment {
	a := Assessment{Asked: asked, UUID: f.UUID, Name: f.Name, Project: f.Project, Kind: f.Kind, Consumers: f.consumers(), Remains: f.Remains,
		Plan: f.Plan, Mapped: f.look.Mapping != nil && f.look.Mapping.CellKnown, Refusals: []string{}}
	if record := f.look.Record; record != nil {
		a.Instance, a.Cell = &record.Judged, &record.Cell
	}
	a.Hosts, a.Unasked = f.places(consents)
	f.refuse(&a)
	f.Keeps = append(append(f.Keeps, f.withoutNode()...), f.bareMetal()...)
	a.Verdict, a.Reasons, a.Keeps = f.Verdict, f.Reasons, f.Keeps
	a.Left = a.left()
	return a
}

// left takes no account of what Nova itself leaves of an instance until it is archived, and of what a purge tells and does not remove.
func (a Assessment) left() []string {
	if !slices.Contains([]Verdict{Deleted, Archived, Lost, Absent}, a.Verdict) {
		return []string{fmt.Sprintf("it is %s (%s)", a.Verdict, strings.Join(slices.Concat(a.Reasons, a.Refusals), "; "))}
	}
	there := []string{}
	for _, remnant := range a.Remains {
		if !slices.Contains([]string{RemainsRow, RemainsMapping, RemainsFiles, RemainsVolume, RemainsPort}, remnant.What) {
			there = append(there, remnant.What+" "+remnant.ID+" is still there")
		}
	}
	return there
}

// refuse collects why a purge must not begin. What could not be read makes the verdict unknown: the rest of it proves nothing then.
func (f *finding) refuse(a *Assessment) {
	if f.look.Refuses() {
		a.Refusals = append(a.Refusals, slices.Concat([]string{fmt.Sprintf("instance %s is %s", f.UUID, f.Verdict)}, f.look.Reasons)...)
		return
	}
	if foreign := f.foreign(); foreign != "" {
		f.Verdict, a.Refusals = Foreign, append(a.Refusals, foreign)
		return
	}
	var unread []string
	sources := f.unreadPlacement(a.Hosts, a.Unasked)
	if f.Verdict == Absent { // of one with traces the steps that need these services ask them again
		for _, service := range slices.Sorted(maps.Keys(f.look.Unread)) {
			sources = append(sources, fmt.Sprintf("%s could not be asked: %v", service, f.look.Unread[service]))
		}
	}
	for _, reason := range sources {
		unread = append(unread, reason+": what it has of the instance is unknown, and nothing was changed: see that it answers, and run "+
			"this again")
	}
	if said := f.unaskedRefusal(a.Unasked); said != "" {
		unread = append(unread, said)
	}
	unread = append(unread, f.notGone(a.Unasked)...)
	switch {
	case len(unread) > 0 && f.Verdict == Absent:
		f.Verdict, a.Refusals = Unknown, append([]string{"no trace of " + f.UUID + " was found, but not every source was read"}, unread...)
	case len(unread) > 0:
		f.Verdict, a.Refusals = Unknown, unread
	case f.Verdict == Absent:
		f.Reasons = append([]string{"no trace anywhere: nothing to do"}, f.Reasons...)
	}
}

// foreign says why what is left is not taken for Nova's, or not for this cloud's Nova's; "" if it is.
func (f *finding) foreign() string {
	domains, held := f.domains[f.UUID], len(f.Held[f.UUID]) > 0
	switch {
	case f.Verdict == Lost && f.elsewhereOnly():
		return fmt.Sprintf("only %s, which is no compute node of this cloud, nor has it a resource provider, has something of %s: it may be "+
			"another cloud's. If it is yours, remove it there with libvirt_undefine", strings.Join(f.Hosts, ", "), f.UUID)
	case f.Verdict != Absent || !held && len(domains) == 0 && len(f.look.Given) == 0:
		return ""
	}
	var what []string
	if held {
		what = append(what, "Placement has allocations of it")
	}
	if len(domains) > 0 {
		hosts := make([]*Hypervisor, len(domains))
		for i, place := range domains {
			hosts[i] = place.hypervisor
		}
		what = append(what, "a domain of it is on "+hostsIn(hosts))
	}
	for _, given := range f.look.Given {
		what = append(what, fmt.Sprintf("%s %s is of it", strings.ReplaceAll(given.What, "_", " "), given.ID))
	}
	return fmt.Sprintf("Nova has no trace of %s in any cell, but %s: they may belong to another cloud or another service. If they are yours, "+
		"remove them with placement_allocation, libvirt_undefine or the openstack client", f.UUID, strings.Join(what, " and "))
}

// unaskedRefusal: a guest may run where nobody looked, and whatever deletes the instance makes nova-compute power it off there.
func (f *finding) unaskedRefusal(unasked []Unasked) string {
	var hosts, whys []string
	for _, u := range unasked {
		if !u.Gone {
			hosts, whys = append(hosts, u.NovaHost), append(whys, u.NovaHost+" "+u.Why)
		}
	}
	if len(hosts) == 0 {
		return ""
	}
	return fmt.Sprintf("Whether a guest of %s runs is unknown, and nothing was changed: %s. Have Ansible reach it, or, if that host is gone "+
		"for good, consent with host_gone: %s", f.UUID, strings.Join(whys, "; "), strings.Join(hosts, ","))
}

// notGone: while its nova-compute works, it would reap there what nobody has looked at. That somebody has had it count as down
// (forced_down) does not stop it.
func (f *finding) notGone(unasked []Unasked) (refusals []string) {
	for _, u := range unasked {
		at := slices.IndexFunc(u.names, func(name string) bool { return f.services[name].reports() })
		if !u.Gone || at < 0 {
			continue
		}
		said, forced := f.services[u.names[at]], ""
		if said.ForcedDown {
			forced = ", though it is forced down: if the host was fenced just now, wait until it counts as down by itself"
		}
		refusals = append(refusals, fmt.Sprintf("%s cannot be gone, as host_gone: %s says: its nova-compute reports itself up (at %s%s), and "+
			"would act on a guest there that nobody has looked at. Have Ansible reach the host, or see that it is off and its compute service is "+
			"down (openstack compute service list)", u.NovaHost, u.NovaHost, written(said.SeenAt), forced))
	}
	return refusals
}

// unreadPlacement says what of Placement was not read and may be of the instance.
func (f *finding) unreadPlacement(hosts []Host, unasked []Unasked) []string {
	var names []string
	for _, host := range hosts {
		names = append(names, host.NovaHost, host.Hypervisor)
	}
	for _, host := range unasked {
		names = append(names, host.names...)
	}
	return f.unreadAllocations(names)
}

// bareMetal tells that nobody has looked at what runs on the row's node: its nova-compute alone undeploys that.
func (f *finding) bareMetal() []string {
	if record := f.look.Record; record != nil && f.isBareMetal(record.Host) {
		return []string{fmt.Sprintf("ironic: %s has bare metal alone, which has no hypervisor to ask: what runs on its node was not looked at: "+
			"openstack baremetal node show %s", record.Host, cmp.Or(record.Node, "--instance "+f.UUID))}
	}
	return nil
}

// withoutNode tells of the resource providers that hold the instance's name on a host where Nova has another by now. While one is there,
// nova-compute cannot make its own, which has the same name (nova/scheduler/client/report.py _create_resource_provider).
func (f *finding) withoutNode() (told []string) {
	if f.failedCell {
		return nil
	}
	for _, consumer := range f.consumers() {
		for _, held := range f.Held[consumer] {
			root, is := f.computes(held)
			if _, isNode := f.nodeByUUID[root.UUID]; !is || isNode {
				continue
			}
			told = appendNew(told, fmt.Sprintf("placement: no cell has a compute node with the uuid of resource provider %s: when nothing is left "+
				"on it, and while it is there nova-compute cannot make its own of that name, remove it: openstack resource provider delete %s",
				root.Name, root.UUID))
		}
	}
	return told
}
