package orphan

import "time"

// Kind is what is wrong, in one word that people can filter by.
type Kind string

// The kinds of findings. What a finding has beside its kind is in its remains.
const (
	KindError           Kind = "error"                     // vm_state error: Nova gave it up
	KindDeleting        Kind = "deleting"                  // a deletion that came to no end
	KindZombie          Kind = "zombie"                    // deleted is neither 0 nor the row's id
	KindHalfDeleted     Kind = "half_deleted"              // deleted = id, and rows beside it are as they were
	KindNoMapping       Kind = "row_without_mapping"       // no API call finds the row
	KindMapping         Kind = "mapping_without_row"       // a mapping, and no row in any cell
	KindBuildRequest    Kind = "build_request_without_row" // listed as BUILD for ever
	KindHostGone        Kind = "host_gone"                 // no compute service and no compute node has the row's host
	KindAllocation      Kind = "allocation_without_row"    // of a consumer that Nova does not know, or no longer
	KindMigration       Kind = "migration_allocation"      // of a migration that is over
	KindOtherProvider   Kind = "allocation_elsewhere"      // of a live instance, on a provider that is not its host's
	KindDomain          Kind = "domain_without_row"        // of an instance that Nova does not know, or no longer
	KindOtherHost       Kind = "domain_elsewhere"          // of a live instance, on a second host
	KindFiles           Kind = "files_without_row"         // an instance's folder, and neither row nor domain
	KindProviderWithout Kind = "provider_without_node"     // a compute host's provider that has no compute node; told, not touched
)

// Remains, by what they are.
const (
	RemainsRow                 = "row"
	RemainsMapping             = "mapping"
	RemainsBuildRequest        = "build_request"
	RemainsAllocation          = "allocation"
	RemainsMigrationAllocation = "migration_allocation"
	RemainsDomain              = "domain"
	RemainsFiles               = "instance_files"
	RemainsVolume              = "volume_attachment"
	RemainsPort                = "port"
)

// Remnant is one thing that is left, and where.
type Remnant struct {
	What string `json:"what"`
	// ID is the consumer's, the domain's, the volume's, the port's; a folder's path.
	ID   string `json:"id"`
	Cell string `json:"cell,omitempty"`
	// Provider is the resource provider's UUID, and ProviderName its name.
	Provider     string `json:"provider,omitempty"`
	ProviderName string `json:"provider_name,omitempty"`
	Host         string `json:"host,omitempty"`
	// State is a domain's, or a row's vm_state.
	State string `json:"state,omitempty"`
	// Resources are what an allocation holds, by class, in the class's unit.
	Resources map[string]int `json:"resources,omitempty"`
}

// Finding is an instance, a consumer, a domain or a provider that Nova will not put right by
// itself, with all that is left of it.
type Finding struct {
	// UUID is the instance's where one is known, else the consumer's, the domain's or the provider's.
	UUID    string   `json:"uuid"`
	Name    string   `json:"name"`
	Project string   `json:"project_id"`
	Kind    Kind     `json:"kind"`
	Verdict Verdict  `json:"verdict"`
	Reasons []string `json:"reasons"`
	// Remains are, of a live instance, only what is wrong: nothing that it lives on.
	Remains []Remnant `json:"remains"`
	// Resources are what the allocations among the remains hold together, by class.
	Resources map[string]int `json:"resources"`
	// Since is when it got so, as far as a row tells; nil where none does.
	Since *time.Time `json:"since"`
	// Hosts are the compute hosts to act on, by Nova's names.
	Hosts []string `json:"hosts"`
	// Method is the module or command that is expected to repair it; "" where a person must decide.
	Method string `json:"method"`
	// Plan is what a purge, and nova-compute by it, would do; Keeps what they must not touch, as others use it by now.
	Plan  []string `json:"plan"`
	Keeps []string `json:"keeps"`
	// Command repairs it, or shows how it would be.
	Command string `json:"command"`
	// Unread are the sources that could not be read and may have more of it.
	Unread []string `json:"unread"`
}
