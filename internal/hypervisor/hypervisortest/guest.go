// Package hypervisortest holds a libvirt in memory and the contract that it and
// the real one keep.
package hypervisortest

import (
	"fmt"
	"os"
	"strings"
)

// Guest describes a domain that a test wants to find. It needs 32 MiB, no
// operating system and no KVM.
type Guest struct {
	UUID, Name  string
	Running     bool
	Transient   bool // and then also Running
	ManagedSave bool
	Snapshot    string // the name of one
	Checkpoint  string // the name of one; needs Disk
	Disk        string // the path of a qcow2 image
	Backing     string // the path of Disk's backing file, which must be there
	NVRAM       string // the path of a file of UEFI variables
	TPM         bool
	Log         string // the path of the console's log
	Devices     string // more of them, in XML
	Foreign     bool   // without Nova's metadata
	ProjectID   string // in Nova's metadata; may be empty
}

// XML defines the guest.
func (g Guest) XML() string {
	var text strings.Builder
	fmt.Fprintf(&text, `<domain type='qemu'><name>%s</name><uuid>%s</uuid><memory unit='KiB'>32768</memory><vcpu>1</vcpu>`, g.Name, g.UUID)
	text.WriteString(g.metadata())
	text.WriteString(`<os><type arch='x86_64' machine='q35'>hvm</type>`)
	if g.NVRAM != "" {
		fmt.Fprintf(&text, `<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader><nvram>%s</nvram>`, g.NVRAM)
	}
	text.WriteString(`</os><features><acpi/></features><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>`)
	if g.Disk != "" {
		fmt.Fprintf(&text,
			`<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='%s'/><target dev='vda' bus='virtio'/></disk>`, g.Disk)
	}
	if g.TPM {
		text.WriteString(`<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>`)
	}
	if g.Log != "" {
		fmt.Fprintf(&text, `<serial type='pty'><log file='%s' append='off'/><target port='0'/></serial>`, g.Log)
	}
	text.WriteString(g.Devices + `<graphics type='vnc' socket='/tmp/` + g.Name + `.vnc' passwd='hunter22'/></devices></domain>`)
	return text.String()
}

func (g Guest) metadata() string {
	if g.Foreign {
		return ""
	}
	owner := ""
	if g.ProjectID != "" {
		owner = fmt.Sprintf(`<nova:owner><nova:user uuid='u1'>nova</nova:user><nova:project uuid='%s'>demo</nova:project></nova:owner>`,
			g.ProjectID)
	}
	return `<metadata><nova:instance xmlns:nova='http://openstack.org/xmlns/libvirt/nova/1.1'><nova:package version='26.2.2'/>` +
		`<nova:name>web</nova:name><nova:creationTime>2026-11-01 08:00:00</nova:creationTime><nova:flavor name='m1.nano'><nova:memory>32</nova:memory>` +
		`<nova:disk>1</nova:disk><nova:swap>0</nova:swap><nova:ephemeral>0</nova:ephemeral><nova:vcpus>1</nova:vcpus></nova:flavor>` + owner +
		`</nova:instance></metadata>`
}

// makeNVRAM makes the file as large as OVMF's.
func (g Guest) makeNVRAM() error {
	if g.NVRAM == "" {
		return nil
	}
	return os.WriteFile(g.NVRAM, make([]byte, 540672), 0o600)
}
