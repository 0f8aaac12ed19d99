package orphan

import (
	"cmp"
	"slices"
	"strings"
)

// index makes the picture quick to ask.
type index struct {
	*Picture
	instances              map[string]located
	double                 map[string]bool // has rows in several cells
	nodeByUUID, nodeByName map[string]ComputeNode
	nodesByHost            map[string][]ComputeNode
	nodesByName            map[string][]ComputeNode      // of one that was renamed there may be several
	services               map[string]service            // by host
	served                 map[string]bool               // hosts with a nova-compute
	hypervisors            map[string]bool               // names that compute nodes or providers have
	moving                 map[string][]MigrationPicture // by instance
	migrations             map[string]MigrationPicture   // not over, by uuid
	domains                map[string][]place
	files                  map[string][]place
	failedCell             bool
	unreadHosts            map[string]string             // why, by Nova's name of the host
	migrated               map[string][]MigrationPicture // of consumers, by instance
	matched                []matched                     // see allHosts
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
		nodeByName: map[string]ComputeNode{}, nodesByHost: map[string][]ComputeNode{},
		nodesByName: map[string][]ComputeNode{}, services: map[string]service{}, served: map[string]bool{}, hypervisors: map[string]bool{},
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
			if node.Hypervisor != "" {
				x.nodesByName[node.Hypervisor] = append(x.nodesByName[node.Hypervisor], node)
			}
		}
		for _, s := range cell.Services {
			x.served[s.Host] = true
			if known := x.services[s.Host]; known.Host == "" || s.SeenAt.After(known.SeenAt) {
				x.services[s.Host] = service{s, cell.Now, p.DownTime}
			}
		}
		for _, migration := range cell.Migrations {
			x.moving[migration.Instance] = append(x.moving[migration.Instance], migration)
			x.migrations[migration.UUID] = migration
		}
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
		case hypervisor.Failure != "" || len(hypervisor.Unread) > 0:
			x.unreadHosts[host] = cmp.Or(hypervisor.Failure, strings.Join(hypervisor.Unread, "; "))
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

func (x *index) providerName(uuid string) string {
	if name := x.Providers[uuid].Name; name != "" {
		return name
	}
	return uuid
}

// host is Nova's name of a hypervisor's host.
func (x *index) host(hypervisor *Hypervisor) string {
	return cmp.Or(x.nodeByName[hypervisor.Name].Host, hypervisor.Name, hypervisor.Host)
}
