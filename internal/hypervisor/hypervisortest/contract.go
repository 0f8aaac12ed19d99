package hypervisortest

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/hypervisor"
)

// Host prepares domains by other means than the Libvirt under test.
type Host interface {
	Make(t testing.TB, guest Guest)
}

const (
	someUUID  = "6695eb01-f6a4-8304-79aa-97f2502e193f"
	someName  = "instance-0000002a"
	otherUUID = "7795eb01-f6a4-8304-79aa-97f2502e193f"
)

// trial is a case of the contract: what was made, as it was read, and the folder of its files.
type trial struct {
	*testing.T
	hypervisor.Libvirt
	before hypervisor.Domain
	folder string
}

// TestContract holds libvirt to what the modules rely on. Open returns it with
// no domain of the contract's left from the case before, and a folder in which
// QEMU may use files.
func TestContract(t *testing.T, open func(t *testing.T) (libvirt hypervisor.Libvirt, host Host, folder string)) {
	run := func(name string, guest Guest, check func(trial)) {
		t.Run(name, func(t *testing.T) {
			libvirt, host, folder := open(t)
			guest.UUID, guest.Name = someUUID, someName
			for _, path := range []*string{&guest.NVRAM, &guest.Disk} {
				if *path != "" {
					*path = folder + "/" + *path
				}
			}
			host.Make(t, guest)
			c := trial{t, libvirt, hypervisor.Domain{}, folder}
			c.before = c.read()
			check(c)
		})
	}
	t.Run("an unknown uuid is no domain, whatever is asked", func(t *testing.T) {
		libvirt, _, _ := open(t)
		c, ctx := trial{t, libvirt, hypervisor.Domain{}, ""}, t.Context()
		_, err := c.Domain(ctx, someUUID)
		_, unnamed := c.Named(ctx, someName)
		for _, err := range []error{
			err, unnamed, c.Destroy(ctx, someUUID, 1), c.Undefine(ctx, hypervisor.Domain{UUID: someUUID}, 0), c.SetAutostart(ctx, someUUID),
			c.DefineSnapshot(ctx, someUUID, hypervisor.Record{}), c.DefineCheckpoint(ctx, someUUID, hypervisor.Record{}),
		} {
			c.want(err, hypervisor.ErrNoDomain)
		}
	})
	run("an inactive domain is told whole and undefined", Guest{ProjectID: "p1", Disk: "contract.qcow2"}, func(c trial) {
		got := c.before
		if got.UUID != someUUID || got.Name != someName || got.Active || got.ID != -1 || got.State != "shutoff" || !got.Persistent ||
			got.Driver != "QEMU" {
			c.Errorf("got %+v", got)
		}
		if got.Nova == nil || got.Nova.ProjectID != "p1" || got.Nova.UserID != "u1" || got.Nova.Flavor != "m1.nano" {
			c.Errorf("nova: got %+v", got.Nova)
		}
		if len(got.Disks) != 1 || got.Disks[0].Source != c.folder+"/contract.qcow2" || got.UEFI != nil || got.TPM != nil {
			c.Errorf("got %+v", got.Definition)
		}
		c.undefine(0)
	})
	run("an overview tells a domain that is off", Guest{ProjectID: "p1", Disk: "contract.qcow2", Snapshot: "s1"}, func(c trial) {
		got := c.summary()
		if got.Name != someName || got.Active || got.State != "shutoff" || got.StateReason == "" || !got.Persistent || got.Autostart ||
			got.VCPUs != 1 || got.MemoryMB != 32 || got.ManagedSave || got.Snapshots != 1 || got.NVRAM != "" {
			c.Errorf("got %+v", got)
		}
		if got.Instance == nil || got.Instance.Name != "web" || got.Instance.ProjectID != "p1" || got.Instance.ProjectName != "demo" ||
			got.Instance.UserID != "u1" || got.Instance.Flavor.VCPUs != 1 || got.Instance.CreatedAt == nil {
			c.Errorf("nova: got %+v", got.Instance)
		}
		c.want(c.SetAutostart(c.Context(), someUUID), nil)
		if !c.summary().Autostart {
			c.Error("its autostart is not told")
		}
	})
	run("an overview tells a domain that runs, and its disks", Guest{Disk: "contract.qcow2", Running: true, Foreign: true}, func(c trial) {
		got := c.summary()
		want := []hypervisor.DiskUse{{
			Source: c.folder + "/contract.qcow2", Device: "vda", Kind: "disk", Type: "file", File: true, Target: got.Disks[0].Target,
		}}
		if !got.Active || got.State != "running" || got.StateReason != "booted" || got.Instance != nil || got.Snapshots != 0 {
			c.Errorf("got %+v", got)
		}
		if diff := cmp.Diff(want, got.Disks); diff != "" {
			c.Error(diff)
		}
		c.want(c.Destroy(c.Context(), someUUID, c.before.ID), nil)
		if got = c.summary(); got.Active || got.State != "shutoff" || got.StateReason != "destroyed" {
			c.Errorf("once it is off: got %+v", got)
		}
	})
	run("an overview tells a domain without a definition", Guest{Running: true, Transient: true}, func(c trial) {
		if got := c.summary(); !got.Active || got.Persistent {
			c.Errorf("got %+v", got)
		}
	})
	run("an overview tells that a guest's memory is saved", Guest{ManagedSave: true}, func(c trial) {
		if got := c.summary(); !got.ManagedSave || got.Active || got.StateReason != "saved" {
			c.Errorf("got %+v", got)
		}
	})
	run("an overview tells the host", Guest{}, func(c trial) {
		view, err := c.Overview(c.Context())
		if err != nil || view.Hostname == "" || view.Driver != "QEMU" || view.LibvirtVersion != c.before.LibvirtVersion || len(view.Unread) > 0 {
			c.Errorf("got %+v, %v", view, err)
		}
	})
	run("a running domain is neither undefined nor powered off by another run's id", Guest{Running: true}, func(c trial) {
		if !c.before.Active || c.before.ID < 1 || c.before.State != "running" {
			c.Errorf("got %+v", c.before)
		}
		c.want(c.Undefine(c.Context(), c.read(), 0), hypervisor.ErrActive)
		c.want(c.Destroy(c.Context(), someUUID, c.before.ID+1), hypervisor.ErrRestarted)
		if after := c.read(); !after.Active || !after.Persistent || after.ID != c.before.ID {
			c.Errorf("got %+v", after)
		}
		for range 2 { // off already is off
			c.want(c.Destroy(c.Context(), someUUID, c.before.ID), nil)
		}
		if after := c.read(); after.Active || !after.Persistent {
			c.Errorf("got %+v", after)
		}
		c.undefine(0)
	})
	run("a domain that is not as it was judged is not undefined", Guest{}, func(c trial) {
		c.want(c.Define(c.Context(), strings.Replace(c.before.XML, "<vcpu", "<description>another</description><vcpu", 1)), nil)
		c.want(c.Undefine(c.Context(), c.before, 0), hypervisor.ErrChanged)
		c.undefine(0)
	})
	run("what was undefined is defined again as it was, and not started",
		Guest{Snapshot: "s1", Checkpoint: "c1", Disk: "contract.qcow2", ProjectID: "p1"}, func(c trial) {
			const records = hypervisor.SnapshotsMetadata | hypervisor.CheckpointsMetadata
			c.want(c.SetAutostart(c.Context(), someUUID), nil)
			before := c.read()
			c.undefine(records)
			c.want(c.Define(c.Context(), before.XML), nil)
			if uuid, err := c.Named(c.Context(), someName); uuid != someUUID {
				c.Errorf("got %q, %v", uuid, err)
			}
			c.want(c.SetAutostart(c.Context(), someUUID), nil)
			c.want(c.DefineSnapshot(c.Context(), someUUID, before.Snapshots[0]), nil)
			c.want(c.DefineCheckpoint(c.Context(), someUUID, before.Checkpoints[0]), nil)
			if diff := cmp.Diff(before, c.read()); diff != "" {
				c.Error(diff)
			}
			c.undefine(records)
		})
	run("a name that another domain has is not given twice", Guest{}, func(c trial) {
		c.says(c.Define(c.Context(), strings.Replace(c.before.XML, someUUID, otherUUID, 1)), 9)
	})
	run("a transient domain is gone once it is off", Guest{Running: true, Transient: true}, func(c trial) {
		if !c.before.Active || c.before.Persistent {
			c.Errorf("got %+v", c.before)
		}
		c.want(c.Destroy(c.Context(), someUUID, c.before.ID), nil)
		c.gone()
	})
	run("a running domain without a definition gets one", Guest{Running: true, Transient: true}, func(c trial) {
		c.want(c.Define(c.Context(), c.before.XML), nil)
		if after := c.read(); !after.Active || !after.Persistent || after.ID != c.before.ID {
			c.Errorf("got %+v", after)
		}
	})
	for _, test := range []struct {
		name  string
		guest Guest
		there func(hypervisor.Domain, string) bool
		flag  hypervisor.Flags
	}{
		{"a managed save must be given up", Guest{ManagedSave: true},
			func(d hypervisor.Domain, _ string) bool { return d.ManagedSave && !d.Active }, hypervisor.ManagedSave},
		{"snapshot metadata must be given up", Guest{Snapshot: "s1", Disk: "contract.qcow2"},
			func(d hypervisor.Domain, _ string) bool {
				return len(d.Snapshots) == 1 && d.Snapshots[0].Name == "s1" && d.Snapshots[0].XML != ""
			}, hypervisor.SnapshotsMetadata},
		{"checkpoint metadata must be given up", Guest{Checkpoint: "c1", Disk: "contract.qcow2"},
			func(d hypervisor.Domain, _ string) bool {
				return len(d.Checkpoints) == 1 && d.Checkpoints[0].Name == "c1" && d.Checkpoints[0].XML != ""
			}, hypervisor.CheckpointsMetadata},
		{"NVRAM must be kept or given up", Guest{NVRAM: "contract_VARS.fd"},
			func(d hypervisor.Domain, folder string) bool {
				return d.UEFI != nil && d.UEFI.Path == folder+"/contract_VARS.fd"
			}, hypervisor.NVRAM},
	} {
		run(test.name, test.guest, func(c trial) {
			if !test.there(c.before, c.folder) {
				c.Errorf("got %+v", c.before)
			}
			// OPERATION_INVALID is libvirt's one number for all that stands in an undefine's way.
			c.says(c.Undefine(c.Context(), c.read(), 0), 55)
			c.undefine(test.flag)
			if _, err := os.Stat(c.folder + "/contract_VARS.fd"); !errors.Is(err, os.ErrNotExist) {
				c.Errorf("the file is still there: %v", err)
			}
		})
	}
	run("what may go is gone before the rest is refused", Guest{Snapshot: "s1", ManagedSave: true, Disk: "contract.qcow2"}, func(c trial) {
		c.says(c.Undefine(c.Context(), c.read(), hypervisor.SnapshotsMetadata), 55)
		if after := c.read(); len(after.Snapshots) != 0 || !after.ManagedSave {
			c.Errorf("got %+v: is undefine atomic now?", after)
		}
		c.undefine(hypervisor.ManagedSave)
	})
	run("NVRAM that is kept stays", Guest{NVRAM: "contract_VARS.fd"}, func(c trial) {
		c.undefine(hypervisor.KeepNVRAM)
		if _, err := os.Stat(c.before.UEFI.Path); err != nil {
			c.Error(err)
		}
	})
	run("a TPM is told, and its flags are known", Guest{TPM: true}, func(c trial) {
		if c.before.TPM == nil || c.before.TPM.PersistentState || c.before.LibvirtVersion < hypervisor.WithTPMFlags {
			c.Errorf("got %+v with libvirt %s", c.before.TPM, c.before.LibvirtVersion)
		}
		c.undefine(hypervisor.TPM)
	})
	run("a domain that is off tells what it would use", Guest{Disk: "contract.qcow2", NVRAM: "contract_VARS.fd"}, func(c trial) {
		use, qemus := c.use()
		if use.Active || use.PID != 0 || !use.QEMU || use.Name != someName || len(use.Disks) != 1 ||
			use.Disks[0].Source != c.folder+"/contract.qcow2" || !use.Disks[0].File || use.Disks[0].ReadOnly {
			c.Errorf("got %+v", use)
		}
		for _, path := range []string{"/contract.qcow2", "/contract_VARS.fd"} {
			if !slices.Contains(use.Uses, c.folder+path) {
				c.Errorf("%s is not in %q", path, use.Uses)
			}
		}
		if nvram := c.summary().NVRAM; nvram != c.folder+"/contract_VARS.fd" {
			c.Errorf("its UEFI variables are in %q", nvram)
		}
		if len(qemus) > 0 {
			c.Errorf("it is off, got %+v", qemus)
		}
	})
	run("a domain that runs is a process that has its disk open", Guest{Disk: "contract.qcow2", Running: true}, func(c trial) {
		use, qemus := c.use()
		if !use.Active || use.PID == 0 || !slices.Contains(use.Uses, c.folder+"/contract.qcow2") {
			c.Errorf("got %+v", use)
		}
		if len(qemus) != 1 || qemus[0].PID != use.PID || qemus[0].Guest != someName || qemus[0].Command != "qemu-system-x86" ||
			!slices.Equal(qemus[0].Uses, []string{c.folder + "/contract.qcow2"}) {
			c.Errorf("got %+v, %+v", qemus, use)
		}
	})
}

