// Package hypervisor reads and removes domains through libvirt. What it returns
// is plain data, so that a module can judge it without libvirt, and every call
// is bounded by its context, though libvirt itself cannot be cancelled.
//
// The adapter needs the build tag libvirt_dlopen and cgo: libvirt.so.0 is then
// opened when the module runs, and a host without it gets an error instead of a
// program that does not start. Without them Open says so.
package hypervisor

import "fmt"

// Domain is what libvirt says of one domain at one time.
type Domain struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`
	// ID is the number of this run of the domain, -1 while it is inactive. A
	// domain that was stopped and started again has another one.
	ID    int    `json:"id"`
	State string `json:"state"` // virDomainState's name in lower case: running, paused, shutoff, ...
	// Active decides whether the domain runs; of the states also "shutdown" (on
	// its way down), "pmsuspended" and some "crashed" domains do.
	Active     bool `json:"active"`
	Persistent bool `json:"persistent"` // false: transient, gone once it stops
	Autostart  bool `json:"autostart"`
	// Driver is virConnectGetType's answer: QEMU for both qemu and kvm domains.
	Driver         string  `json:"driver"`
	LibvirtVersion Version `json:"libvirt_version"`

	ManagedSave bool `json:"managed_save"`
	// Snapshots and Checkpoints are libvirt's records of them; the data is in the disks.
	Snapshots   []Record `json:"snapshots,omitempty"`
	Checkpoints []Record `json:"checkpoints,omitempty"`

	// XML is the inactive definition, with its secrets where the connection may
	// read them: for the backup, never for an answer.
	XML string `json:"-"`
	// SecretsDenied: the connection may write, but not read secrets (libvirt's ACL
	// without read_secure), so that XML lacks them if there are any.
	SecretsDenied bool `json:"-"`
	Definition
}

// Record is a snapshot or a checkpoint; its XML defines it again.
type Record struct {
	Name string `json:"name"`
	// Current is the snapshot that the domain's state descends from.
	Current bool   `json:"current,omitempty"`
	XML     string `json:"-"`
}

// Version is libvirt's, as major * 1000000 + minor * 1000 + release.
type Version uint32

// The versions from which virDomainUndefineFlags knows what is used here.
const (
	WithCheckpoints Version = 5_006_000
	WithTPMFlags    Version = 8_009_000
)

// stateName names a virDomainState (libvirt-domain.h).
func stateName(state int) string {
	names := []string{"nostate", "running", "blocked", "paused", "shutdown", "shutoff", "crashed", "pmsuspended"}
	if state < 0 || state >= len(names) {
		return "unknown"
	}
	return names[state]
}

func (v Version) String() string {
	return fmt.Sprintf("%d.%d.%d", v/1_000_000, v/1_000%1_000, v%1_000)
}

// MarshalText writes the version as people do.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (v *Version) UnmarshalText(text []byte) error {
	var major, minor, release uint32
	if _, err := fmt.Sscanf(string(text), "%d.%d.%d", &major, &minor, &release); err != nil || minor > 999 || release > 999 || major > 999 {
		return fmt.Errorf("libvirt's version is like 9.0.0, got: %q", text)
	}
	*v = Version(major*1_000_000 + minor*1_000 + release)
	return nil
}
