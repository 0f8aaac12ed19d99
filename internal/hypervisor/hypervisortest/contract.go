package hypervisortest

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/hypervisor"
)

// Libvirt is what the contract is about.
type Libvirt = hypervisor.Libvirt

// Host prepares domains by other means than the Libvirt under test.
type Host interface {
	Make(t testing.TB, guest Guest)
}

const (
	someUUID  = "6695eb01-f6a4-8304-79aa-97f2502e193f"
	someName  = "instance-0000002a"
	otherUUID = "7795eb01-f6a4-8304-79aa-97f2502e193f"
)

// TestContract holds libvirt to what the modules rely on. Open returns it with
// no domain of the contract's left from the case before, and a folder in which
// QEMU may use files.
func TestContract(t *testing.T, open func(t *testing.T) (libvirt Libvirt, host Host, folder string)) {
	var run runner = func(name string, guest Guest, check func(t *testing.T, libvirt Libvirt, before hypervisor.Domain, folder string)) {
		t.Run(name, func(t *testing.T) {
			libvirt, host, folder := open(t)
			guest.UUID, guest.Name = someUUID, someName
			if guest.NVRAM != "" {
				guest.NVRAM = folder + "/" + guest.NVRAM
			}
			if guest.Disk != "" {
				guest.Disk = folder + "/" + guest.Disk
			}
			host.Make(t, guest)
			before, err := libvirt.Domain(t.Context(), someUUID)
			if err != nil {
				t.Fatal(err)
			}
			check(t, libvirt, before, folder)
		})
	}
	t.Run("an unknown uuid is no domain, whatever is asked", func(t *testing.T) {
		libvirt, _, _ := open(t)
		_, err := libvirt.Domain(t.Context(), someUUID)
		_, unnamed := libvirt.Named(t.Context(), someName)
		for _, err := range []error{
			err, unnamed, libvirt.Destroy(t.Context(), someUUID, 1), libvirt.Undefine(t.Context(), hypervisor.Domain{UUID: someUUID}, 0),
			libvirt.SetAutostart(t.Context(), someUUID), libvirt.DefineSnapshot(t.Context(), someUUID, hypervisor.Record{}),
			libvirt.DefineCheckpoint(t.Context(), someUUID, hypervisor.Record{}),
		} {
			wantError(t, err, hypervisor.ErrNoDomain)
		}
	})
	run("an inactive domain is told whole and undefined", Guest{ProjectID: "p1", Disk: "contract.qcow2"},
		func(t *testing.T, libvirt Libvirt, got hypervisor.Domain, folder string) {
			if got.UUID != someUUID || got.Name != someName || got.Active || got.ID != -1 || got.State != "shutoff" || !got.Persistent ||
				got.Driver != "QEMU" {
				t.Errorf("got %+v", got)
			}
			if got.Nova == nil || got.Nova.ProjectID != "p1" || got.Nova.UserID != "u1" || got.Nova.Flavor != "m1.nano" {
				t.Errorf("nova: got %+v", got.Nova)
			}
			if len(got.Disks) != 1 || got.Disks[0].Source != folder+"/contract.qcow2" || got.UEFI != nil || got.TPM != nil {
				t.Errorf("got %+v", got.Definition)
			}
			undefine(t, libvirt, 0)
		})
	run("a running domain is neither undefined nor powered off by another run's id", Guest{Running: true},
		func(t *testing.T, libvirt Libvirt, before hypervisor.Domain, _ string) {
			if !before.Active || before.ID < 1 || before.State != "running" {
				t.Errorf("got %+v", before)
			}
			wantError(t, libvirt.Undefine(t.Context(), read(t, libvirt), 0), hypervisor.ErrActive)
			wantError(t, libvirt.Destroy(t.Context(), someUUID, before.ID+1), hypervisor.ErrRestarted)
			after := read(t, libvirt)
			if !after.Active || !after.Persistent || after.ID != before.ID {
				t.Errorf("got %+v", after)
			}
			for range 2 { // off already is off
				wantError(t, libvirt.Destroy(t.Context(), someUUID, before.ID), nil)
			}
			if after := read(t, libvirt); after.Active || !after.Persistent {
				t.Errorf("got %+v", after)
			}
			undefine(t, libvirt, 0)
		})
	run("a domain that is not as it was judged is not undefined", Guest{},
		func(t *testing.T, libvirt Libvirt, before hypervisor.Domain, _ string) {
			wantError(t, libvirt.Define(t.Context(), strings.Replace(before.XML, "<vcpu", "<description>another</description><vcpu", 1)), nil)
			wantError(t, libvirt.Undefine(t.Context(), before, 0), hypervisor.ErrChanged)
			undefine(t, libvirt, 0)
		})
	run("what was undefined is defined again as it was, and not started",
		Guest{Snapshot: "s1", Checkpoint: "c1", Disk: "contract.qcow2", ProjectID: "p1"},
		func(t *testing.T, libvirt Libvirt, _ hypervisor.Domain, _ string) {
			wantError(t, libvirt.SetAutostart(t.Context(), someUUID), nil)
			before := read(t, libvirt)
			undefine(t, libvirt, hypervisor.SnapshotsMetadata|hypervisor.CheckpointsMetadata)
			wantError(t, libvirt.Define(t.Context(), before.XML), nil)
			if uuid, err := libvirt.Named(t.Context(), someName); uuid != someUUID {
				t.Errorf("got %q, %v", uuid, err)
			}
			wantError(t, libvirt.SetAutostart(t.Context(), someUUID), nil)
			wantError(t, libvirt.DefineSnapshot(t.Context(), someUUID, before.Snapshots[0]), nil)
			wantError(t, libvirt.DefineCheckpoint(t.Context(), someUUID, before.Checkpoints[0]), nil)
			if diff := cmp.Diff(before, read(t, libvirt)); diff != "" {
				t.Error(diff)
			}
			undefine(t, libvirt, hypervisor.SnapshotsMetadata|hypervisor.CheckpointsMetadata)
		})
	run("a name that another domain has is not given twice", Guest{},
		func(t *testing.T, libvirt Libvirt, before hypervisor.Domain, _ string) {
			var said *hypervisor.Error
			if err := libvirt.Define(t.Context(), strings.Replace(before.XML, someUUID, otherUUID, 1)); !errors.As(err, &said) || said.Code != 9 {
				t.Errorf("got %v, want libvirt's 9", err)
			}
		})
	run("a transient domain is gone once it is off", Guest{Running: true, Transient: true},
		func(t *testing.T, libvirt Libvirt, before hypervisor.Domain, _ string) {
			if !before.Active || before.Persistent {
				t.Errorf("got %+v", before)
			}
			wantError(t, libvirt.Destroy(t.Context(), someUUID, before.ID), nil)
			wantGone(t, libvirt)
		})
	run("a running domain without a definition gets one", Guest{Running: true, Transient: true},
		func(t *testing.T, libvirt Libvirt, before hypervisor.Domain, _ string) {
			wantError(t, libvirt.Define(t.Context(), before.XML), nil)
			if after := read(t, libvirt); !after.Active || !after.Persistent || after.ID != before.ID {
				t.Errorf("got %+v", after)
			}
		})
	run("a managed save must be given up", Guest{ManagedSave: true},
		func(t *testing.T, libvirt Libvirt, before hypervisor.Domain, _ string) {
			if !before.ManagedSave || before.Active {
				t.Errorf("got %+v", before)
			}
			wantInvalid(t, libvirt.Undefine(t.Context(), read(t, libvirt), 0))
			undefine(t, libvirt, hypervisor.ManagedSave)
		})
	run("snapshot metadata must be given up", Guest{Snapshot: "s1", Disk: "contract.qcow2"},
		func(t *testing.T, libvirt Libvirt, before hypervisor.Domain, _ string) {
			if len(before.Snapshots) != 1 || before.Snapshots[0].Name != "s1" || before.Snapshots[0].XML == "" {
				t.Errorf("got %+v", before.Snapshots)
			}
			wantInvalid(t, libvirt.Undefine(t.Context(), read(t, libvirt), 0))
			undefine(t, libvirt, hypervisor.SnapshotsMetadata)
		})
	run("checkpoint metadata must be given up", Guest{Checkpoint: "c1", Disk: "contract.qcow2"},
		func(t *testing.T, libvirt Libvirt, before hypervisor.Domain, _ string) {
			if len(before.Checkpoints) != 1 || before.Checkpoints[0].Name != "c1" || before.Checkpoints[0].XML == "" {
				t.Errorf("got %+v", before.Checkpoints)
			}
			wantInvalid(t, libvirt.Undefine(t.Context(), read(t, libvirt), 0))
			undefine(t, libvirt, hypervisor.CheckpointsMetadata)
		})
	testUses(t, run)
	run("what may go is gone before the rest is refused", Guest{Snapshot: "s1", ManagedSave: true, Disk: "contract.qcow2"},
		func(t *testing.T, libvirt Libvirt, _ hypervisor.Domain, _ string) {
			wantInvalid(t, libvirt.Undefine(t.Context(), read(t, libvirt), hypervisor.SnapshotsMetadata))
			if after := read(t, libvirt); len(after.Snapshots) != 0 || !after.ManagedSave {
				t.Errorf("got %+v: is undefine atomic now?", after)
			}
			undefine(t, libvirt, hypervisor.ManagedSave)
		})
	run("NVRAM must be kept or given up", Guest{NVRAM: "contract_VARS.fd"},
		func(t *testing.T, libvirt Libvirt, before hypervisor.Domain, folder string) {
			if before.UEFI == nil || before.UEFI.Path != folder+"/contract_VARS.fd" {
				t.Errorf("got %+v", before.UEFI)
			}
			wantInvalid(t, libvirt.Undefine(t.Context(), read(t, libvirt), 0))
			undefine(t, libvirt, hypervisor.NVRAM)
			if _, err := os.Stat(before.UEFI.Path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the file is still there: %v", err)
			}
		})
	run("NVRAM that is kept stays", Guest{NVRAM: "contract_VARS.fd"},
		func(t *testing.T, libvirt Libvirt, before hypervisor.Domain, _ string) {
			undefine(t, libvirt, hypervisor.KeepNVRAM)
			if _, err := os.Stat(before.UEFI.Path); err != nil {
				t.Error(err)
			}
		})
	run("a TPM is told, and its flags are known", Guest{TPM: true},
		func(t *testing.T, libvirt Libvirt, before hypervisor.Domain, _ string) {
			if before.TPM == nil || before.TPM.PersistentState || before.LibvirtVersion < hypervisor.WithTPMFlags {
				t.Errorf("got %+v with libvirt %s", before.TPM, before.LibvirtVersion)
			}
			undefine(t, libvirt, hypervisor.TPM)
		})
}

func read(t *testing.T, libvirt Libvirt) hypervisor.Domain {
	t.Helper()
	domain, err := libvirt.Domain(t.Context(), someUUID)
	if err != nil {
		t.Fatal(err)
	}
	return domain
}

func undefine(t *testing.T, libvirt Libvirt, flags hypervisor.Flags) {
	t.Helper()
	wantError(t, libvirt.Undefine(t.Context(), read(t, libvirt), flags), nil)
	wantGone(t, libvirt)
}

func wantGone(t *testing.T, libvirt Libvirt) {
	t.Helper()
	_, err := libvirt.Domain(t.Context(), someUUID)
	wantError(t, err, hypervisor.ErrNoDomain)
}

func wantError(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got error %v, want %v", got, want)
	}
}

// wantInvalid wants OPERATION_INVALID, libvirt's one number for all that stands
// in an undefine's way.
func wantInvalid(t *testing.T, got error) {
	t.Helper()
	var said *hypervisor.Error
	if !errors.As(got, &said) || said.Code != 55 {
		t.Errorf("got error %v, want libvirt's 55", got)
	}
}