func (c trial) read() hypervisor.Domain {
	c.Helper()
	domain, err := c.Domain(c.Context(), someUUID)
	if err != nil {
		c.Fatal(err)
	}
	return domain
}

func (c trial) undefine(flags hypervisor.Flags) {
	c.Helper()
	c.want(c.Undefine(c.Context(), c.read(), flags), nil)
	c.gone()
}

func (c trial) gone() {
	c.Helper()
	_, err := c.Domain(c.Context(), someUUID)
	c.want(err, hypervisor.ErrNoDomain)
}

func (c trial) want(got, want error) {
	c.Helper()
	if !errors.Is(got, want) {
		c.Errorf("got error %v, want %v", got, want)
	}
}

// says wants this number of libvirt's.
func (c trial) says(got error, code int) {
	c.Helper()
	var said *hypervisor.Error
	if !errors.As(got, &said) || said.Code != code {
		c.Errorf("got error %v, want libvirt's %d", got, code)
	}
}

// summary is what an overview tells of the domain.
func (c trial) summary() hypervisor.Summary {
	c.Helper()
	view, err := c.Overview(c.Context())
	at := slices.IndexFunc(view.Domains, func(s hypervisor.Summary) bool { return s.UUID == someUUID })
	if err != nil || at < 0 {
		c.Fatalf("got %+v, %v", view, err)
	}
	return view.Domains[at]
}

// use is what the domain uses, and its QEMUs.
func (c trial) use() (hypervisor.DomainUse, []hypervisor.ProcessUse) {
	c.Helper()
	uses, err := c.DomainUses(c.Context())
	at := slices.IndexFunc(uses, func(u hypervisor.DomainUse) bool { return u.UUID == someUUID })
	if err != nil || at < 0 {
		c.Fatalf("got %+v, %v", uses, err)
	}
	found, err := c.ProcessUses(c.Context(), func(path string) bool { return path == c.folder+"/contract.qcow2" })
	if err != nil {
		c.Fatal(err)
	}
	return uses[at], slices.DeleteFunc(found, func(p hypervisor.ProcessUse) bool { return p.GuestUUID != someUUID })
}
