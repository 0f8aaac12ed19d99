package hypervisortest

import (
	"context"
	"encoding/xml"
	"fmt"
	"maps"
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
	Hostname string
	Version  hypervisor.Version
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

// guest is a domain, of which the fake itself knows the state and the records.
type guest struct {
	hypervisor.Domain
	made   Guest
	reason string // of the state
}

func newGuest(made Guest) *guest {
	return &guest{hypervisor.Domain{UUID: made.UUID, Name: made.Name, ID: -1, State: "shutoff", Driver: "QEMU"}, made, "unknown"}
}

// NewFake has no domains and the version 9.0.0.
func NewFake() *Fake {
	return &Fake{Hostname: "compute1.example.com", Version: 9_000_000, guests: map[string]*guest{}}
}

// Make adds a domain.
func (f *Fake) Make(t testing.TB, g Guest) {
	t.Helper()
	if err := g.makeNVRAM(); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	made := newGuest(g)
	made.ManagedSave, made.Persistent, made.XML = g.ManagedSave, !g.Transient, g.XML()
	if g.Snapshot != "" {
		made.Snapshots = []hypervisor.Record{{Name: g.Snapshot, Current: true, XML: "<domainsnapshot/>"}}
	}
	if g.Checkpoint != "" {
		made.Checkpoints = []hypervisor.Record{{Name: g.Checkpoint, XML: "<domaincheckpoint/>"}}
	}
	if g.ManagedSave {
		made.reason = "saved"
	}
	f.guests[g.UUID] = made
	if g.Running {
		f.start(made)
	}
}

// Start starts a domain, as others than the module under test do.
func (f *Fake) Start(uuid string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.start(f.guests[uuid])
}

func (f *Fake) start(g *guest) {
	f.lastID++
	g.ID, g.Active, g.State, g.reason = f.lastID, true, "running", "booted"
}

// Remove takes a domain away, as others than the module under test do.
func (f *Fake) Remove(uuid string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.guests, uuid)
}

func (f *Fake) hook(request, uuid string) error {
	if f.Before == nil {
		return nil
	}
	return f.Before(request, uuid)
}

// request does something with a domain, which is nil for a define.
func (f *Fake) request(name, uuid string, do func(*guest) error) error {
	if err := f.hook(name, uuid); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if name != "read" {
		f.Writes = append(f.Writes, name)
	}
	found, ok := f.guests[uuid]
	if !ok && name != "define" {
		return Said(42, "Domain not found: no domain with matching uuid '"+uuid+"'")
	}
	return do(found)
}

// Domain is as hypervisor.Connection's.
func (f *Fake) Domain(_ context.Context, uuid string) (domain hypervisor.Domain, err error) {
	err = f.request("read", uuid, func(g *guest) (err error) {
		domain, err = f.domain(g)
		return err
	})
	return domain, err
}

func (f *Fake) domain(g *guest) (domain hypervisor.Domain, err error) {
	domain, domain.LibvirtVersion = g.Domain, f.Version
	domain.Definition, err = hypervisor.ParseDefinition(g.UUID, g.XML)
	return domain, err
}

// Overview is as hypervisor.Connection's. Between the list and a look at a domain, Before is called with "describe".
func (f *Fake) Overview(context.Context) (hypervisor.Overview, error) {
	view := hypervisor.Overview{Hostname: f.Hostname, LibvirtVersion: f.Version, Driver: "QEMU"}
	if err := f.hook("list", ""); err != nil {
		return view, err
	}
	for _, uuid := range f.uuids() {
		if err := f.hook("describe", uuid); err != nil {
			return view, err
		}
		f.mu.Lock()
		g, there := f.guests[uuid]
		f.mu.Unlock()
		if !there {
			continue
		}
		summary, err := g.summary()
		if err != nil {
			view.Unread = append(view.Unread, hypervisor.Unread{UUID: uuid, Reason: fmt.Sprintf("domain %s: %v", uuid, err)})
			continue
		}
		view.Domains = append(view.Domains, summary)
	}
	return view, nil
}

func (f *Fake) uuids() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.guests))
}

// summary reads what libvirt writes for the domain, which has an id and its backing chain while it is active.
func (g *guest) summary() (hypervisor.Summary, error) {
	text := g.XML
	if g.Active {
		text = strings.Replace(text, "<domain ", fmt.Sprintf("<domain id='%d' ", g.ID), 1)
		if g.made.Backing != "" {
			layer := fmt.Sprintf("<backingStore type='file'><source file='%s'/></backingStore><target dev='vda'", g.made.Backing)
			text = strings.Replace(text, "<target dev='vda'", layer, 1)
		}
	}
	found, err := hypervisor.ParseSummary(text)
	if err == nil && g.Active {
		err = found.AddDefinition(g.XML)
	}
	found.State, found.StateReason = g.State, g.reason
	found.Persistent, found.Autostart, found.ManagedSave, found.Snapshots = g.Persistent, g.Autostart, g.ManagedSave, len(g.Snapshots)
	return found, err
}

