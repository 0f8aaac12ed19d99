package hypervisortest

import (
	"context"
	"encoding/xml"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"nova-orphan/internal/hypervisor"
)

// Fake is a libvirt with a qemu driver in memory. It refuses, and destroys in
// part, in the order of qemu_driver.c qemuDomainUndefineFlags.
type Fake struct {
	Version hypervisor.Version
	// Before is called before each request, with its name ("undefine") and the
	// uuid, without the lock; the error that it returns is the request's.
	Before func(request, uuid string) error
	// Between is called between the adapter's look at a domain and libvirt's
	// undefine: the instant that no client can close.
	Between func(uuid string)
	// Processes are those of the host besides the guests' own QEMUs.
	Processes []hypervisor.ProcessUse
	// Writes are the requests that would change something, in order.
	Writes []string

	mu     sync.Mutex
	guests map[string]*guest
	lastID int
}

type guest struct {
	Guest
	id                     int
	definition             string
	autostart              bool
	snapshots, checkpoints []hypervisor.Record
}

// NewFake has no domains and the version 9.0.0.
func NewFake() *Fake {
	return &Fake{Version: 9_000_000, guests: map[string]*guest{}}
}

// Make adds a domain.
func (f *Fake) Make(t testing.TB, g Guest) {
	t.Helper()
	if err := g.makeNVRAM(); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	made := &guest{Guest: g, id: -1, definition: g.XML()}
	if g.Snapshot != "" {
		made.snapshots = []hypervisor.Record{{Name: g.Snapshot, Current: true, XML: "<domainsnapshot><name>" + g.Snapshot +
			"</name></domainsnapshot>"}}
	}
	if g.Checkpoint != "" {
		made.checkpoints = []hypervisor.Record{{Name: g.Checkpoint, XML: "<domaincheckpoint><name>" + g.Checkpoint +
			"</name></domaincheckpoint>"}}
	}
	f.guests[g.UUID] = made
	if g.Running {
		f.start(g.UUID)
	}
}

// Start starts a domain, as others than the module under test do.
func (f *Fake) Start(uuid string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.start(uuid)
}

func (f *Fake) start(uuid string) {
	f.lastID++
	f.guests[uuid].id, f.guests[uuid].Running = f.lastID, true
}

// Remove takes a domain away, as others than the module under test do.
func (f *Fake) Remove(uuid string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.guests, uuid)
}

func (f *Fake) request(name, uuid string) (*guest, func(), error) {
	if f.Before != nil {
		if err := f.Before(name, uuid); err != nil {
			return nil, nil, err
		}
	}
	f.mu.Lock()
	if name != "read" {
		f.Writes = append(f.Writes, name)
	}
	found, ok := f.guests[uuid]
	if !ok && name != "define" {
		f.mu.Unlock()
		return nil, nil, Said(42, "Domain not found: no domain with matching uuid '"+uuid+"'")
	}
	return found, f.mu.Unlock, nil
}

// Domain is as hypervisor.Connection's.
func (f *Fake) Domain(_ context.Context, uuid string) (hypervisor.Domain, error) {
	g, unlock, err := f.request("read", uuid)
	if err != nil {
		return hypervisor.Domain{}, err
	}
	defer unlock()
	return f.domain(g)
}

func (f *Fake) domain(g *guest) (hypervisor.Domain, error) {
	domain := hypervisor.Domain{
		UUID: g.UUID, Name: g.Name, ID: g.id, State: "shutoff", Active: g.Running, Persistent: !g.Transient,
		Driver: "QEMU", LibvirtVersion: f.Version, ManagedSave: g.ManagedSave, XML: g.definition,
		Autostart: g.autostart, Snapshots: slices.Clone(g.snapshots), Checkpoints: slices.Clone(g.checkpoints),
	}
	if g.Running {
		domain.State = "running"
	}
	var err error
	domain.Definition, err = hypervisor.ParseDefinition(g.UUID, domain.XML)
	return domain, err
}

