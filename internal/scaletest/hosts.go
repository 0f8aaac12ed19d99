package scaletest

import "fmt"

type provider struct {
	id   int
	uuid string
}

// host is a compute host, with its provider's tree.
type host struct {
	cell, name, node string
	root             provider
	numa             []provider // they have its processors and its memory
	pci              *provider
	sharing          *provider // it has its disk
	down             bool
	hypervisor       *Hypervisor
	used             int
}

// The ids of Placement's resource classes (placement/objects/resource_class.py; os_resource_classes has their order),
// and of one that is this cloud's own.
const (
	vcpu      = 0
	memoryMB  = 1
	diskGB    = 2
	customPCI = 10000
	// CustomPCI is that one's name.
	CustomPCI = "CUSTOM_PCI_8086_10ED"
)

// The ids of the traits that this cloud needs.
const (
	sharesViaAggregate = iota + 1
	computeNode
)

// consumerTypes are the types in Placement, with ids from 1 on. What Nova writes has none, since
// it asks at 1.36 at most (nova/scheduler/client/report.py).
var consumerTypes = []string{"INSTANCE", "CONTAINER", "VOLUME"}

// tree makes the providers: of 12, nine are hosts, of which one has two NUMA nodes and one a PCI device. One of fifty
// shares its disks with an aggregate of hosts.
func (g *generator) tree() {
	g.write(Placement, "resource_classes", Row{"id": customPCI, "name": CustomPCI})
	// Placement adds the others when it starts.
	g.write(Placement, "traits", Row{"id": sharesViaAggregate, "name": "MISC_SHARES_VIA_AGGREGATE"})
	g.write(Placement, "traits", Row{"id": computeNode, "name": "COMPUTE_NODE"})
	for i := range max(1, g.Providers/50) {
		p := g.provider(fmt.Sprintf("shared-storage-%d", i), nil)
		g.sharing = append(g.sharing, p)
		g.write(Placement, "placement_aggregates", Row{"id": i + 1, "uuid": g.uuid()})
		g.write(Placement, "resource_provider_aggregates", Row{"resource_provider_id": p.id, "aggregate_id": i + 1})
		g.trait(p, sharesViaAggregate)
		g.inventory(p, diskGB, 1000000, 1)
	}
	for i := range kindsOfOrphan(g.Orphans)["provider_without_node"] {
		h := &host{cell: Cell1, name: fmt.Sprintf("scrapped-%03d", i), node: fmt.Sprintf("scrapped-%03d.scale.example", i)}
		h.root = g.provider(h.node, nil)
		g.compute(h)
		g.scrapped = append(g.scrapped, h)
	}
	for i := 0; g.ids["resource_providers"] < g.Providers; i++ {
		h := &host{cell: []string{Cell1, Cell2}[i%2], name: fmt.Sprintf("host-%05d", i), node: fmt.Sprintf("host-%05d.scale.example", i)}
		h.hypervisor = &Hypervisor{Host: h.name, Hostname: h.node, Domains: []*Domain{}, Files: []Files{}, Unread: []string{}}
		h.root = g.provider(h.node, nil)
		left := g.Providers - g.ids["resource_providers"]
		switch {
		case i%9 == 4 && left >= 2:
			for n := range 2 {
				h.numa = append(h.numa, g.provider(fmt.Sprintf("%s_NUMA%d", h.node, n), &h.root))
			}
		case i%9 == 8 && left >= 1:
			p := g.provider(h.node+"_0000:81:00.0", &h.root)
			h.pci = &p
			g.inventory(p, customPCI, 8, 1)
		case i%25 == 7:
			n := i / 25 % len(g.sharing)
			h.sharing = &g.sharing[n]
			g.write(Placement, "resource_provider_aggregates", Row{"resource_provider_id": h.root.id, "aggregate_id": n + 1})
		}
		g.compute(h)
		g.hosts = append(g.hosts, h)
		g.Hypervisors = append(g.Hypervisors, h.hypervisor)
	}
}

func (g *generator) provider(name string, root *provider) provider {
	p := provider{g.id("resource_providers"), g.uuid()}
	row := Row{"id": p.id, "uuid": p.uuid, "name": name, "root_provider_id": p.id}
	if root != nil {
		row["root_provider_id"], row["parent_provider_id"] = root.id, root.id
	}
	g.write(Placement, "resource_providers", row)
	return p
}

