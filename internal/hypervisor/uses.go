package hypervisor

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
)

// DomainUse is a domain of the host and all that it uses, as far as libvirt and the
// images' own headers tell.
type DomainUse struct {
	UUID   string `json:"uuid"`
	Name   string `json:"name"`
	Active bool   `json:"active"`
	// QEMU: an active one is a process of the host's.
	QEMU bool `json:"-"`
	// PID is that process as libvirt's pid file has it; 0 where that is not to be seen from here.
	PID   int       `json:"-"`
	Disks []DiskUse `json:"-"`
	// Uses are all paths and images that are named anywhere: disks with their backing
	// chains, logs, kernels, shared folders, and where links lead.
	Uses []string `json:"-"`
}

// DiskUse is a disk that has a source.
type DiskUse struct {
	Source   string // as Disk's
	Target   string // the file that Source leads to, by Follow
	Device   string // the name that the guest is to give it: vda
	Kind     string // disk, cdrom, lun or floppy
	Type     string // of the source: file, block, network, volume...
	File     bool   // a file of the host's
	ReadOnly bool
	// Backing are the sources that it is based on, the next first: of a domain that is off
	// by Follow alone, and of an image in Ceph none, as libvirt does not know them.
	Backing []string
	// Serial is the volume's id where Nova attached one (nova/virt/libvirt/volume/volume.py
	// LibvirtBaseVolumeDriver.get_config), and empty for Nova's own disks.
	Serial string
	Image  *Image // nil: not in Ceph
}

// Image is an image in Ceph, and by what it is reached.
type Image struct {
	Pool  string   `json:"pool"`
	Image string   `json:"image"`
	User  string   `json:"user,omitempty"`
	Hosts []string `json:"hosts,omitempty"`
}

// ParseDomainUse reads what a domain's XML names: its definition's, and of one that
// runs also its live one's, which has the backing chains.
func ParseDomainUse(active bool, texts ...string) (DomainUse, error) {
	use := DomainUse{Active: active}
	for _, text := range texts {
		var domain domainXML
		if err := xml.Unmarshal([]byte(text), &domain); err != nil {
			return use, fmt.Errorf("read what a domain uses: %w", err)
		}
		if err := use.addDomain(domain, text); err != nil {
			return use, err
		}
	}
	return use, nil
}

// addDomain takes in what a text of the domain says.
func (u *DomainUse) addDomain(domain domainXML, text string) error {
	if u.UUID != "" && u.UUID != domain.UUID || domain.UUID == "" {
		return fmt.Errorf("read what domain %s uses: its definition names the uuid %q", u.UUID, domain.UUID)
	}
	u.UUID, u.Name, u.QEMU = domain.UUID, domain.Name, domain.Type == "qemu" || domain.Type == "kvm"
	u.addDisks(domain)
	if err := u.addNamed(text); err != nil {
		return fmt.Errorf("read what domain %s uses: %w", u.UUID, err)
	}
	return nil
}

func (u *DomainUse) addDisks(domain domainXML) {
	for _, disk := range domain.Disks {
		found := DiskUse{
			Source: disk.Source.String(), Device: disk.Target.Dev, Kind: cmp.Or(disk.Device, "disk"), Type: disk.Type, File: disk.Type == "file",
			ReadOnly: disk.ReadOnly != nil, Serial: strings.TrimSpace(disk.Serial),
		}
		for layer := disk.Backing; layer != nil; layer = layer.Backing {
			if source := layer.Source.String(); source != "" {
				found.Backing = append(found.Backing, source)
			}
		}
		if slices.ContainsFunc(u.Disks, func(d DiskUse) bool { return d.Source == found.Source }) || found.Source == "" {
			continue
		}
		// A pool's name has no slash, but a namespace may stand between it and the image.
		if at := strings.LastIndex(disk.Source.Name, "/"); disk.Source.Protocol == "rbd" && at >= 0 {
			found.Image = &Image{Pool: disk.Source.Name[:at], Image: disk.Source.Name[at+1:], User: disk.Auth.User + disk.Source.Auth.User}
			for _, host := range disk.Source.Hosts {
				address := host.Name
				if host.Port != "" {
					address = net.JoinHostPort(host.Name, host.Port)
				}
				found.Image.Hosts = append(found.Image.Hosts, address)
			}
		}
		u.Disks = append(u.Disks, found)
	}
}

// addNamed takes whatever has a slash: a device that this release of libvirt has and
// that nobody thought of here names its files somehow, too.
func (u *DomainUse) addNamed(text string) error {
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := decoder.Token()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		switch token := token.(type) {
		case xml.StartElement:
			// What people write about a domain is no use of it.
			if slices.Contains([]string{"metadata", "title", "description"}, token.Name.Local) {
				if err := decoder.Skip(); err != nil {
					return err
				}
				continue
			}
			u.addElement(token)
		case xml.CharData:
			if text := strings.TrimSpace(string(token)); strings.Contains(text, "/") {
				u.add(text)
			}
		}
	}
}

func (u *DomainUse) addElement(element xml.StartElement) {
	var source sourceXML
	// What <qemu:commandline> says has a form of its own.
	verbatim := strings.HasPrefix(element.Name.Space, "http://libvirt.org/schemas/domain/qemu/")
	for _, attribute := range element.Attr {
		switch attribute.Name.Local {
		case "protocol":
			source.Protocol = attribute.Value
		case "name":
			source.Name = attribute.Value
		case "pool":
			source.Pool = attribute.Value
		case "volume":
			source.Volume = attribute.Value
		}
		if attribute.Name.Space != "xmlns" && (verbatim || strings.Contains(attribute.Value, "/")) && source.Protocol == "" {
			u.add(attribute.Value)
		}
	}
	if element.Name.Local == "source" && (source.Protocol != "" || source.Volume != "") {
		u.add(source.String())
	}
}

func (u *DomainUse) add(what string) {
	if what != "" {
		u.Uses = appendNew(u.Uses, what)
	}
}

func appendNew(list []string, what string) []string {
	if slices.Contains(list, what) {
		return list
	}
	return append(list, what)
}
