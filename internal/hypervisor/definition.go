package hypervisor

import (
	"encoding/xml"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Definition is what a domain's XML tells of it.
type Definition struct {
	// Name is the domain's, which libvirt tells without the definition, too.
	Name string `json:"-"`
	Nova *Nova  `json:"nova,omitempty"` // nil: the definition is not Nova's
	UEFI *UEFI  `json:"uefi,omitempty"`
	TPM  *VTPM  `json:"tpm,omitempty"`
	// Disks are what undefining leaves behind.
	Disks []Disk `json:"disks,omitempty"`
	// Files are the paths on the host that the domain cannot start without, but
	// for its own UEFI variables.
	Files []string `json:"-"`
}

// Nova is the metadata that Nova writes into each of its domains when it
// defines them (nova/virt/libvirt/config.py, LibvirtConfigGuestMetaNovaInstance).
type Nova struct {
	Name         string `json:"name"` // the instance's display name
	Flavor       string `json:"flavor,omitempty"`
	CreationTime string `json:"creation_time,omitempty"` // of this metadata, UTC
	// ProjectID and UserID are empty where Nova knew only half of the owner; that
	// proves nothing about whose instance it is.
	ProjectID string `json:"project_id,omitempty"`
	UserID    string `json:"user_id,omitempty"`
	Version   string `json:"version,omitempty"` // of the nova-compute that wrote it
}

// UEFI is the evidence that the domain has, or may have, a file of UEFI variables.
type UEFI struct {
	// Path is the file, or empty where the definition leaves it to libvirt or
	// keeps it on no local disk.
	Path string `json:"path,omitempty"`
}

// VTPM is an emulated TPM, whose state libvirt keeps in a folder of its own.
type VTPM struct {
	// PersistentState is true where the state outlives an undefine without the TPM flag.
	PersistentState bool `json:"persistent_state"`
}

// Disk is a disk and where its data is.
type Disk struct {
	Target string `json:"target"`
	Source string `json:"source"` // a path, protocol:name (rbd:volumes/volume-1) or pool/volume
}

type domainXML struct {
	XMLName  xml.Name `xml:"domain"`
	Type     string   `xml:"type,attr"`
	ID       string   `xml:"id,attr"` // only while it is active (domain_conf.c virDomainDefFormat)
	Name     string   `xml:"name"`
	UUID     string   `xml:"uuid"`
	Memory   sizeXML  `xml:"memory"`
	VCPU     vcpuXML  `xml:"vcpu"`
	Metadata struct {
		Items []novaXML `xml:",any"` // anybody's, of which instance picks Nova's
	} `xml:"metadata"`
	OS struct {
		Firmware string `xml:"firmware,attr"`
		Loader   struct {
			Type string `xml:"type,attr"`
			Path string `xml:",chardata"`
		} `xml:"loader"`
		Kernel string `xml:"kernel"`
		Initrd string `xml:"initrd"`
		DTB    string `xml:"dtb"`
		NVRAM  *struct {
			Path   string    `xml:",chardata"`
			Source sourceXML `xml:"source"`
		} `xml:"nvram"`
		// libvirt 12.1 calls the variables of uefi-vars devices a varstore; the
		// NVRAM flags mean it too.
		Varstore *struct {
			Path string `xml:"path,attr"`
		} `xml:"varstore"`
	} `xml:"os"`
	Disks []struct {
		Type   string `xml:"type,attr"`
		Device string `xml:"device,attr"`
		Source struct {
			sourceXML
			Auth  authXML `xml:"auth"`
			Hosts []struct {
				Name string `xml:"name,attr"`
				Port string `xml:"port,attr"`
			} `xml:"host"`
		} `xml:"source"`
		Target struct {
			Dev string `xml:"dev,attr"`
		} `xml:"target"`
		Auth     authXML   `xml:"auth"`
		ReadOnly *struct{} `xml:"readonly"`
		Serial   string    `xml:"serial"`
		Backing  *layerXML `xml:"backingStore"`
	} `xml:"devices>disk"`
	TPMs []struct {
		Backend struct {
			Type            string `xml:"type,attr"`
			PersistentState string `xml:"persistent_state,attr"`
		} `xml:"backend"`
	} `xml:"devices>tpm"`
}

// novaXML has texts alone, so that nobody else's metadata can be wrong.
type novaXML struct {
	XMLName      xml.Name
	Name         string `xml:"name"`
	CreationTime string `xml:"creationTime"`
	Flavor       struct {
		Name      string `xml:"name,attr"`
		VCPUs     string `xml:"vcpus"`
		Memory    string `xml:"memory"`
		Disk      string `xml:"disk"`
		Ephemeral string `xml:"ephemeral"`
		Swap      string `xml:"swap"`
	} `xml:"flavor"`
	Package struct {
		Version string `xml:"version,attr"`
	} `xml:"package"`
	Owner struct {
		User    idXML `xml:"user"`
		Project idXML `xml:"project"`
	} `xml:"owner"`
}

type idXML struct {
	UUID string `xml:"uuid,attr"`
	Name string `xml:",chardata"`
}

type sizeXML struct {
	Unit string `xml:"unit,attr"`
	Size int    `xml:",chardata"`
}

type vcpuXML struct {
	Current int `xml:"current,attr"` // 0: all of them
	Maximum int `xml:",chardata"`
}

// layerXML is a layer of a backing chain, which an active domain's XML has whole.
type layerXML struct {
	Source  sourceXML `xml:"source"`
	Backing *layerXML `xml:"backingStore"`
}

type authXML struct {
	User string `xml:"username,attr"`
}

type sourceXML struct {
	File     string `xml:"file,attr"`
	Dev      string `xml:"dev,attr"`
	Dir      string `xml:"dir,attr"`
	Protocol string `xml:"protocol,attr"`
	Name     string `xml:"name,attr"`
	Pool     string `xml:"pool,attr"`
	Volume   string `xml:"volume,attr"`
}

// ParseDefinition reads a domain's XML, which must be that of the domain uuid.
func ParseDefinition(uuid, text string) (Definition, error) {
	var domain domainXML
	if err := xml.Unmarshal([]byte(text), &domain); err != nil {
		return Definition{}, fmt.Errorf("read the definition of domain %s: %w", uuid, err)
	}
	if domain.UUID != uuid {
		return Definition{}, fmt.Errorf("read the definition of domain %s: it names the uuid %q", uuid, domain.UUID)
	}
	tpm, err := domain.tpm()
	if err != nil {
		return Definition{}, fmt.Errorf("read the definition of domain %s: %w", uuid, err)
	}
	return Definition{
		Name: domain.Name, Nova: domain.nova(), UEFI: domain.uefi(), TPM: tpm, Disks: domain.disks(), Files: domain.files(),
	}, nil
}

// instance is the metadata that Nova wrote, in whichever version; the newest, should there be several.
func (d domainXML) instance() (found *novaXML) {
	for i, item := range d.Metadata.Items {
		if item.XMLName.Local == "instance" && strings.HasPrefix(item.XMLName.Space, novaNamespace) &&
			(found == nil || found.XMLName.Space < item.XMLName.Space) {
			found = &d.Metadata.Items[i]
		}
	}
	return found
}

const novaNamespace = "http://openstack.org/xmlns/libvirt/nova/"

// nova takes no version but 1.0, up to Victoria, and 1.1, from Wallaby (nova commit
// 838370a490): in another, the owner may stand elsewhere.
func (d domainXML) nova() *Nova {
	found := d.instance()
	if found == nil || !slices.Contains([]string{"1.0", "1.1"}, strings.TrimPrefix(found.XMLName.Space, novaNamespace)) {
		return nil
	}
	return &Nova{
		Name: found.Name, Flavor: found.Flavor.Name, CreationTime: found.CreationTime, Version: found.Package.Version,
		ProjectID: found.Owner.Project.UUID, UserID: found.Owner.User.UUID,
	}
}

// uefi looks for any of the four signs of UEFI variables: libvirt refuses to
// undefine such a domain without a word on its file, and 9.0 also where the
// definition names none (qemu_driver.c qemuDomainUndefineFlags).
func (d domainXML) uefi() *UEFI {
	switch {
	case d.OS.NVRAM != nil:
		if source := d.OS.NVRAM.Source; source != (sourceXML{}) {
			return &UEFI{Path: source.File + source.Dev}
		}
		return &UEFI{Path: strings.TrimSpace(d.OS.NVRAM.Path)}
	case d.OS.Varstore != nil:
		return &UEFI{Path: d.OS.Varstore.Path}
	case d.OS.Firmware == "efi" || d.OS.Loader.Type == "pflash":
		return &UEFI{}
	}
	return nil
}

// tpm ignores a TPM that is passed through: it has no state of the domain's own.
func (d domainXML) tpm() (*VTPM, error) {
	var found *VTPM
	for _, tpm := range d.TPMs {
		if tpm.Backend.Type != "emulator" {
			continue
		}
		if found != nil {
			return nil, errors.New("it has two emulated TPMs")
		}
		found = &VTPM{PersistentState: tpm.Backend.PersistentState == "yes"}
	}
	return found, nil
}

func (d domainXML) disks() (disks []Disk) {
	for _, disk := range d.Disks {
		if source := disk.Source.String(); source != "" {
			disks = append(disks, Disk{Target: disk.Target.Dev, Source: source})
		}
	}
	return disks
}

func (d domainXML) files() (paths []string) {
	add := func(path string) {
		if path = strings.TrimSpace(path); filepath.IsAbs(path) && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	for _, path := range []string{d.OS.Loader.Path, d.OS.Kernel, d.OS.Initrd, d.OS.DTB} {
		add(path)
	}
	for _, disk := range d.Disks {
		add(disk.Source.File + disk.Source.Dev + disk.Source.Dir)
	}
	return paths
}

func (s sourceXML) String() string {
	switch {
	case s.Protocol != "":
		return s.Protocol + ":" + s.Name
	case s.Volume != "":
		return s.Pool + "/" + s.Volume
	default:
		return s.File + s.Dev + s.Dir
	}
}
