package orphan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Look is what a closer look at one instance has found.
type Look struct {
	Judgement
	Evidence
	Name, Project string
	// Hosts are all that a row names, as one that it was moved to or from: a domain of it may be on each.
	Hosts []string
	// Plan, Keeps and Given are what a purge, and nova-compute's reap by it, would do with volumes and ports, what
	// they must not touch, and the volumes and ports themselves. Unread are the services that could not be asked for them.
	Plan, Keeps []string
	Given       []Remnant
	Unread      []string
}

// Owner is what Placement knows of a consumer.
type Owner struct{ Type, Project string }

// Doubt is an instance that may be an orphan, if what could not be read were known.
type Doubt struct {
	UUID    string   `json:"uuid"`
	Name    string   `json:"name"`
	Reasons []string `json:"reasons"`
	Hosts   []string `json:"hosts"`
}

// Findings tells of each instance that was looked at whether it is an orphan, and of what
// cannot be told. They are in the order of their uuids.
func (p *Picture) Findings(looks map[string]Look, owners map[string]Owner, commands Commands) (findings []Finding, doubts []Doubt) {
	findings, doubts = []Finding{}, []Doubt{}
	x := p.indexed()
	x.migrated = map[string][]MigrationPicture{}
	for _, uuid := range slices.Sorted(maps.Keys(p.Migrations)) {
		migration := p.Migrations[uuid]
		x.migrated[migration.Instance] = append(x.migrated[migration.Instance], migration)
	}
	for _, uuid := range slices.Sorted(maps.Keys(looks)) {
		look := looks[uuid]
		f := &finding{index: x, look: look, Finding: Finding{UUID: uuid, Name: look.Name, Project: look.Project, Verdict: look.Verdict,
			Reasons: slices.Clone(look.Reasons)}}
		f.gather(owners)
		if f.decide(owners); f.Kind == "" && !p.Named && (f.Verdict != Unknown || f.isOthers(owners)) {
			continue
		}
		if reasons := f.doubts(); len(reasons) > 0 {
			doubts = append(doubts, Doubt{uuid, f.Name, slices.Concat(reasons, f.Reasons), f.Hosts})
			continue
		}
		f.advise(commands)
		findings = append(findings, f.Finding)
	}
	if p.Named {
		return findings, doubts
	}
	consumers := map[string]int{} // by root
	for _, providers := range p.Placed {
		for _, provider := range providers {
			consumers[p.Providers[provider].Root]++
		}
	}
	for _, root := range slices.Sorted(maps.Keys(p.Providers)) {
		x.provider(p.Providers[root], consumers[root], &findings, &doubts)
	}
	return findings, doubts
}

// finding is one in the making.
type finding struct {
	*index
	Finding
	look Look
	row  *Row // nil if no cell has it
	cell Cell // which has row
	live []wrong
	// over are its migrations that are over and hold something, unheld that it has nothing itself on its own host: after a
	// move that failed, what it lives on may be the migration's.
	over   []MigrationPicture
	unheld bool
}

// gather collects what is left of the instance, and where.
func (f *finding) gather(owners map[string]Owner) {
	f.Remains, f.Resources, f.Hosts = []Remnant{}, map[string]int{}, []string{}
	for _, cell := range f.look.Cells {
		if cell.Row != nil {
			f.row, f.cell = cell.Row, cell
			f.Remains = append(f.Remains, Remnant{What: RemainsRow, ID: f.UUID, Cell: cell.Name, Host: cell.Row.Host, State: cell.Row.VMState})
			f.addHost(cell.Row.Host)
		}
	}
	if mapping := f.look.Mapping; mapping != nil {
		f.Remains = append(f.Remains, Remnant{What: RemainsMapping, ID: f.UUID})
	}
	if f.look.BuildRequest {
		f.Remains = append(f.Remains, Remnant{What: RemainsBuildRequest, ID: f.UUID})
	}
	f.allocation(RemainsAllocation, f.UUID)
	for _, migration := range f.migrated[f.UUID] {
		if migration.Dead() && len(f.Held[migration.UUID]) > 0 && !f.look.Fresh(f.clock(), migration.UpdatedAt) {
			f.over = append(f.over, migration)
			f.allocation(RemainsMigrationAllocation, migration.UUID)
		}
	}
	for _, at := range f.domains[f.UUID] {
		domain, host := at.domain(), f.host(at.hypervisor)
		f.Remains = append(f.Remains, Remnant{What: RemainsDomain, ID: domain.Name, Host: host, State: domain.State})
		for _, volume := range domain.Volumes {
			if !slices.ContainsFunc(f.look.Given, func(r Remnant) bool { return r.ID == volume }) {
				f.Remains = append(f.Remains, Remnant{What: RemainsVolume, ID: volume, Host: host})
			}
		}
		f.Name, f.Project = cmp.Or(f.Name, domain.InstanceName), cmp.Or(f.Project, domain.InstanceProject)
		f.addHost(host)
	}
	for _, at := range f.files[f.UUID] {
		f.Remains = append(f.Remains, Remnant{What: RemainsFiles, ID: at.files().Path, Host: f.host(at.hypervisor)})
		f.addHost(f.host(at.hypervisor))
	}
	f.Remains = append(f.Remains, f.look.Given...)
	f.Project = cmp.Or(f.Project, owners[f.UUID].Project)
	slices.Sort(f.Hosts)
}