func (g *generator) inventory(p provider, class, total int, ratio float64) {
	g.write(Placement, "inventories", Row{"id": g.id("inventories"), "resource_provider_id": p.id, "resource_class_id": class,
		"total": total, "max_unit": total, "allocation_ratio": ratio})
}

func (g *generator) trait(p provider, id int) {
	g.write(Placement, "resource_provider_traits", Row{"resource_provider_id": p.id, "trait_id": id})
}

// compute makes a host's provider what nova-compute makes of it (nova/virt/libvirt/driver.py update_provider_tree,
// nova/compute/resource_tracker.py _update_to_placement).
func (g *generator) compute(h *host) {
	g.trait(h.root, computeNode)
	of := h.numa
	if len(of) == 0 {
		of = []provider{h.root}
	}
	for _, p := range of {
		g.inventory(p, vcpu, 64/len(of), 16)
		g.inventory(p, memoryMB, 524288/len(of), 1.5)
	}
	if h.sharing == nil {
		g.inventory(h.root, diskGB, 8000, 1)
	}
}

// hostRows comes last: only then it is known which hosts are down.
func (g *generator) hostRows() {
	for _, h := range g.hosts {
		g.hostRow(h, 0)
	}
}

// hostRow makes a host's service and compute node; those of a host that is no more have deleted = id.
func (g *generator) hostRow(h *host, deleted int) {
	id, seen := g.id(h.cell+".services"), g.now
	if h.down {
		seen = g.ago(1)
	}
	gone := any(nil)
	if deleted != 0 {
		deleted, gone = id, g.ago(30)
	}
	g.write(h.cell, "services", Row{"id": id, "host": h.name, "uuid": g.uuid(), "last_seen_up": seen, "updated_at": seen, "deleted": deleted,
		"deleted_at": gone, "report_count": 1000})
	g.write(h.cell, "compute_nodes", Row{"id": id, "host": h.name, "hypervisor_hostname": h.node, "uuid": h.root.uuid, "deleted": deleted,
		"deleted_at": gone, "vcpus_used": h.used, "running_vms": h.used})
	if deleted == 0 {
		g.write(API, "host_mappings", Row{"id": g.id("host_mappings"), "host": h.name, "cell_id": CellIDs()[h.cell]})
	}
}

// where is the next host that suits.
func (g *generator) where(suits func(*host) bool) *host {
	for range 100000 {
		if h := pick(g, g.hosts); suits(h) {
			return h
		}
	}
	panic("no host suits: give more providers")
}

func (g *generator) anywhere() *host { return g.where(func(*host) bool { return true }) }

func (g *generator) inCell(cell string) *host {
	return g.where(func(h *host) bool { return h.cell == cell })
}

// beside is another host of the same cell.
func (g *generator) beside(h *host) *host {
	return g.where(func(o *host) bool { return o != h && o.cell == h.cell })
}

// allocate gives a consumer what the flavor takes, where a host has it.
func (g *generator) allocate(consumer string, o owner, f flavor, h *host) {
	compute, disk := h.root, h.root
	if len(h.numa) > 0 {
		compute = h.numa[h.used%len(h.numa)]
	}
	if h.sharing != nil {
		disk = *h.sharing
	}
	g.consumer(consumer, o, nil)
	g.hold(consumer, compute, vcpu, f.vcpus)
	g.hold(consumer, compute, memoryMB, f.memoryMB)
	if f.rootGB > 0 {
		g.hold(consumer, disk, diskGB, f.rootGB)
	}
	if f.withPCI && h.pci != nil {
		g.hold(consumer, *h.pci, customPCI, 1)
	}
	h.used++
}

// consumer makes it once, however many providers it holds something on.
func (g *generator) consumer(uuid string, o owner, kind any) {
	if g.consumers[uuid] {
		return
	}
	g.consumers[uuid] = true
	g.write(Placement, "consumers", Row{"id": g.id("consumers"), "uuid": uuid, "project_id": o.id, "user_id": o.id, "consumer_type_id": kind})
}

func (g *generator) hold(consumer string, p provider, class, used int) {
	g.write(Placement, "allocations", Row{"id": g.id("allocations"), "resource_provider_id": p.id, "consumer_id": consumer,
		"resource_class_id": class, "used": used})
}
