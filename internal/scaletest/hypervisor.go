package scaletest

import "fmt"

// Hypervisor is what libvirt_domain_info tells of one, as nova_orphan_info takes it.
type Hypervisor struct {
	Host     string    `json:"host"`
	Hostname string    `json:"hypervisor_hostname"`
	Domains  []*Domain `json:"domains"`
	Files    []Files   `json:"instance_files"`
	Unread   []string  `json:"unread"`
	Failure  string    `json:"failure"`
}

// Domain is a libvirt domain, in brief, as the audit asks for it.
type Domain struct {
	UUID  string    `json:"uuid"`
	Name  string    `json:"name"`
	State string    `json:"state"`
	Nova  *Metadata `json:"nova"`
	Disks []Disk    `json:"disks,omitempty"`
}

// Metadata is Nova's own in a domain (nova/virt/libvirt/config.py LibvirtConfigGuestMetaNovaInstance).
type Metadata struct {
	Name      string `json:"name"`
	ProjectID string `json:"project_id"`
}

// Disk is a volume of a domain.
type Disk struct {
	VolumeID string `json:"volume_id"`
}

// Files is an instance's folder on a host that has no domain of it.
type Files struct {
	Path string `json:"path"`
	UUID string `json:"uuid"`
	Kind string `json:"kind"` // instance, resize or deleted
}

const instancesPath = "/var/lib/nova/instances/"

// domain defines the instance's domain on a host; a host that is gone has none that could be asked for.
func (g *generator) domain(i *instance, h *host, state string) {
	if h.hypervisor == nil {
		return
	}
	d := &Domain{UUID: i.uuid, Name: fmt.Sprintf("instance-%08x", i.id), State: state, Nova: &Metadata{i.name, i.project}}
	if i.volume != "" {
		d.Disks = []Disk{{i.volume}}
	}
	h.hypervisor.Domains = append(h.hypervisor.Domains, d)
}

// folder leaves an instance's folder on a host that has no domain of it.
func (g *generator) folder(uuid string, h *host, kind string) {
	suffix := map[string]string{"instance": "", "resize": "_resize", "deleted": "_del"}[kind]
	h.hypervisor.Files = append(h.hypervisor.Files, Files{instancesPath + uuid + suffix, uuid, kind})
}
