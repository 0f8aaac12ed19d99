package hypervisor

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Overview is what libvirt says of a host and all of its domains.
type Overview struct {
	// Hostname is virConnectGetHostname's answer, which Nova takes for the hypervisor's name and Placement for the
	// resource provider's (nova/virt/libvirt/host.py get_hostname).
	Hostname       string    `json:"hypervisor_hostname"`
	LibvirtVersion Version   `json:"libvirt_version"`
	Driver         string    `json:"driver"` // as Domain's
	Domains        []Summary `json:"-"`
	// Unread are the domains of which not all could be read. One without a summary is told here alone.
	Unread []Unread `json:"-"`
}

// Unread is why not all of a domain could be read.
type Unread struct{ UUID, Reason string }

// Summary is what an overview tells of one domain.
type Summary struct {
	DomainUse
	State string `json:"state"` // as Domain's
	// StateReason is the name of the state's reason in lower case: of paused, "ioerror" is none of anybody's doing, "user" is.
	StateReason string    `json:"state_reason"`
	Persistent  bool      `json:"persistent"`
	Autostart   bool      `json:"autostart"`
	VCPUs       int       `json:"vcpus"` // that it has now
	MemoryMB    int       `json:"memory_mb"`
	Instance    *Instance `json:"nova"` // nil: the definition is not Nova's
	ManagedSave bool      `json:"managed_save"`
	Snapshots   int       `json:"snapshots"`
	// NVRAM is the file of UEFI variables; empty where there is none, or the definition leaves it to libvirt.
	NVRAM string `json:"nvram"`
}

// Instance is the instance as Nova described it when it last defined the domain
// (nova/virt/libvirt/config.py, LibvirtConfigGuestMetaNovaInstance).
type Instance struct {
	Name string `json:"name"` // the display name
	// Owner's ids and names are empty where Nova knew only half of the owner.
	ProjectID   string `json:"project_id"`
	ProjectName string `json:"project_name"`
	UserID      string `json:"user_id"`
	UserName    string `json:"user_name"`
	Flavor      Flavor `json:"flavor"`
	// CreatedAt is when the domain was described so; nil where it does not say.
	CreatedAt *time.Time `json:"created_at"`
}

// Flavor is what the instance was promised.
type Flavor struct {
	Name        string `json:"name"`
	VCPUs       int    `json:"vcpus"`
	MemoryMB    int    `json:"memory_mb"`
	DiskGB      int    `json:"disk_gb"`
	EphemeralGB int    `json:"ephemeral_gb"`
	SwapMB      int    `json:"swap_mb"`
}

// ParseSummary reads what a domain's XML tells, of one that runs its live one. What libvirt tells elsewhere is left out.
func ParseSummary(text string) (found Summary, err error) {
	domain, err := found.add(text)
	if err != nil {
		return found, err
	}
	if err := found.describe(domain); err != nil {
		return found, fmt.Errorf("read the XML of domain %s (%s): %w", found.UUID, found.Name, err)
	}
	return found, nil
}

// AddDefinition adds what the definition of a domain that runs names besides, which it uses when it is started again.
func (s *Summary) AddDefinition(text string) error {
	_, err := s.add(text)
	return err
}

func (s *Summary) add(text string) (domain domainXML, err error) {
	if err := xml.Unmarshal([]byte(text), &domain); err != nil {
		return domain, fmt.Errorf("read the XML of a domain: %w", err)
	}
	return domain, s.addDomain(domain, text)
}

func (s *Summary) describe(domain domainXML) (err error) {
	// libvirt writes no other unit (domain_conf.c virDomainDefFormat).
	if domain.Memory.Unit != "KiB" && domain.Memory.Size != 0 {
		return fmt.Errorf("its memory has the unit %q", domain.Memory.Unit)
	}
	s.Active, s.MemoryMB = domain.ID != "", domain.Memory.Size/1024
	s.VCPUs = cmp.Or(domain.VCPU.Current, domain.VCPU.Maximum)
	if uefi := domain.uefi(); uefi != nil {
		s.NVRAM = uefi.Path
	}
	if found := domain.instance(); found != nil {
		s.Instance, err = found.instance()
	}
	return err
}

func (n *novaXML) instance() (*Instance, error) {
	found := &Instance{
		Name:      n.Name,
		ProjectID: n.Owner.Project.UUID, ProjectName: n.Owner.Project.Name, UserID: n.Owner.User.UUID, UserName: n.Owner.User.Name,
		Flavor: Flavor{Name: n.Flavor.Name},
	}
	for _, number := range []struct {
		name, text string
		into       *int
	}{
		{"vcpus", n.Flavor.VCPUs, &found.Flavor.VCPUs}, {"memory", n.Flavor.Memory, &found.Flavor.MemoryMB},
		{"disk", n.Flavor.Disk, &found.Flavor.DiskGB}, {"ephemeral", n.Flavor.Ephemeral, &found.Flavor.EphemeralGB},
		{"swap", n.Flavor.Swap, &found.Flavor.SwapMB},
	} {
		var err error
		if *number.into, err = strconv.Atoi(cmp.Or(strings.TrimSpace(number.text), "0")); err != nil {
			return nil, fmt.Errorf("nova's metadata: %s of the flavor: %w", number.name, err)
		}
	}
	if n.CreationTime != "" {
		created, err := time.Parse(time.DateTime, n.CreationTime) // UTC
		if err != nil {
			return nil, fmt.Errorf("nova's metadata: creation time: %w", err)
		}
		found.CreatedAt = &created
	}
	return found, nil
}

// reasonName names the reason of a virDomainState (libvirt-domain.h: virDomainRunningReason and its like).
func reasonName(state, reason int) string {
	names := map[string][]string{
		"running": {
			"unknown", "booted", "migrated", "restored", "from_snapshot", "unpaused", "migration_canceled", "save_canceled", "wakeup", "crashed",
			"postcopy", "postcopy_failed",
		},
		"paused": {
			"unknown", "user", "migration", "save", "dump", "ioerror", "watchdog", "from_snapshot", "shutting_down", "snapshot", "crashed",
			"starting_up", "postcopy", "postcopy_failed", "api_error",
		},
		"shutdown": {"unknown", "user"},
		"shutoff":  {"unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from_snapshot", "daemon"},
		"crashed":  {"unknown", "panicked"},
	}[stateName(state)]
	if reason < 0 || reason >= len(names) {
		return "unknown"
	}
	return names[reason]
}
