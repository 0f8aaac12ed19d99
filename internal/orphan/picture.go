package orphan

import (
	"iter"
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
	// DownTime is after how long without a report a compute service counts as down (nova/conf/service.py service_down_time).
	DownTime time.Duration

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
	// Identified: it does not start again without its file of which compute node it is.
	Identified bool
}

// MigrationPicture is a row of migrations.
type MigrationPicture struct {
	Migration
	Instance string
	Cell     string // its name
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
	Host string // as the inventory calls it
	Name string // libvirt's host name, and so the compute node's and the provider's
	// NovaHost is how Nova names its compute service, where no compute node tells; "" if nobody said.
	NovaHost string
	Failure  string   // why it could not be read
	Unread   []string // what of it could not be read, and why
	Domains  []Domain
	Files    []InstanceFiles
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