// DomainUses is as hypervisor.Connection's.
func (f *Fake) DomainUses(context.Context) (uses []hypervisor.DomainUse, err error) {
	if err := f.hook("list", ""); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, g := range f.guests {
		use, err := hypervisor.ParseDomainUse(g.Active, g.XML)
		if err != nil {
			return nil, err
		}
		if g.made.Backing != "" {
			use.Uses = append(use.Uses, g.made.Backing)
		}
		if g.Active {
			use.PID = g.pid()
		}
		uses = append(uses, use)
	}
	slices.SortFunc(uses, func(a, b hypervisor.DomainUse) int { return strings.Compare(a.Name, b.Name) })
	return uses, nil
}

// ProcessUses is as hypervisor.Connection's.
func (f *Fake) ProcessUses(_ context.Context, matters func(string) bool) (found []hypervisor.ProcessUse, err error) {
	if err := f.hook("processes", ""); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := slices.Clone(f.Processes)
	for _, g := range f.guests {
		if g.Active {
			all = append(all, hypervisor.ProcessUse{PID: g.pid(), Command: "qemu-system-x86", Guest: g.Name, GuestUUID: g.UUID,
				Uses: []string{g.made.Disk, g.made.Backing, g.made.NVRAM}})
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

func (g *guest) pid() int { return 1000 + g.ID }

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
	return f.request("destroy", uuid, func(g *guest) error {
		switch {
		case !g.Active:
			return nil
		case g.ID != id:
			return fmt.Errorf("power off domain %s: %w", uuid, hypervisor.ErrRestarted)
		case !g.Persistent:
			delete(f.guests, uuid)
		}
		g.Active, g.ID, g.State, g.reason = false, -1, "shutoff", "destroyed"
		return nil
	})
}

// Undefine is as hypervisor.Connection's.
func (f *Fake) Undefine(_ context.Context, judged hypervisor.Domain, flags hypervisor.Flags) error {
	var found *guest
	if err := f.request("undefine", judged.UUID, func(g *guest) error {
		found = g
		now, err := f.domain(g)
		switch {
		case err != nil:
			return err
		case g.Active:
			return fmt.Errorf("undefine domain %s: %w", judged.UUID, hypervisor.ErrActive)
		case !reflect.DeepEqual(now, judged):
			return fmt.Errorf("undefine domain %s: %w", judged.UUID, hypervisor.ErrChanged)
		}
		return nil
	}); err != nil {
		return err
	}
	if f.Between != nil {
		f.Between(judged.UUID)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.undefine(found, flags)
}

func (f *Fake) undefine(g *guest, flags hypervisor.Flags) error {
	const tpmFlags = hypervisor.TPM | hypervisor.KeepTPM
	switch {
	case flags&tpmFlags != 0 && f.Version < hypervisor.WithTPMFlags:
		return Said(8, "unsupported flags in function qemuDomainUndefineFlags")
	case g.Active: // succeeds, and leaves a transient domain
		g.Persistent = false
		return nil
	}
	_, missing := os.Stat(g.made.NVRAM)
	for _, part := range []struct {
		there  bool
		flags  hypervisor.Flags // of which one must be given
		why    string
		remove func()
	}{
		{len(g.Snapshots) > 0, hypervisor.SnapshotsMetadata, "cannot delete inactive domain with 1 snapshots", func() { g.Snapshots = nil }},
		{len(g.Checkpoints) > 0, hypervisor.CheckpointsMetadata, "cannot delete inactive domain with 1 checkpoints",
			func() { g.Checkpoints = nil }},
		{g.ManagedSave, hypervisor.ManagedSave, "Refusing to undefine while domain managed save image exists", func() { g.ManagedSave = false }},
		{g.made.NVRAM != "" && missing == nil, hypervisor.NVRAM | hypervisor.KeepNVRAM, "cannot undefine domain with nvram", func() {}},
	} {
		if part.there && flags&part.flags == 0 {
			return Said(55, part.why)
		}
		part.remove()
	}
	if g.made.NVRAM != "" && missing == nil && flags&hypervisor.NVRAM != 0 {
		if err := os.Remove(g.made.NVRAM); err != nil {
			return Said(38, err.Error())
		}
	}
	delete(f.guests, g.UUID)
	return nil
}

// Define is as hypervisor.Connection's.
func (f *Fake) Define(_ context.Context, text string) error {
	return f.request("define", "", func(*guest) error {
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
			g = newGuest(Guest{UUID: domain.UUID, Name: domain.Name, NVRAM: domain.NVRAM})
			f.guests[domain.UUID] = g
		}
		g.XML, g.Persistent = text, true
		return nil
	})
}

// DefineSnapshot is as hypervisor.Connection's.
func (f *Fake) DefineSnapshot(_ context.Context, uuid string, snapshot hypervisor.Record) error {
	return f.edit("define snapshot", uuid, func(g *guest) { g.Snapshots = append(slices.Clone(g.Snapshots), snapshot) })
}

// DefineCheckpoint is as hypervisor.Connection's.
func (f *Fake) DefineCheckpoint(_ context.Context, uuid string, checkpoint hypervisor.Record) error {
	return f.edit("define checkpoint", uuid, func(g *guest) { g.Checkpoints = append(slices.Clone(g.Checkpoints), checkpoint) })
}

// SetAutostart is as hypervisor.Connection's.
func (f *Fake) SetAutostart(_ context.Context, uuid string) error {
	return f.edit("set autostart", uuid, func(g *guest) { g.Autostart = true })
}

func (f *Fake) edit(request, uuid string, change func(*guest)) error {
	return f.request(request, uuid, func(g *guest) error {
		change(g)
		return nil
	})
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
