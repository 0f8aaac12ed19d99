package nova

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/orphan"
)

// Instance is an instance's record as a module answers it. Times are UTC in
// ISO 8601; what is NULL or not known is empty.
type Instance struct {
	UUID      string `json:"uuid"`
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	ProjectID string `json:"project_id"`
	UserID    string `json:"user_id"`
	Host      string `json:"host"`
	Node      string `json:"node"`
	// HypervisorHostname and ResourceProvider are the compute node's name and uuid,
	// which are those of its resource provider in Placement.
	HypervisorHostname string   `json:"hypervisor_hostname"`
	ResourceProvider   string   `json:"resource_provider"`
	Cell               CellName `json:"cell"`
	VMState            string   `json:"vm_state"`
	TaskState          string   `json:"task_state"`
	Deleted            int64    `json:"deleted"`
	Locked             bool     `json:"locked"`
	CreatedAt          string   `json:"created_at"`
	LaunchedAt         string   `json:"launched_at"`
	UpdatedAt          string   `json:"updated_at"`
	DeletedAt          string   `json:"deleted_at"`
	VCPUs              int64    `json:"vcpus"`
	MemoryMB           int64    `json:"memory_mb"`
	RootGB             int64    `json:"root_gb"`
	EphemeralGB        int64    `json:"ephemeral_gb"`
	SwapMB             int64    `json:"swap_mb"`
	Flavor             string   `json:"flavor"`
	// DomainName is what libvirt calls the domain by default (instance_name_template):
	// a hint only, since ids repeat in every cell.
	DomainName string      `json:"domain_name"`
	Volumes    []Volume    `json:"volumes"`
	Ports      []Port      `json:"ports"`
	Migrations []Migration `json:"migrations"`
	// DeadMigrationUUIDs may still be consumers in Placement.
	DeadMigrationUUIDs []string `json:"dead_migration_uuids"`
	// Shares are mounted on its host.
	Shares []Share `json:"shares"`
	// VTPMSecret is the uuid of its vTPM's secret in the key manager.
	VTPMSecret string `json:"vtpm_secret_uuid"`
	// Hosts are its own host and then those that anything else of its record names: a domain of it may be on each.
	Hosts []Host `json:"hosts"`
}