func (f *finding) allocation(what, consumer string) {
	for _, held := range f.Held[consumer] {
		provider := f.Providers[held.Provider]
		remnant := Remnant{What: what, ID: consumer, Provider: held.Provider, ProviderName: provider.Name, Resources: held.Resources}
		if root, known := f.Providers[provider.Root]; known && !provider.Sharing && !root.Sharing {
			remnant.Host = f.nodeByUUID[root.UUID].Host
			if remnant.Host == "" && f.row != nil && root.Name == f.row.Node {
				remnant.Host = f.row.Host // which is gone, and its compute node with it
			}
			remnant.Host = cmp.Or(remnant.Host, root.Name)
			f.addHost(remnant.Host)
		}
		f.Remains = append(f.Remains, remnant)
		for class, amount := range held.Resources {
			f.Resources[class] += amount
		}
	}
}

func (f *finding) addHost(host string) {
	if host != "" && !slices.Contains(f.Hosts, host) {
		f.Hosts = append(f.Hosts, host)
	}
}

// host is Nova's name of a hypervisor's host.
func (x *index) host(hypervisor *Hypervisor) string {
	return cmp.Or(x.nodeByName[hypervisor.Name].Host, hypervisor.Name, hypervisor.Host)
}

// clock is that of the cell which has the instance, else the API database's.
func (f *finding) clock() time.Time {
	if f.row != nil {
		return f.cell.Now
	}
	return f.look.Now
}

func (f *finding) has(what string) bool {
	return slices.ContainsFunc(f.Remains, func(r Remnant) bool { return r.What == what })
}

// decide says what is wrong with the instance, in its verdict's terms.
func (f *finding) decide(owners map[string]Owner) {
	fresh := f.row != nil && f.look.Fresh(f.cell.Now, latest(latest(f.row.UpdatedAt, f.row.CreatedAt), f.pastDeletedAt()))
	switch f.Verdict {
	case Live:
		f.decideLive()
	case Stuck:
		if f.since(latest(f.row.UpdatedAt, f.row.CreatedAt)); fresh {
			return
		}
		f.Kind = KindError
		if f.row.Deleting() {
			f.Kind = KindDeleting
		}
		for _, wrong := range f.wrong(f.located(), f.look.Policy) {
			if wrong.kind == KindNoMapping || wrong.kind == KindHostGone {
				f.Kind = wrong.kind
			}
			f.Reasons = append(f.Reasons, wrong.reason)
		}
		for _, at := range f.domains[f.UUID] {
			if f.row.VMState == "error" && !f.row.Deleting() && at.domain().State == "running" {
				f.Reasons = append(f.Reasons, fmt.Sprintf("libvirt: %s has its domain %s, running: if its owner uses it, keep it with "+
					"openstack server set --state active %s", f.host(at.hypervisor), at.domain().Name, f.UUID))
			}
		}
	case Zombie:
		f.Kind = KindZombie
		f.since(latest(f.pastDeletedAt(), f.row.UpdatedAt))
	case Deleted:
		if f.since(f.pastDeletedAt()); !fresh {
			f.left()
		}
		if mapping := f.look.Mapping; f.Kind == "" && !fresh &&
			(len(f.cell.Leftovers) > 0 || f.row.NeedsDeletedAt(f.cell.Now) || mapping != nil && !mapping.QueuedForDelete) {
			f.Kind = KindHalfDeleted
		}
	case Archived, Lost:
		f.left()
	case Absent:
		if f.isNovas(owners) {
			f.Verdict = Lost
			f.left()
		}
	case Unknown, Busy, Foreign:
	}
}

