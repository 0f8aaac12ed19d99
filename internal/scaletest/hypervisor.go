package scaletest

import (
	"fmt"
	"time"
)

// Hypervisor is what libvirt_domain_info tells of one, as nova_orphan_info takes it.
type Hypervisor struct {
	Host     string    `json:"host"`
	Hostname string    `json:"hypervisor_hostname"`
	Domains  []*Domain `json:"domains"`
	Files    []Files   `json:"instance_files"`
	Unread   []string  `json:"unread"`
	Failure  string    `json:"failure"`
}

// Domain is a libvirt domain.
type Domain struct {
	UUID        string    `json:"uuid"`
	Name        string    `json:"name"`
	State       string    `json:"state"`
	StateReason string    `json:"state_reason"`
	Active      bool      `json:"active"`
	Persistent  bool      `json:"persistent"`
	Autostart   bool      `json:"autostart"`
	VCPUs       int       `json:"vcpus"`
	MemoryMB    int       `json:"memory_mb"`
	Nova        *Metadata `json:"nova"`
	Disks       []Disk    `json:"disks"`
	ManagedSave bool      `json:"managed_save"`
	Snapshots   int       `json:"snapshots"`
	NVRAM       string    `json:"nvram"`
}

// Metadata is Nova's own in a domain (nova/virt/libvirt/config.py LibvirtConfigGuestMetaNovaInstance).
type Metadata struct {
	Name        string    `json:"name"`
	ProjectID   string    `json:"project_id"`
	ProjectName string    `json:"project_name"`
	UserID      string    `json:"user_id"`
	UserName    string    `json:"user_name"`
	Flavor      Flavor    `json:"flavor"`
	CreatedAt   time.Time `json:"created_at"`
}

// Flavor is what the metadata says of it.
type Flavor struct {
	Name        string `json:"name"`
	VCPUs       int    `json:"vcpus"`
	MemoryMB    int    `json:"memory_mb"`
	DiskGB      int    `json:"disk_gb"`
	EphemeralGB int    `json:"ephemeral_gb"`
	SwapMB      int    `json:"swap_mb"`
}

// Disk is a disk of a domain.
type Disk struct {
	Source   string   `json:"source"`
	Target   string   `json:"target"`
	Type     string   `json:"type"`
	Device   string   `json:"device"`
	ReadOnly bool     `json:"read_only"`
	VolumeID string   `json:"volume_id"`
	Backing  []string `json:"backing"`
	Image    *Image   `json:"image"`
	UsedBy   []string `json:"used_by"`
}

// Image is a disk's image in Ceph.
type Image struct {
	Pool  string `json:"pool"`
	Image string `json:"image"`
}

// Files is an instance's folder on a host that has no domain of it.
type Files struct {
	Path string `json:"path"`
	UUID string `json:"uuid"`
	Kind string `json:"kind"` // instance, resize or deleted
}

const instancesPath = "/var/lib/nova/instances/"

// domain defines the instance's domain on a host; a host that is gone has none that could be asked for.
func (g *generator) domain(i *instance, h *host, state string) *Domain {
	if h.hypervisor == nil {
		return nil
	}
	disk := Disk{Source: instancesPath + i.uuid + "/disk", Target: "vda", Type: "file", Device: "disk", UsedBy: []string{},
		Backing: []string{instancesPath + "_base/9f3c2a7de1b04c58a6f0d5e8b7c1a2930f4e6d5c"}}
	if i.volume != "" {
		disk = Disk{Source: "volumes/volume-" + i.volume, Target: "vda", Type: "network", Device: "disk", VolumeID: i.volume, Backing: []string{},
			UsedBy: []string{}, Image: &Image{"volumes", "volume-" + i.volume}}
	}
	d := &Domain{
		UUID: i.uuid, Name: fmt.Sprintf("instance-%08x", i.id), State: state, StateReason: reasons[state], Active: state != "shutoff",
		Persistent: true, VCPUs: i.flavor.vcpus, MemoryMB: i.flavor.memoryMB, Disks: []Disk{disk},
		Nova: &Metadata{i.name, i.project, "project-" + i.project[:4], i.user, "user-" + i.user[:4],
			Flavor{Name: i.flavor.name, VCPUs: i.flavor.vcpus, MemoryMB: i.flavor.memoryMB, DiskGB: i.flavor.rootGB}, i.created},
	}
	h.hypervisor.Domains = append(h.hypervisor.Domains, d)
	return d
}

// reasons are libvirt's usual ones for a state.
var reasons = map[string]string{"running": "booted", "paused": "user", "shutoff": "shutdown"}

// folder leaves an instance's folder on a host that has no domain of it.
func (g *generator) folder(uuid string, h *host, kind string) {
	suffix := map[string]string{"instance": "", "resize": "_resize", "deleted": "_del"}[kind]
	h.hypervisor.Files = append(h.hypervisor.Files, Files{instancesPath + uuid + suffix, uuid, kind})
}
