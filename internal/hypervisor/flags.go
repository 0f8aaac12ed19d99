package hypervisor

import "slices"

// Flags are virDomainUndefineFlagsValues (libvirt-domain.h), here once more so
// that a plan can be made and tested without libvirt.
type Flags uint32

// What is removed, or kept, together with the definition.
const (
	ManagedSave         Flags = 1
	SnapshotsMetadata   Flags = 2
	NVRAM               Flags = 4
	KeepNVRAM           Flags = 8
	CheckpointsMetadata Flags = 16
	TPM                 Flags = 32
	KeepTPM             Flags = 64
)

// Names lists the flags as virsh and community.libvirt call them.
func (f Flags) Names() []string {
	names := map[Flags]string{
		ManagedSave: "managed_save", SnapshotsMetadata: "snapshots_metadata", NVRAM: "nvram", KeepNVRAM: "keep_nvram",
		CheckpointsMetadata: "checkpoints_metadata", TPM: "tpm", KeepTPM: "keep_tpm",
	}
	set := []string{}
	for flag, name := range names {
		if f&flag != 0 {
			set = append(set, name)
		}
	}
	slices.Sort(set)
	return set
}