// decideLive looks at the row as it is by now, and not as the survey had it.
func (f *finding) decideLive() {
	for _, wrong := range f.wrong(f.located(), f.look.Policy) {
		f.Kind, f.Reasons = cmp.Or(f.Kind, wrong.kind), append(f.Reasons, wrong.reason)
		f.live = append(f.live, wrong)
	}
	if len(f.over) > 0 {
		f.Kind = cmp.Or(f.Kind, KindMigration)
	}
	f.unheld = len(f.over) > 0 && !slices.ContainsFunc(f.Held[f.UUID], func(h Held) bool { return !f.isElsewhere(f.located(), h.Provider) })
	for _, migration := range f.over {
		f.Reasons = append(f.Reasons, fmt.Sprintf("placement: migration %s is over (%s) and still holds %s", migration.UUID, migration.Status,
			counted(f.Held[migration.UUID][0].Resources)))
	}
	f.keepWrong()
}

// keepWrong drops of the remains what the instance lives on: nothing that Nova looks after is left over.
func (f *finding) keepWrong() {
	instance, kinds := f.located(), map[Kind]bool{}
	for _, wrong := range f.live {
		kinds[wrong.kind] = true
	}
	f.Remains = slices.DeleteFunc(f.Remains, func(r Remnant) bool {
		switch r.What {
		case RemainsRow:
			return !kinds[KindNoMapping] && !kinds[KindHostGone]
		case RemainsAllocation:
			return !kinds[KindOtherProvider] || !f.isElsewhere(instance, r.Provider)
		case RemainsDomain:
			return !kinds[KindOtherHost] || !slices.ContainsFunc(f.domains[f.UUID], func(at place) bool {
				return f.host(at.hypervisor) == r.Host && f.isOnAnotherHost(instance, at)
			})
		}
		return r.What != RemainsMigrationAllocation
	})
	clear(f.Resources)
	for _, remnant := range f.Remains {
		for class, amount := range remnant.Resources {
			f.Resources[class] += amount
		}
	}
}

// left is the kind of what is left of an instance that Nova does not know any more.
func (f *finding) left() {
	for _, remnant := range f.Remains {
		switch remnant.What {
		case RemainsAllocation, RemainsMigrationAllocation:
			f.Reasons = append(f.Reasons, fmt.Sprintf("placement: %s holds %s on %s", remnant.ID, counted(remnant.Resources),
				cmp.Or(remnant.ProviderName, remnant.Provider)))
		case RemainsDomain:
			f.Reasons = append(f.Reasons, fmt.Sprintf("libvirt: %s has its domain %s, %s", remnant.Host, remnant.ID, remnant.State))
		case RemainsFiles:
			f.Reasons = append(f.Reasons, fmt.Sprintf("files: %s has %s", remnant.Host, remnant.ID))
		}
	}
	for _, kind := range []struct {
		remains string
		kind    Kind
	}{
		{RemainsDomain, KindDomain}, {RemainsAllocation, KindAllocation}, {RemainsBuildRequest, KindBuildRequest},
		{RemainsMigrationAllocation, KindMigration}, {RemainsMapping, KindMapping}, {RemainsFiles, KindFiles},
	} {
		// The mapping of a deleted instance stays until that is archived, and for ever where it was deleted before it got to a
		// cell (nova/compute/api.py _delete_while_booting).
		mapping := f.look.Mapping
		if f.has(kind.remains) && (kind.kind != KindMapping || f.Verdict != Deleted && (mapping.HasCell || !mapping.QueuedForDelete)) {
			f.Kind = kind.kind
			break
		}
	}
	if f.Kind == KindBuildRequest {
		f.since(f.look.RequestedAt)
	}
}