// CellName identifies a cell.
type CellName struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`
}

// Volume is a Cinder volume of the instance.
type Volume struct {
	VolumeID     string `json:"volume_id"`
	AttachmentID string `json:"attachment_id"`
	Device       string `json:"device"`
	// Root says that the instance boots from it.
	Root bool `json:"root"`
	// DeleteOnTermination says that nova-compute deletes the volume when it reaps the instance.
	DeleteOnTermination bool `json:"delete_on_termination"`
	// Detached says that a deleted instance had given it back before: what has become of
	// the volume since is its owner's.
	Detached bool `json:"detached"`
}

// Port is a Neutron port of the instance.
type Port struct {
	ID         string `json:"id"`
	MACAddress string `json:"mac_address"`
	// PreserveOnDelete says that the port was made before the instance, and is to stay
	// when that is deleted. It is nil where the info cache does not tell.
	PreserveOnDelete *bool `json:"preserve_on_delete"`
}

// Share is a share of Manila that the instance's host has mounted for it.
type Share struct {
	ShareID        string `json:"share_id"`
	Status         string `json:"status"`
	ExportLocation string `json:"export_location"`
}

// Migration is a move of the instance.
type Migration struct {
	UUID          string `json:"uuid"`
	Status        string `json:"status"`
	MigrationType string `json:"migration_type"`
	SourceCompute string `json:"source_compute"`
	DestCompute   string `json:"dest_compute"`
	Dead          bool   `json:"dead"`
}

// Instance gives the instance's record, or nil if no cell knows it. With rows in
// several cells it is the one that is not hidden.
func (f Finding) Instance(judgement orphan.Judgement) *Instance {
	var chosen *Cell
	for i := range f.Cells {
		if row := f.Cells[i].row(); row != nil && (chosen == nil || chosen.row().flag("hidden")) {
			chosen = &f.Cells[i]
		}
	}
	if chosen == nil {
		return nil
	}
	return chosen.instance(judgement)
}

func (c Cell) instance(judgement orphan.Judgement) *Instance {
	row := c.row()
	instance := &Instance{
		UUID: row.text("uuid"), ID: row.number("id"), Name: row.text("display_name"),
		ProjectID: row.text("project_id"), UserID: row.text("user_id"),
		Host: row.text("host"), Node: row.text("node"),
		HypervisorHostname: c.ComputeNode.text("hypervisor_hostname"), ResourceProvider: c.ComputeNode.text("uuid"),
		Cell:    CellName{c.UUID, c.Name},
		VMState: row.text("vm_state"), TaskState: row.text("task_state"), Deleted: row.number("deleted"), Locked: row.flag("locked"),
		CreatedAt: row.iso("created_at"), LaunchedAt: row.iso("launched_at"), UpdatedAt: row.iso("updated_at"), DeletedAt: row.iso("deleted_at"),
		DomainName: fmt.Sprintf("instance-%08x", row.number("id")),
		Volumes:    c.volumes(), Ports: c.ports(c.row().number("deleted") != 0),
		Migrations: []Migration{}, DeadMigrationUUIDs: []string{},
		Shares: []Share{}, Hosts: append([]Host{}, c.Hosts...),
	}
	c.flavor(instance)
	for _, share := range c.Record["share_mapping"].Rows {
		instance.Shares = append(instance.Shares, Share{share.text("share_id"), share.text("status"), share.text("export_location")})
	}
	for _, metadata := range c.Record["instance_system_metadata"].Rows {
		if metadata.text("key") == vtpmSecret {
			instance.VTPMSecret = metadata.text("value")
		}
	}
	for _, migration := range c.Record["migrations"].Rows {
		dead := judgement.Over(judged(migration))
		instance.Migrations = append(instance.Migrations, Migration{
			UUID: migration.text("uuid"), Status: migration.text("status"), MigrationType: migration.text("migration_type"),
			SourceCompute: migration.text("source_compute"), DestCompute: migration.text("dest_compute"), Dead: dead,
		})
		if dead && migration.text("uuid") != "" {
			instance.DeadMigrationUUIDs = append(instance.DeadMigrationUUIDs, migration.text("uuid"))
		}
	}
	return instance
}

// flavor takes the resources from the flavor that instance_extra keeps, which is
// what Placement was asked for, and else from the columns of instances.
func (c Cell) flavor(instance *Instance) {
	row := c.row()
	instance.VCPUs, instance.MemoryMB = row.number("vcpus"), row.number("memory_mb")
	instance.RootGB, instance.EphemeralGB = row.number("root_gb"), row.number("ephemeral_gb")
	for _, extra := range c.Record["instance_extra"].Rows {
		flavor := gjson.Get(extra.text("flavor"), `cur.nova_object\.data`)
		if !flavor.Exists() {
			continue
		}
		instance.VCPUs, instance.MemoryMB = flavor.Get("vcpus").Int(), flavor.Get("memory_mb").Int()
		instance.RootGB, instance.EphemeralGB = flavor.Get("root_gb").Int(), flavor.Get("ephemeral_gb").Int()
		instance.SwapMB, instance.Flavor = flavor.Get("swap").Int(), flavor.Get("name").String()
	}
}

// volumes leaves out what a living instance has given back, but not what a
// deleted one had: its attachments may be left over.
func (c Cell) volumes() []Volume {
	volumes := []Volume{}
	for _, mapping := range c.Record["block_device_mapping"].Rows {
		if mapping.text("volume_id") == "" || mapping.number("deleted") != 0 && c.row().number("deleted") == 0 {
			continue
		}
		volumes = append(volumes, Volume{
			VolumeID: mapping.text("volume_id"), AttachmentID: mapping.text("attachment_id"),
			Device: mapping.text("device_name"), DeleteOnTermination: mapping.flag("delete_on_termination"),
			Root: mapping.text("boot_index") == "0", Detached: c.gaveBack(mapping),
		})
	}
	return volumes
}

// together is how far before the instance's row Nova writes its mappings in one deletion:
// with a local one it asks Cinder in between (nova/compute/api.py _local_cleanup_bdm_volumes).
const together = 5 * time.Second

// gaveBack says whether a mapping was deleted as Nova does it, and not with the instance.
// Where a time is missing, nothing says that it was.
func (c Cell) gaveBack(mapping Row) bool {
	if !mapping.deleted() {
		return false
	}
	then, end := mapping.time("deleted_at"), c.row().time("deleted_at")
	return then.IsZero() || end.IsZero() || then.Before(end.Add(-together))
}

// ports come from the info cache, and from virtual_interfaces where somebody emptied that:
// their address is "MAC/PORT" (nova/network/neutron.py). With gone those that were
// unplugged are among them.
func (c Cell) ports(gone bool) []Port {
	ports := c.cachedPorts()
	for _, vif := range c.Record["virtual_interfaces"].Rows {
		if mac, id, _ := strings.Cut(vif.text("address"), "/"); gone || vif.number("deleted") == 0 {
			ports = addPort(ports, Port{ID: id, MACAddress: mac})
		}
	}
	return ports
}

func (c Cell) cachedPorts() []Port {
	ports := []Port{}
	for _, cache := range c.Record["instance_info_caches"].Rows {
		for _, vif := range gjson.Parse(cache.text("network_info")).Array() {
			port := Port{ID: vif.Get("id").String(), MACAddress: vif.Get("address").String()}
			if told := vif.Get("preserve_on_delete"); told.IsBool() {
				kept := told.Bool()
				port.PreserveOnDelete = &kept
			}
			ports = addPort(ports, port)
		}
	}
	return ports
}

// addPort adds a port that has an id, once.
func addPort(ports []Port, port Port) []Port {
	if port.ID == "" || slices.ContainsFunc(ports, func(known Port) bool { return known.ID == port.ID }) {
		return ports
	}
	return append(ports, port)
}

// vtpmSecret is the key of instance_system_metadata that names the secret of the vTPM (nova/crypto.py).
const vtpmSecret = "vtpm_secret_uuid"

// iso writes a time as Nova's API does.
func (r Row) iso(column string) string {
	at := r.time(column)
	if at.IsZero() {
		return ""
	}
	return at.Format(time.RFC3339)
}
