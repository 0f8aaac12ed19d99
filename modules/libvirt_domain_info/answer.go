package main

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/hypervisor"
)

type answer struct {
	ansible.Result
	hypervisor.Overview
	// Domains are each a domain, or a briefDomain.
	Domains       []any    `json:"domains"`
	InstanceFiles []folder `json:"instance_files"`
	// Unread says what could not be read, and why. What may lie there is not known.
	Unread []string `json:"unread"`
}

type domain struct {
	hypervisor.Summary
	Disks []disk `json:"disks"`
}

// briefDomain is what nova_orphan_info judges by.
type briefDomain struct {
	UUID  string      `json:"uuid"`
	Name  string      `json:"name"`
	State string      `json:"state"`
	Nova  *briefNova  `json:"nova"`
	Disks []briefDisk `json:"disks,omitempty"` // volumes, and those that others use
}

type briefNova struct {
	Name      string `json:"name"`
	ProjectID string `json:"project_id"`
}

type briefDisk struct {
	VolumeID string   `json:"volume_id,omitempty"`
	UsedBy   []string `json:"used_by,omitempty"`
}

func (d domain) brief() briefDomain {
	b := briefDomain{UUID: d.UUID, Name: d.Name, State: d.State}
	if d.Instance != nil {
		b.Nova = &briefNova{d.Instance.Name, d.Instance.ProjectID}
	}
	for _, disk := range d.Disks {
		if disk.VolumeID != "" || len(disk.UsedBy) > 0 {
			b.Disks = append(b.Disks, briefDisk{disk.VolumeID, disk.UsedBy})
		}
	}
	return b
}

type disk struct {
	Source   string            `json:"source"`
	Target   string            `json:"target"`
	Type     string            `json:"type"`
	Device   string            `json:"device"`
	ReadOnly bool              `json:"read_only"`
	VolumeID string            `json:"volume_id"`
	Backing  []string          `json:"backing"`
	Image    *hypervisor.Image `json:"image"`
	// UsedBy are the other domains of the host that use the same file, device or image.
	UsedBy []string `json:"used_by"`
}

// libvirt is what is asked of the hypervisor.
type libvirt interface {
	Overview(ctx context.Context) (hypervisor.Overview, error)
}

// read looks at the folders first: a domain that is made meanwhile is then told, and none
// that is being built is taken for a folder without one.
func (p parameters) read(ctx context.Context, host libvirt) (ansible.Answer, error) {
	folders, unseen := p.readFolders()
	view, err := host.Overview(ctx)
	if err != nil {
		return nil, err
	}
	reply := &answer{Overview: view, Domains: []any{}, InstanceFiles: []folder{}, Unread: []string{}}
	for _, domain := range view.Unread {
		reply.Unread = append(reply.Unread, domain.Reason)
	}
	if unseen != nil {
		reply.Unread = append(reply.Unread, unseen.Error())
	}
	uses := usersOf(view.Domains)
	slices.SortFunc(view.Domains, func(a, b hypervisor.Summary) int { return strings.Compare(a.UUID, b.UUID) })
	for _, summary := range view.Domains {
		told := domain{summary, uses.disks(summary)}
		switch {
		case !p.asks(summary.UUID):
		case p.Brief:
			reply.Domains = append(reply.Domains, told.brief())
		default:
			reply.Domains = append(reply.Domains, told)
		}
	}
	for _, found := range withoutDomain(folders, view) {
		if !p.asks(found.UUID) {
			continue
		}
		if target, ok := found.stillThere(); ok {
			found.UsedBy = uses.others(found.UUID, found.Path, target)
			reply.InstanceFiles = append(reply.InstanceFiles, found)
		}
	}
	reply.Msg = fmt.Sprintf("domains: %d, folders of instances without a domain: %d, unread: %d", len(reply.Domains), len(reply.InstanceFiles),
		len(reply.Unread))
	return reply, nil
}

func (p parameters) asks(uuid string) bool {
	return len(p.UUIDs) == 0 || slices.Contains(p.UUIDs, uuid)
}

// users are the domains that use a file, a device or an image, or something in a folder, by its name.
type users map[string][]string

func usersOf(domains []hypervisor.Summary) users {
	found := users{}
	for _, d := range domains {
		for _, what := range d.Uses {
			found.add(what, d.UUID)
			for filepath.IsAbs(what) && what != "/" {
				what = filepath.Dir(what)
				found.add(what, d.UUID)
			}
		}
	}
	return found
}

// add is called for one domain after the other.
func (u users) add(what, uuid string) {
	if list := u[what]; len(list) == 0 || list[len(list)-1] != uuid {
		u[what] = append(list, uuid)
	}
}

// others are the domains but this one that use what has one of these names.
func (u users) others(uuid string, names ...string) []string {
	found := []string{}
	for _, name := range names {
		found = append(found, u[name]...)
	}
	slices.Sort(found)
	return slices.DeleteFunc(slices.Compact(found), func(other string) bool { return other == uuid })
}

// disks are the domain's, each with who else uses it under this name or the one that it leads to.
func (u users) disks(of hypervisor.Summary) []disk {
	disks := []disk{}
	for _, d := range of.Disks {
		told := disk{
			Source: d.Source, Target: d.Device, Type: d.Type, Device: d.Kind, ReadOnly: d.ReadOnly, Backing: append([]string{}, d.Backing...),
			Image: d.Image,
		}
		// Nova gives a volume's id as the serial number; others may give any.
		if volumeID.MatchString(d.Serial) {
			told.VolumeID = d.Serial
		}
		told.UsedBy = u.others(of.UUID, d.Source, d.Target)
		disks = append(disks, told)
	}
	return disks
}

var volumeID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