// DomainUses is as hypervisor.Connection's.
func (f *Fake) DomainUses(context.Context) (uses []hypervisor.DomainUse, err error) {
	if f.Before != nil {
		if err := f.Before("list", ""); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.guests {
		use, err := hypervisor.ParseDomainUse(g.Running, g.definition)
		if err != nil {
			return nil, err
		}
		if g.Backing != "" {
			use.Uses = append(use.Uses, g.Backing)
		}
		if g.Running {
			use.PID = g.pid()
		}
		uses = append(uses, use)
	}
	slices.SortFunc(uses, func(a, b hypervisor.DomainUse) int { return strings.Compare(a.Name, b.Name) })
	return uses, nil
}

// ProcessUses is as hypervisor.Connection's.
func (f *Fake) ProcessUses(_ context.Context, matters func(string) bool) (found []hypervisor.ProcessUse, err error) {
	if f.Before != nil {
		if err := f.Before("processes", ""); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := slices.Clone(f.Processes)
	for _, g := range f.guests {
		if g.Running {
			qemu := hypervisor.ProcessUse{PID: g.pid(), Command: "qemu-system-x86", Guest: g.Name, GuestUUID: g.UUID}
			qemu.Uses = []string{g.Disk, g.Backing, g.NVRAM}
			all = append(all, qemu)
		}
	}
	for _, process := range all {
		process.Uses = slices.DeleteFunc(slices.Clone(process.Uses), func(path string) bool { return path == "" || !matters(path) })
		if len(process.Uses) > 0 || process.GuestUUID != "" {
			found = append(found, process)
		}
	}
	return found, nil
}

func (g *guest) pid() int { return 1000 + g.id }

// Named is as hypervisor.Connection's.
func (f *Fake) Named(_ context.Context, name string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for uuid, g := range f.guests {
		if g.Name == name {
			return uuid, nil
		}
	}
	return "", Said(42, "Domain not found: no domain with matching name '"+name+"'")
}

// Destroy is as hypervisor.Connection's.
func (f *Fake) Destroy(_ context.Context, uuid string, id int) error {
	g, unlock, err := f.request("destroy", uuid)
	if err != nil {
		return err
	}
	defer unlock()
	switch {
	case !g.Running:
		return nil
	case g.id != id:
		return fmt.Errorf("power off domain %s: %w", uuid, hypervisor.ErrRestarted)
	case g.Transient:
		delete(f.guests, uuid)
	}
	g.Running, g.id = false, -1
	return nil
}

// Undefine is as hypervisor.Connection's.
func (f *Fake) Undefine(_ context.Context, judged hypervisor.Domain, flags hypervisor.Flags) error {
	uuid := judged.UUID
	g, unlock, err := f.request("undefine", uuid)
	if err != nil {
		return err
	}
	now, err := f.domain(g)
	unlock()
	switch {
	case err != nil:
		return err
	case g.Running:
		return fmt.Errorf("undefine domain %s: %w", uuid, hypervisor.ErrActive)
	case !reflect.DeepEqual(now, judged):
		return fmt.Errorf("undefine domain %s: %w", uuid, hypervisor.ErrChanged)
	}
	if f.Between != nil {
		f.Between(uuid)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.undefine(g, flags)
}

func (f *Fake) undefine(g *guest, flags hypervisor.Flags) error {
	const tpmFlags = hypervisor.TPM | hypervisor.KeepTPM
	switch {
	case flags&tpmFlags != 0 && f.Version < hypervisor.WithTPMFlags:
		return Said(8, "unsupported flags in function qemuDomainUndefineFlags")
	case g.Running: // succeeds, and leaves a transient domain
		g.Transient = true
		return nil
	case len(g.snapshots) > 0 && flags&hypervisor.SnapshotsMetadata == 0:
		return Said(55, "cannot delete inactive domain with 1 snapshots")
	}
	g.snapshots = nil
	if len(g.checkpoints) > 0 && flags&hypervisor.CheckpointsMetadata == 0 {
		return Said(55, "cannot delete inactive domain with 1 checkpoints")
	}
	g.checkpoints = nil
	if g.ManagedSave && flags&hypervisor.ManagedSave == 0 {
		return Said(55, "Refusing to undefine while domain managed save image exists")
	}
	g.ManagedSave = false
	if _, err := os.Stat(g.NVRAM); g.NVRAM != "" && err == nil {
		if flags&(hypervisor.NVRAM|hypervisor.KeepNVRAM) == 0 {
			return Said(55, "cannot undefine domain with nvram")
		}
		if flags&hypervisor.NVRAM != 0 {
			if err := os.Remove(g.NVRAM); err != nil {
				return Said(38, err.Error())
			}
		}
	}
	delete(f.guests, g.UUID)
	return nil
}

// Define is as hypervisor.Connection's.
func (f *Fake) Define(_ context.Context, text string) error {
	_, unlock, err := f.request("define", "")
	if err != nil {
		return err
	}
	defer unlock()
	var domain struct {
		Name  string `xml:"name"`
		UUID  string `xml:"uuid"`
		NVRAM string `xml:"os>nvram"`
	}
	if err := xml.Unmarshal([]byte(text), &domain); err != nil {
		return Said(27, err.Error())
	}
	for uuid, g := range f.guests {
		if g.Name == domain.Name && uuid != domain.UUID {
			return Said(9, "domain '"+g.Name+"' already exists with uuid "+uuid)
		}
	}
	g, ok := f.guests[domain.UUID]
	if !ok {
		g = &guest{Guest: Guest{UUID: domain.UUID, Name: domain.Name, NVRAM: domain.NVRAM}, id: -1}
		f.guests[domain.UUID] = g
	}
	g.definition, g.Transient = text, false
	return nil
}

// DefineSnapshot is as hypervisor.Connection's.
func (f *Fake) DefineSnapshot(_ context.Context, uuid string, snapshot hypervisor.Record) error {
	g, unlock, err := f.request("define snapshot", uuid)
	if err == nil {
		g.snapshots = append(g.snapshots, snapshot)
		unlock()
	}
	return err
}

// DefineCheckpoint is as hypervisor.Connection's.
func (f *Fake) DefineCheckpoint(_ context.Context, uuid string, checkpoint hypervisor.Record) error {
	g, unlock, err := f.request("define checkpoint", uuid)
	if err == nil {
		g.checkpoints = append(g.checkpoints, checkpoint)
		unlock()
	}
	return err
}

// SetAutostart is as hypervisor.Connection's.
func (f *Fake) SetAutostart(_ context.Context, uuid string) error {
	g, unlock, err := f.request("set autostart", uuid)
	if err == nil {
		g.autostart = true
		unlock()
	}
	return err
}

// Lost is the error of a call whose connection breaks.
func Lost() error {
	const rpc = 7
	return hypervisor.NewError("ask the fake", "fake:///system", 38, rpc, "End of file while reading data: Input/output error")
}

// Said is an error of libvirt's qemu driver.
func Said(code int, message string) error {
	const qemu = 10
	return hypervisor.NewError("ask the fake", "fake:///system", code, qemu, message)
}
