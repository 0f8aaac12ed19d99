//go:build lab

package hypervisor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

const (
	uri    = "qemu:///system"
	folder = "/var/lib/libvirt/images"
)

var guest = hypervisortest.Guest{UUID: "11111111-f6a4-8304-79aa-97f2502e193f", Name: "instance-00000042", Running: true}

func connect(t *testing.T, open func(context.Context, string) (*hypervisor.Connection, error)) *hypervisor.Connection {
	t.Helper()
	connection, err := open(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connection.Close)
	return connection
}

func TestRealQEMUKeepsTheContract(t *testing.T) {
	hypervisortest.TestContract(t, func(t *testing.T) (hypervisor.Libvirt, hypervisortest.Host, string) {
		return connect(t, hypervisor.Open), hypervisortest.Virsh{URI: uri}, folder
	})
}

func TestAReadOnlyConnectionReadsAllAndChangesNothing(t *testing.T) {
	virsh := hypervisortest.Virsh{URI: uri}
	guest := guest
	guest.Snapshot, guest.Disk = "s1", folder+"/readonly.qcow2"
	virsh.Make(t, guest)
	connection := connect(t, hypervisor.OpenReadOnly)
	domain, err := connection.Domain(t.Context(), guest.UUID)
	if err != nil {
		t.Fatal(err)
	}
	if !domain.Active || len(domain.Snapshots) != 1 || strings.Contains(domain.XML, "hunter22") {
		t.Errorf("got %+v", domain)
	}
	if err = connection.Destroy(t.Context(), guest.UUID, domain.ID); !errors.Is(err, hypervisor.ErrDenied) {
		t.Errorf("destroy: got %v", err)
	}
	virsh.Run(t, "destroy", guest.Name)
	if domain, err = connection.Domain(t.Context(), guest.UUID); err != nil {
		t.Fatal(err)
	}
	if err = connection.Undefine(t.Context(), domain, hypervisor.SnapshotsMetadata); !errors.Is(err, hypervisor.ErrDenied) {
		t.Errorf("undefine: got %v", err)
	}
	if state := virsh.Run(t, "domstate", guest.Name); state != "shut off" {
		t.Errorf("got %s", state)
	}
}

func TestTheDefinitionIsReadWithItsSecrets(t *testing.T) {
	hypervisortest.Virsh{URI: uri}.Make(t, guest)
	domain, err := connect(t, hypervisor.Open).Domain(t.Context(), guest.UUID)
	if err != nil || !strings.Contains(domain.XML, "hunter22") {
		t.Errorf("got %v, %s", err, domain.XML)
	}
}

func TestWhatCannotBeReachedIsToldAfterAFewTries(t *testing.T) {
	_, err := hypervisor.Open(t.Context(), "qemu+unix:///system?socket=/nowhere")
	var said *hypervisor.Error
	if !errors.Is(err, hypervisor.ErrUnreachable) || !errors.As(err, &said) || said.Code != 38 {
		t.Errorf("got %v", err)
	}
	_, err = hypervisor.Open(t.Context(), "qemuu:///system")
	if !errors.As(err, &said) || said.Code != 5 {
		t.Errorf("got %v", err)
	}
}

func TestAHungDaemonEndsWithTheDeadline(t *testing.T) {
	connection := connect(t, hypervisor.Open)
	resume := suspendDaemon(t)
	defer resume()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := connection.Domain(ctx, guest.UUID)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "has not answered") {
		t.Errorf("got %v", err)
	}
}
