//go:build lab

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

var system = hypervisortest.Virsh{URI: "qemu:///system"}

func TestTheBinaryOnRealQEMU(t *testing.T) {
	commands := ansibletest.Commands("libvirt_domain_info")
	commands["guest"] = system.Command
	testscript.Run(t, testscript.Params{Dir: "testdata/lab", Cmds: commands})
}

// unreadable makes an image of which the first sector cannot be read.
func unreadable(t *testing.T, path string) {
	t.Helper()
	t.Cleanup(func() { _ = os.Remove(path) })
	for _, line := range []string{"qemu-img create -q -f qcow2 " + path + " 16M", "qemu-io -c 'write -c 0 64k' " + path} {
		if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// The header names the first table, that the second, and that what no longer can be unpacked
	// (QEMU's docs/interop/qcow2.txt).
	number := make([]byte, 8)
	at := func(offset uint64) uint64 {
		_, readErr := file.ReadAt(number, int64(offset))
		err = errors.Join(err, readErr)
		return binary.BigEndian.Uint64(number) & (1<<54 - 1)
	}
	_, writeErr := file.WriteAt(bytes.Repeat([]byte{0xff}, 16), int64(at(at(at(40)))))
	if err = errors.Join(err, writeErr); err != nil {
		t.Fatal(err)
	}
}

func TestAGuestThatAnIOErrorHasPausedIsNotPausedByHand(t *testing.T) {
	const path = "/var/lib/libvirt/images/lab-ioerror.qcow2"
	unreadable(t, path)
	guest := hypervisortest.Guest{UUID: "d0000000-0000-4000-8000-000000000005", Name: "lab-ioerror", Running: true,
		Devices: `<disk type='file'><driver name='qemu' type='qcow2' rerror_policy='stop'/><source file='` + path + `'/><target dev='vda' bus='virtio'/></disk>`}
	system.Make(t, guest)
	// Its firmware comes to the disk in a moment.
	for system.Run(t, "domstate", guest.UUID) == "running" {
		if t.Context().Err() != nil {
			t.Fatal("it does not read its disk")
		}
	}
	answer := ansibletest.Call(t, module, map[string]any{"uuid": guest.UUID})
	wantAnswer(t, answer, map[string]string{"domains.0.state": "paused", "domains.0.state_reason": "ioerror", "domains.0.active": "true"})
}

func TestALibvirtThatHangsIsKnownByTheConnectTimeout(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "libvirt-sock")
	// The kernel connects to it; nobody answers.
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	answer := ansibletest.Call(t, module, map[string]any{"uri": "qemu+unix:///system?socket=" + socket, "connect_timeout": 1})
	wantAnswer(t, answer, map[string]string{"failed": "true", "domains": ""})
	if msg := answer.Get("msg").String(); !strings.Contains(msg, "not connected within the connect_timeout of 1s") {
		t.Error(msg)
	}
}

func TestADomainThatIsOffTakesTwoCallsToLibvirtAndOneThatRunsThree(t *testing.T) {
	var calls atomic.Int32
	uri := hypervisortest.Listen(t, func(m hypervisortest.Message) bool {
		if !m.Reply {
			calls.Add(1)
		}
		return true
	})
	// The calls for the connection and the host are those that no domain takes.
	others := func() (count int) {
		calls.Store(0)
		connection, err := hypervisor.OpenReadOnly(t.Context(), uri)
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		view, err := connection.Overview(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		count = int(calls.Load())
		for _, domain := range view.Domains {
			count -= map[bool]int{true: 3, false: 2}[domain.Active] + min(domain.Snapshots, 1)
		}
		return count
	}
	before := others()
	for i := range 4 {
		system.Make(t, hypervisortest.Guest{
			UUID: fmt.Sprintf("d0000000-0000-4000-8000-00000000001%d", i), Name: fmt.Sprintf("lab-calls-%d", i), Running: i == 0,
		})
	}
	if after := others(); after != before || before > 12 {
		t.Errorf("the host takes %d calls, and with four domains more %d", before, after)
	}
}

func TestAnotherUserThanRootIsToldWhatItCouldNotSee(t *testing.T) {
	guest := hypervisortest.Guest{
		UUID: "d0000000-0000-4000-8000-000000000006", Name: "lab-private", Disk: "/var/lib/libvirt/images/lab-private.qcow2",
	}
	system.Make(t, guest)
	// In a folder that everybody can enter, which the tests' own is not.
	folder, err := os.MkdirTemp("/tmp", "call")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	instances := filepath.Join(folder, "instances")
	script := `chmod 600 "$1" && chmod 755 "$2" && mkdir -m 700 "$3" && cp "$(command -v libvirt_domain_info)" "$2" &&
		echo '{"uuid": "'$4'", "instances_path": "'$3'"}' >"$2/arguments" &&
		exec setpriv --reuid=nobody --regid=nogroup --clear-groups "$2/libvirt_domain_info" "$2/arguments"`
	out, err := exec.Command("sh", "-c", script, "sh", guest.Disk, folder, instances, guest.UUID).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	answer := gjson.ParseBytes(out)
	wantAnswer(t, answer, map[string]string{"domains.#.name": `["lab-private"]`, "instance_files": "[]", "failed": ""})
	for _, path := range []string{guest.Disk, instances} {
		if !slices.ContainsFunc(answer.Get("unread").Array(), func(text gjson.Result) bool {
			return strings.Contains(text.String(), path) && strings.HasSuffix(text.String(), "run it as root (become: true)")
		}) {
			t.Errorf("%s is not among %s", path, answer.Get("unread"))
		}
	}
}
