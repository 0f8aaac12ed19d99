package orphan

import (
	"cmp"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// Picture is what all sources say of a whole cloud: as little of each instance as tells
// whether it needs a closer look.
type Picture struct {
	// Named: it is of some instances, of each of which something is to be said, whether or not it is an orphan.
	Named bool
	Cells []CellPicture
	// Mappings are the rows of nova_api.instance_mappings by instance, with the cell's id.
	Mappings map[string]MappedTo
	// BuildRequests says when each row of nova_api.build_requests was written, by instance.
	BuildRequests map[string]time.Time
	Now           time.Time // the API database's clock, UTC

	Providers map[string]Provider
	// Placed are all consumers, each with the providers of which it holds something.
	Placed iter.Seq2[string, []string]
	// Held is what those hold now that were looked at closely, by consumer.
	Held map[string][]Held
	// Migrations are those of consumers that no cell has as an instance, by the migration's uuid.
	Migrations map[string]MigrationPicture

	// PlacementFailure is why Placement could not be read, and UnreadProviders why some of its providers could not.
	PlacementFailure string
	UnreadProviders  map[string]string

	Hypervisors []Hypervisor
	// HypervisorsAsked says whether the hypervisors were asked at all.
	HypervisorsAsked bool

	// index is made when the cells and the hypervisors are there.
	index *index
}

// MappedTo is a mapping of an instance to a cell.
type MappedTo struct {
	Cell            string // id; "" while it is NULL
	QueuedForDelete bool
}

// CellPicture is what a cell's database has, but for instances that are deleted as Nova does it.
type CellPicture struct {
	ID, UUID, Name string
	Failure        string
	Now            time.Time // the database's clock, UTC
	Instances      []Instance
	// HalfDeleted are the instances with deleted = id whose own row or rows beside it are not as Nova leaves them.
	HalfDeleted []string
	// Gone are the mapped instances that instances has no row of.
	Gone       []string
	Nodes      []ComputeNode
	Services   []ComputeService
	Migrations []MigrationPicture // those that are not over, and evacuations that the source has not cleaned up
}

// Instance is a row of instances, in brief.
type Instance struct {
	UUID, Host, Node, VMState, TaskState string
	ID, Deleted                          int64
	Hidden                               bool
	Changed                              time.Time // the later of created_at and updated_at
}

// ComputeNode is a row of compute_nodes that is not deleted; its UUID is its resource provider's.
type ComputeNode struct {
	UUID, Host, Hypervisor string
	VCPUs, MemoryMB        int64
	DiskGB                 int64
	// Ironic: it is a bare-metal node, which has no hypervisor to ask.
	Ironic bool
}

// ComputeService is a nova-compute that is not deleted.
type ComputeService struct {
	Host                 string
	Disabled, ForcedDown bool
	SeenAt               time.Time
}

// MigrationPicture is a row of migrations.
type MigrationPicture struct {
	Migration
	Instance, Type, Source, Destination string
	Cell                                string // its name
}

// Provider is a resource provider of Placement.
type Provider struct {
	UUID, Name, Root string
	// Sharing: it has the trait MISC_SHARES_VIA_AGGREGATE, and belongs to no tree but its own.
	Sharing bool
	// Compute: it has the trait COMPUTE_NODE, which nova-compute gives its own
	// (nova/compute/resource_tracker.py _get_traits).
	Compute bool
}

// Held is what a consumer holds of one provider.
type Held struct {
	Provider  string
	Resources map[string]int
}

// Hypervisor is what a compute host's libvirt says.
type Hypervisor struct {
	Host    string // as the inventory calls it
	Name    string // libvirt's host name, and so the compute node's and the provider's
	Failure string // why it could not be read
	Domains []Domain
	Files   []InstanceFiles
}

// Domain is a domain of libvirt.
type Domain struct {
	UUID, Name, State string
	// Nova: its metadata say that Nova made it, and what Nova called the instance and its project.
	Nova                          bool
	InstanceName, InstanceProject string
	SharesDisksWith               []string // domains of other uuids on the same host that use one of its disks
	Volumes                       []string // of Cinder
}

// InstanceFiles is a folder of an instance that has no domain on its host.
type InstanceFiles struct {
	UUID, Path string
	UsedBy     []string // domains of other uuids on the same host that use something in it
}

// index makes the picture quick to ask.
type index struct {
	*Picture
	instances              map[string]located
	double                 map[string]bool // has rows in several cells
	nodeByUUID, nodeByName map[string]ComputeNode
	nodesByHost            map[string][]ComputeNode
	served                 map[string]bool               // hosts with a nova-compute
	hypervisors            map[string]bool               // names that compute nodes or providers have
	moving                 map[string][]MigrationPicture // by instance
	migrations             map[string]MigrationPicture   // not over, by uuid
	domains                map[string][]place
	files                  map[string][]place
	failedCell             bool
	unreadHosts            map[string]string             // why, by Nova's name of the host
	migrated               map[string][]MigrationPicture // of consumers, by instance
}

// located is an instance with the cell that has it.
type located struct {
	*Instance
	cell *CellPicture
}

// place is one of a hypervisor's domains or folders.
type place struct {
	hypervisor *Hypervisor
	at         int
}

func (p place) domain() Domain { return p.hypervisor.Domains[p.at] }

func (p place) files() InstanceFiles { return p.hypervisor.Files[p.at] }

// indexed is the picture with its index, which neither allocations nor migrations of consumers are in.
func (p *Picture) indexed() *index {
	if p.index == nil {
		p.index = newIndex(p)
	}
	return p.index
}

func newIndex(p *Picture) *index {
	x := &index{Picture: p, instances: map[string]located{}, double: map[string]bool{}, nodeByUUID: map[string]ComputeNode{},
		nodeByName: map[string]ComputeNode{}, nodesByHost: map[string][]ComputeNode{}, served: map[string]bool{}, hypervisors: map[string]bool{},
		moving: map[string][]MigrationPicture{}, migrations: map[string]MigrationPicture{}, domains: map[string][]place{},
		files: map[string][]place{}, unreadHosts: map[string]string{}}
	for i := range p.Cells {
		cell := &p.Cells[i]
		x.failedCell = x.failedCell || cell.Failure != ""
		for i := range cell.Instances {
			instance := &cell.Instances[i]
			if _, known := x.instances[instance.UUID]; known {
				x.double[instance.UUID] = true
			}
			x.instances[instance.UUID] = located{instance, cell}
		}
		for _, node := range cell.Nodes {
			x.nodeByUUID[node.UUID], x.nodeByName[node.Hypervisor] = node, node
			x.nodesByHost[node.Host], x.hypervisors[node.Hypervisor] = append(x.nodesByHost[node.Host], node), true
		}
		for _, service := range cell.Services {
			x.served[service.Host] = true
		}
		for _, migration := range cell.Migrations {
			x.moving[migration.Instance] = append(x.moving[migration.Instance], migration)
			x.migrations[migration.UUID] = migration
		}
	}
	for _, provider := range p.Providers {
		x.hypervisors[provider.Name] = true
	}
	for i := range p.Hypervisors {
		hypervisor := &p.Hypervisors[i]
		for at, domain := range hypervisor.Domains {
			x.domains[domain.UUID] = append(x.domains[domain.UUID], place{hypervisor, at})
		}
		for at, files := range hypervisor.Files {
			x.files[files.UUID] = append(x.files[files.UUID], place{hypervisor, at})
		}
	}
	x.findUnreadHosts()
	return x
}

// UnreadHosts says of each compute host whose hypervisor was to be asked and was not read why.
func (p *Picture) UnreadHosts() map[string]string { return p.indexed().unreadHosts }

// findUnreadHosts: what was to be asked is every compute node, whatever the inventory has.
func (x *index) findUnreadHosts() {
	if !x.HypervisorsAsked {
		return
	}
	read := map[string]bool{}
	for _, hypervisor := range x.Hypervisors {
		node, known := x.nodeByName[hypervisor.Name]
		switch host := cmp.Or(node.Host, hypervisor.Name, hypervisor.Host); {
		case hypervisor.Failure != "":
			x.unreadHosts[host] = hypervisor.Failure
		case known:
			read[node.Host] = true
		}
	}
	for host, nodes := range x.nodesByHost {
		bare := slices.ContainsFunc(nodes, func(n ComputeNode) bool { return n.Ironic })
		if _, failed := x.unreadHosts[host]; !read[host] && !failed && !bare {
			x.unreadHosts[host] = "none of the hypervisors that were asked is " + nodes[0].Hypervisor
		}
	}
}

// Instances is how many were read, but for those that are deleted as Nova does it.
func (p *Picture) Instances() (count int) {
	for _, cell := range p.Cells {
		count += len(cell.Instances)
	}
	return count
}

// Consumers are those of which no cell has an instance that Nova looks after, and that are
// no migration under way: they are suspects, or migrations that are over.
func (p *Picture) Consumers() []string {
	x := p.indexed()
	var consumers []string
	for consumer := range p.Placed {
		if instance, known := x.instances[consumer]; known && instance.Deleted == 0 {
			continue
		}
		if migration, known := x.migrations[consumer]; known && !migration.Dead() {
			continue
		}
		consumers = append(consumers, consumer)
	}
	slices.Sort(consumers)
	return consumers
}

// Suspects are the instances that need a closer look: none else can be a finding.
// consumers are those of Consumers, and Migrations must have what they are.
func (p *Picture) Suspects(policy Policy, consumers []string) []string {
	x, suspects := p.indexed(), map[string]bool{}
	for uuid, instance := range x.instances {
		if x.isSuspect(instance, policy) {
			suspects[uuid] = true
		}
	}
	for consumer, providers := range p.Placed {
		instance, known := x.instances[consumer]
		if known && x.isSettled(instance, policy) && slices.ContainsFunc(providers, func(p string) bool { return x.isElsewhere(instance, p) }) {
			suspects[consumer] = true
		}
	}
	for _, cell := range p.Cells {
		for _, uuid := range slices.Concat(cell.HalfDeleted, cell.Gone) {
			suspects[uuid] = true
		}
	}
	for _, consumer := range consumers {
		if migration, known := p.Migrations[consumer]; known {
			consumer = migration.Instance
		}
		suspects[consumer] = true
	}
	for uuid, places := range x.domains {
		if _, known := x.instances[uuid]; !known {
			// Where a cell cannot be read, a domain that nothing says is Nova's is not in doubt.
			suspects[uuid] = suspects[uuid] || !x.failedCell || x.mapped(uuid) ||
				slices.ContainsFunc(places, func(p place) bool { return p.domain().Nova })
		}
	}
	for _, uuids := range []map[string]bool{keys(x.files), keys(p.BuildRequests)} {
		for uuid := range uuids {
			if _, known := x.instances[uuid]; !known {
				suspects[uuid] = true
			}
		}
	}
	for uuid, mapping := range p.Mappings {
		if _, known := x.instances[uuid]; !known && !mapping.QueuedForDelete {
			suspects[uuid] = true
		}
	}
	maps.DeleteFunc(suspects, func(_ string, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(suspects))
}

func (x *index) mapped(uuid string) bool {
	_, mapped := x.Mappings[uuid]
	return mapped
}

func keys[V any](all map[string]V) map[string]bool {
	set := map[string]bool{}
	for key := range all {
		set[key] = true
	}
	return set
}

// isSuspect says whether there may be something wrong with a row.
func (x *index) isSuspect(instance located, policy Policy) bool {
	switch {
	case instance.Hidden || x.double[instance.UUID]:
		return false // a move between cells
	case instance.Deleted != 0, instance.VMState == "error", instance.VMState == "deleted", deleting(instance.TaskState):
		return true
	}
	return len(x.wrong(instance, policy)) > 0
}

// wrong is what does not fit to an instance that Nova looks after.
type wrong struct {
	kind   Kind
	reason string
}

// wrong collects it, unless somebody may be at work on the instance.
func (x *index) wrong(instance located, policy Policy) (all []wrong) {
	add := func(kind Kind, words ...string) { all = append(all, wrong{kind, strings.Join(words, "")}) }
	mapping, mapped := x.Mappings[instance.UUID]
	if policy.Fresh(instance.cell.Now, instance.Changed) {
		return nil
	}
	// An instance in a task is somebody's, but without a mapping nobody reaches it.
	switch {
	case !mapped:
		add(KindNoMapping, "nova_api: instance_mappings has no row: no API call finds the instance")
	case mapping.Cell == "":
		add(KindNoMapping, "nova_api: instance_mappings.cell_id = NULL: no API call finds the instance")
	case mapping.Cell != instance.cell.ID:
		add(KindNoMapping, "nova_api: instance_mappings names another cell than ", instance.cell.Name, ", which has the row")
	}
	if instance.Host != "" && !x.served[instance.Host] && len(x.nodesByHost[instance.Host]) == 0 {
		add(KindHostGone, instance.cell.Name, ": neither compute_nodes nor services has the host ", instance.Host)
	}
	if !x.isSettled(instance, policy) {
		return all
	}
	own, elsewhere := x.whereabouts(instance)
	for _, at := range elsewhere {
		add(KindOtherHost, "libvirt: ", at.hypervisor.Name, " has a domain of it (", at.domain().State, "), and its host is ",
			orNull(instance.Host))
	}
	if mayLiveElsewhere(instance, own, elsewhere) {
		add(KindOtherHost, "libvirt: its own host has no domain of it that runs: the one elsewhere may be the instance itself, after a move "+
			"that came to no end or a change of the host's name")
	}
	for _, held := range x.Held[instance.UUID] {
		if x.isElsewhere(instance, held.Provider) {
			add(KindOtherProvider, "placement: it holds ", counted(held.Resources), " on ", x.providerName(held.Provider),
				", which is not the provider of its host ", orNull(instance.Host))
		}
	}
	return all
}

// whereabouts are the instance's domains on its own host, and on others.
func (x *index) whereabouts(instance located) (own, elsewhere []place) {
	for _, at := range x.domains[instance.UUID] {
		node, known := x.nodeByName[at.hypervisor.Name]
		switch {
		case x.isOnAnotherHost(instance, at):
			elsewhere = append(elsewhere, at)
		case known && node.Host == instance.Host || at.hypervisor.Name == instance.Node:
			own = append(own, at)
		}
	}
	return own, elsewhere
}

// mayLiveElsewhere: the row may be what is wrong. Shelved and offloaded, it has no domain that it lives in
// (nova/compute/manager.py _shelve_offload_instance).
func mayLiveElsewhere(instance located, own, elsewhere []place) bool {
	runs := func(at place) bool { return at.domain().State == "running" }
	return len(elsewhere) > 0 && instance.VMState != "shelved_offloaded" &&
		(len(own) == 0 || slices.ContainsFunc(elsewhere, runs) && !slices.ContainsFunc(own, runs))
}

// isSettled says that nothing is under way by which it may be in two places.
func (x *index) isSettled(instance located, policy Policy) bool {
	return instance.TaskState == "" && instance.VMState != "building" && !policy.Fresh(instance.cell.Now, instance.Changed) &&
		!slices.ContainsFunc(x.moving[instance.UUID], func(m MigrationPicture) bool { return !m.Dead() })
}

// isElsewhere says whether a provider is of another compute host's tree than the instance's.
// Sharing providers, and those of other services, are no host's.
func (x *index) isElsewhere(instance located, uuid string) bool {
	provider := x.Providers[uuid]
	root := x.Providers[provider.Root]
	node, isNode := x.nodeByUUID[root.UUID]
	switch {
	case root.UUID == "", provider.Sharing || root.Sharing, !isNode && !root.Compute:
		return false
	case instance.Node != "":
		// Not by the host: Ironic's nodes change it, and a nova-compute may have been renamed.
		return root.Name != instance.Node && node.Hypervisor != instance.Node && !x.evacuatedFrom(instance.UUID, node.Host)
	}
	return node.Host != instance.Host && !x.evacuatedFrom(instance.UUID, node.Host)
}

// isOnAnotherHost says whether a domain is on a compute host that is not the instance's.
func (x *index) isOnAnotherHost(instance located, at place) bool {
	node, known := x.nodeByName[at.hypervisor.Name]
	return known && node.Host != instance.Host && at.hypervisor.Name != instance.Node && !x.evacuatedFrom(instance.UUID, node.Host)
}

// evacuatedFrom says that the next start of the host's nova-compute cleans up after the instance.
func (x *index) evacuatedFrom(uuid, host string) bool {
	return slices.ContainsFunc(x.moving[uuid], func(m MigrationPicture) bool { return m.EvacuatedFrom != "" && m.EvacuatedFrom == host })
}

func (x *index) providerName(uuid string) string {
	if name := x.Providers[uuid].Name; name != "" {
		return name
	}
	return uuid
}