// isNovas says whether something proves that what is left was an instance of Nova's, though no database knows it.
func (f *finding) isNovas(owners map[string]Owner) bool {
	for _, at := range f.domains[f.UUID] {
		if at.domain().Nova {
			return true
		}
	}
	held := f.Held[f.UUID]
	if len(held) > 0 {
		switch owners[f.UUID].Type {
		case "INSTANCE", "MIGRATION":
			return true
		case "", "unknown": // what was written before there were types, as Nova itself does
			return slices.ContainsFunc(held, func(h Held) bool {
				root := f.Providers[f.Providers[h.Provider].Root]
				_, isNode := f.nodeByUUID[root.UUID]
				return isNode || root.Compute
			})
		}
		return false
	}
	return len(f.files[f.UUID]) > 0
}

// isOthers says that it is only a consumer, of a type of another service's (Placement 1.38): no cell has it, whether or not that was read.
func (f *finding) isOthers(owners map[string]Owner) bool {
	switch owners[f.UUID].Type {
	case "INSTANCE", "MIGRATION", "", "unknown":
		return false
	}
	return !slices.ContainsFunc(f.Remains, func(r Remnant) bool { return r.What != RemainsAllocation })
}

// located is the row as the closer look has it.
func (f *finding) located() located {
	cell := f.instances[f.UUID].cell
	if cell == nil || cell.Name != f.cell.Name {
		at := slices.IndexFunc(f.Cells, func(c CellPicture) bool { return c.Name == f.cell.Name })
		cell = &CellPicture{Name: f.cell.Name, Now: f.cell.Now}
		if at >= 0 {
			cell = &f.Cells[at]
		}
	}
	return located{&Instance{UUID: f.UUID, Host: f.row.Host, Node: f.row.Node, VMState: f.row.VMState, TaskState: f.row.TaskState,
		ID: f.row.ID, Deleted: f.row.Deleted, Changed: latest(f.row.UpdatedAt, f.row.CreatedAt)}, cell}
}

// pastDeletedAt is zero for a time that has not come.
func (f *finding) pastDeletedAt() time.Time {
	if f.row.NeedsDeletedAt(f.cell.Now) {
		return time.Time{}
	}
	return f.row.DeletedAt
}

func (f *finding) since(at time.Time) {
	if !at.IsZero() {
		f.Since = &at
	}
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
	if f.PlacementFailure != "" {
		reasons = append(reasons, "placement could not be read: "+f.PlacementFailure)
	}
	for _, uuid := range slices.Sorted(maps.Keys(f.UnreadProviders)) {
		root := f.Providers[f.Providers[uuid].Root]
		if host := cmp.Or(f.nodeByUUID[root.UUID].Host, root.Name); slices.Contains(f.Hosts, host) {
			reasons = append(reasons, fmt.Sprintf("resource provider %s could not be read: %s", f.providerName(uuid), f.UnreadProviders[uuid]))
		}
	}
	return reasons
}

// elsewhereOnly says that nothing but domains and folders on hosts that the cloud does not know tells of the instance.
func (f *finding) elsewhereOnly() bool {
	known := func(at place) bool { return f.hypervisors[at.hypervisor.Name] }
	places := slices.Concat(f.domains[f.UUID], f.files[f.UUID])
	return f.look.Verdict == Absent && len(f.Held[f.UUID]) == 0 && len(f.over) == 0 && len(places) > 0 && !slices.ContainsFunc(places, known)
}

// provider tells of a compute host's resource provider that no compute node has. Placement does not delete one of whose
// tree somebody holds something.
func (x *index) provider(root Provider, consumers int, findings *[]Finding, doubts *[]Doubt) {
	if _, isNode := x.nodeByUUID[root.UUID]; isNode || root.Root != root.UUID || root.Sharing || !root.Compute {
		return
	}
	reason := fmt.Sprintf("placement: %s is a compute host's resource provider (COMPUTE_NODE), and no cell has a compute node with its uuid",
		root.Name)
	if consumers > 0 {
		reason += fmt.Sprintf("; allocations on its tree: %d, which have to go first", consumers)
	}
	if x.failedCell {
		*doubts = append(*doubts, Doubt{root.UUID, root.Name, []string{"not every cell could be read", reason}, []string{root.Name}})
		return
	}
	*findings = append(*findings, Finding{UUID: root.UUID, Name: root.Name, Kind: KindProviderWithout, Verdict: Lost,
		Reasons: []string{reason}, Remains: []Remnant{}, Resources: map[string]int{}, Hosts: []string{root.Name}, Plan: []string{},
		Keeps: []string{}, Unread: []string{}, Command: "openstack resource provider delete " + root.UUID})
}
