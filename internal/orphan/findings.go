package orphan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Look is what a closer look at one instance has found.
type Look struct {
	Judgement
	Evidence
	Name, Project string
	// Hosts are all that a row names, as one that it was moved to or from: a domain of it may be on each.
	Hosts []string
	// Record is its row, nil where there is none; read of those that are named.
	Record *Record
	// Plan, Keeps and Given are what a purge, and nova-compute's reap by it, would do with volumes and ports, what
	// they must not touch, and the volumes and ports themselves. Unread are the services that could not be asked for them, with why.
	Plan, Keeps []string
	Given       []Remnant
	Unread      map[string]error
}

// Owner is what Placement knows of a consumer.
type Owner struct{ Type, Project string }

// Findings tells of each instance that was looked at whether it is an orphan, and of what
// cannot be told. They are in the order of their uuids.
func (p *Picture) Findings(looks map[string]Look, owners map[string]Owner, commands Commands) (findings []Finding, doubts []Doubt) {
	findings, doubts = []Finding{}, []Doubt{}
	x := p.indexed()
	x.indexRest()
	for _, uuid := range slices.Sorted(maps.Keys(looks)) {
		f := x.examine(uuid, looks, owners)
		if f.Kind == "" && !p.Named && (f.Verdict != Unknown || f.isOthers(owners)) {
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

// indexRest is done when all migrations and providers are in the picture.
func (x *index) indexRest() {
	for _, provider := range x.Providers {
		x.hypervisors[provider.Name] = true
	}
	x.migrated = map[string][]MigrationPicture{}
	for _, uuid := range slices.Sorted(maps.Keys(x.Migrations)) {
		migration := x.Migrations[uuid]
		x.migrated[migration.Instance] = append(x.migrated[migration.Instance], migration)
	}
}

// examine says what is wrong with an instance that was looked at.
func (x *index) examine(uuid string, looks map[string]Look, owners map[string]Owner) *finding {
	look, looked := looks[uuid]
	if !looked {
		look.Judgement = Judgement{Verdict: Unknown, Reasons: []string{"nobody has looked at it"}}
	}
	f := &finding{index: x, look: look, Finding: Finding{UUID: uuid, Name: look.Name, Project: look.Project, Verdict: look.Verdict,
		Reasons: slices.Clone(look.Reasons)}}
	f.gather(owners)
	f.decide(owners)
	return f
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
		if f.look.Over(migration.Migration) && len(f.Held[migration.UUID]) > 0 && !f.look.Fresh(f.clock(), migration.UpdatedAt) {
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

// clock is that of the cell which has the instance, else the API database's.
func (f *finding) clock() time.Time {
	if f.row != nil {
		return f.cell.Now
	}
	return f.look.Now
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
