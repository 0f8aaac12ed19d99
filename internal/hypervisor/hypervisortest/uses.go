package hypervisortest

import (
	"slices"
	"testing"

	"nova-orphan/internal/hypervisor"
)

type runner func(name string, guest Guest, check func(t *testing.T, libvirt Libvirt, before hypervisor.Domain, folder string))

// testUses is the contract's part about who uses what.
func testUses(t *testing.T, run runner) {
	t.Helper()
	run("a domain that is off tells what it would use", Guest{Disk: "contract.qcow2", NVRAM: "contract_VARS.fd"},
		func(t *testing.T, libvirt Libvirt, _ hypervisor.Domain, folder string) {
			use := useOf(t, libvirt)
			if use.Active || use.PID != 0 || !use.QEMU || use.Name != someName ||
				len(use.Disks) != 1 || use.Disks[0].Source != folder+"/contract.qcow2" || !use.Disks[0].File || use.Disks[0].ReadOnly {
				t.Errorf("got %+v", use)
			}
			for _, path := range []string{"/contract.qcow2", "/contract_VARS.fd"} {
				if !slices.Contains(use.Uses, folder+path) {
					t.Errorf("%s is not in %q", path, use.Uses)
				}
			}
			if qemus := qemusOf(t, libvirt, folder); len(qemus) > 0 {
				t.Errorf("it is off, got %+v", qemus)
			}
		})
	run("a domain that runs is a process that has its disk open", Guest{Disk: "contract.qcow2", Running: true},
		func(t *testing.T, libvirt Libvirt, _ hypervisor.Domain, folder string) {
			use, qemus := useOf(t, libvirt), qemusOf(t, libvirt, folder)
			if !use.Active || use.PID == 0 || !slices.Contains(use.Uses, folder+"/contract.qcow2") {
				t.Errorf("got %+v", use)
			}
			if len(qemus) != 1 || qemus[0].PID != use.PID || qemus[0].Guest != someName || qemus[0].Command != "qemu-system-x86" ||
				!slices.Equal(qemus[0].Uses, []string{folder + "/contract.qcow2"}) {
				t.Errorf("got %+v, %+v", qemus, use)
			}
		})
}

func useOf(t *testing.T, libvirt Libvirt) hypervisor.DomainUse {
	t.Helper()
	uses, err := libvirt.DomainUses(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(uses, func(u hypervisor.DomainUse) bool { return u.UUID == someUUID })
	if at < 0 {
		t.Fatalf("got %+v", uses)
	}
	return uses[at]
}

func qemusOf(t *testing.T, libvirt Libvirt, folder string) []hypervisor.ProcessUse {
	t.Helper()
	found, err := libvirt.ProcessUses(t.Context(), func(path string) bool { return path == folder+"/contract.qcow2" })
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(found, func(p hypervisor.ProcessUse) bool { return p.GuestUUID != someUUID })
}
