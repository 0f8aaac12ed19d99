//go:build cgo && libvirt_dlopen

package hypervisor

import (
	"testing"

	"libvirt.org/go/libvirt"
)

func TestAStateHasTheReasonThatLibvirtNames(t *testing.T) {
	for state, reasons := range map[libvirt.DomainState]map[int]string{
		libvirt.DOMAIN_RUNNING: {
			int(libvirt.DOMAIN_RUNNING_UNKNOWN): "unknown", int(libvirt.DOMAIN_RUNNING_BOOTED): "booted",
			int(libvirt.DOMAIN_RUNNING_MIGRATED): "migrated", int(libvirt.DOMAIN_RUNNING_RESTORED): "restored",
			int(libvirt.DOMAIN_RUNNING_FROM_SNAPSHOT): "from_snapshot", int(libvirt.DOMAIN_RUNNING_UNPAUSED): "unpaused",
			int(libvirt.DOMAIN_RUNNING_MIGRATION_CANCELED): "migration_canceled", int(libvirt.DOMAIN_RUNNING_SAVE_CANCELED): "save_canceled",
			int(libvirt.DOMAIN_RUNNING_WAKEUP): "wakeup", int(libvirt.DOMAIN_RUNNING_CRASHED): "crashed",
			int(libvirt.DOMAIN_RUNNING_POSTCOPY): "postcopy", int(libvirt.DOMAIN_RUNNING_POSTCOPY_FAILED): "postcopy_failed",
		},
		libvirt.DOMAIN_PAUSED: {
			int(libvirt.DOMAIN_PAUSED_UNKNOWN): "unknown", int(libvirt.DOMAIN_PAUSED_USER): "user",
			int(libvirt.DOMAIN_PAUSED_MIGRATION): "migration", int(libvirt.DOMAIN_PAUSED_SAVE): "save", int(libvirt.DOMAIN_PAUSED_DUMP): "dump",
			int(libvirt.DOMAIN_PAUSED_IOERROR): "ioerror", int(libvirt.DOMAIN_PAUSED_WATCHDOG): "watchdog",
			int(libvirt.DOMAIN_PAUSED_FROM_SNAPSHOT): "from_snapshot", int(libvirt.DOMAIN_PAUSED_SHUTTING_DOWN): "shutting_down",
			int(libvirt.DOMAIN_PAUSED_SNAPSHOT): "snapshot", int(libvirt.DOMAIN_PAUSED_CRASHED): "crashed",
			int(libvirt.DOMAIN_PAUSED_STARTING_UP): "starting_up", int(libvirt.DOMAIN_PAUSED_POSTCOPY): "postcopy",
			int(libvirt.DOMAIN_PAUSED_POSTCOPY_FAILED): "postcopy_failed", int(libvirt.DOMAIN_PAUSED_API_ERROR): "api_error",
		},
		libvirt.DOMAIN_SHUTDOWN: {
			int(libvirt.DOMAIN_SHUTDOWN_UNKNOWN): "unknown", int(libvirt.DOMAIN_SHUTDOWN_USER): "user",
		},
		libvirt.DOMAIN_SHUTOFF: {
			int(libvirt.DOMAIN_SHUTOFF_UNKNOWN): "unknown", int(libvirt.DOMAIN_SHUTOFF_SHUTDOWN): "shutdown",
			int(libvirt.DOMAIN_SHUTOFF_DESTROYED): "destroyed", int(libvirt.DOMAIN_SHUTOFF_CRASHED): "crashed",
			int(libvirt.DOMAIN_SHUTOFF_MIGRATED): "migrated", int(libvirt.DOMAIN_SHUTOFF_SAVED): "saved",
			int(libvirt.DOMAIN_SHUTOFF_FAILED): "failed", int(libvirt.DOMAIN_SHUTOFF_FROM_SNAPSHOT): "from_snapshot",
			int(libvirt.DOMAIN_SHUTOFF_DAEMON): "daemon",
		},
		libvirt.DOMAIN_CRASHED: {
			int(libvirt.DOMAIN_CRASHED_UNKNOWN): "unknown", int(libvirt.DOMAIN_CRASHED_PANICKED): "panicked",
		},
		libvirt.DOMAIN_NOSTATE:     {int(libvirt.DOMAIN_NOSTATE_UNKNOWN): "unknown"},
		libvirt.DOMAIN_BLOCKED:     {int(libvirt.DOMAIN_BLOCKED_UNKNOWN): "unknown"},
		libvirt.DOMAIN_PMSUSPENDED: {int(libvirt.DOMAIN_PMSUSPENDED_UNKNOWN): "unknown"},
	} {
		for reason, want := range reasons {
			if got := reasonName(int(state), reason); got != want {
				t.Errorf("%s: %d is %q, want %q", stateName(int(state)), reason, got, want)
			}
		}
		for _, reason := range []int{-1, len(reasons)} {
			if got := reasonName(int(state), reason); got != "unknown" {
				t.Errorf("%s: %d is %q", stateName(int(state)), reason, got)
			}
		}
	}
	if got := reasonName(99, 1); got != "unknown" {
		t.Errorf("of a state that nobody knows: got %q", got)
	}
}
