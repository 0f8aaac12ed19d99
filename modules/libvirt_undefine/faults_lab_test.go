//go:build lab

package main

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/hypervisor/hypervisortest"
)

var faultyGuest = hypervisortest.Guest{UUID: "c0000000-0000-4000-8000-000000000004", Name: "lab-fault", ProjectID: "p1"}

func shell(t *testing.T, command string, args ...string) string {
	t.Helper()
	out, err := exec.Command(command, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", command, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// as calls the module as another user, who may see the host's processes.
func as(user, group string) (wrapper []string) {
	const capabilities = "+sys_ptrace,+dac_read_search"
	return []string{"setpriv", "--reuid=" + user, "--regid=" + group, "--clear-groups", "--inh-caps=" + capabilities, "--ambient-caps=" +
		capabilities, "--"}
}

// mount mounts a tmpfs at a folder of its own, and returns that.
func mount(t *testing.T, options string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	shell(t, "mount", "-t", "tmpfs", "-o", options, "tmpfs", folder)
	t.Cleanup(func() { shell(t, "umount", folder) })
	return folder
}

// restartLibvirtd restarts it more often than systemd thinks is good.
func restartLibvirtd(t *testing.T) {
	t.Helper()
	shell(t, "systemctl", "reset-failed", "libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket")
	shell(t, "systemctl", "restart", "libvirtd.service")
}

// reconfigure replaces a setting of libvirtd's configuration for the test's duration.
func reconfigure(t *testing.T, setting string) {
	t.Helper()
	const path = "/etc/libvirt/libvirtd.conf"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(setting, " ")
	lines := []string{setting}
	for _, line := range strings.Split(string(content), "\n") {
		if !strings.HasPrefix(line, name) {
			lines = append(lines, line)
		}
	}
	other := filepath.Join(t.TempDir(), "libvirtd.conf")
	if err := os.WriteFile(other, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	shell(t, "mount", "--bind", other, path)
	t.Cleanup(func() {
		shell(t, "umount", path)
		restartLibvirtd(t)
	})
	restartLibvirtd(t)
}

// thenWorks wants a run without the fault to finish the undefine.
func thenWorks(t *testing.T, guest hypervisortest.Guest, changed string) {
	t.Helper()
	answer := start(t, guest, map[string]any{"backup_dir": t.TempDir()}).answer(t)
	wantAnswer(t, answer, map[string]string{"failed": "false", "changed": changed})
	wantState(t, guest, "")
}

func TestABackupThatCannotBeWrittenStopsEverything(t *testing.T) {
	full := mount(t, "size=64k")
	if err := os.WriteFile(filepath.Join(full, "ballast"), make([]byte, 60<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	for title, c := range map[string]struct{ dir, msg string }{
		"a full disk":             {full, "no space left on device"},
		"a read-only file system": {mount(t, "size=64k,ro"), "read-only file system"},
		"a file in its place":     {filepath.Join(full, "ballast"), "not a directory"},
	} {
		t.Run(title, func(t *testing.T) {
			guest := faultyGuest
			guest.Running = true
			system.Make(t, guest)
			answer := start(t, guest, map[string]any{"backup_dir": c.dir, "destroy": true}).answer(t)
			wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "false", "backup_file": "", "msg": c.msg})
			wantAnswer(t, answer, map[string]string{"msg": "give another backup_dir"})
			wantState(t, guest, "running")
			answer = start(t, guest, map[string]any{"backup_dir": c.dir, "state": "saved"}).answer(t)
			wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "false", "backup_file": "", "found": "true", "msg": c.msg})
			if left, _ := filepath.Glob(filepath.Join(c.dir, "*", "*")); len(left) > 0 {
				t.Errorf("left %v", left)
			}
			if left, _ := filepath.Glob(filepath.Join(c.dir, "*", ".*")); len(left) > 0 {
				t.Errorf("left %v", left)
			}
			system.Run(t, "destroy", guest.Name)
			thenWorks(t, guest, "true")
		})
	}
}

func TestARestoreOnAFullDiskIsFinishedLater(t *testing.T) {
	guest, dir, folder := faultyGuest, t.TempDir(), mount(t, "size=1m")
	guest.NVRAM = filepath.Join(folder, "v.fd")
	system.Make(t, guest)
	before := picture(t, guest)
	purged := start(t, guest, map[string]any{"backup_dir": dir}).answer(t)
	ballast := filepath.Join(folder, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 700<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	restore := map[string]any{"backup_dir": dir, "state": present, "backup_file": purged.Get("backup_file").String()}
	wantAnswer(t, start(t, guest, restore).answer(t),
		map[string]string{"failed": "true", "changed": "false", "msg": "no space left on device; once that is dealt with, run this again"})
	wantState(t, guest, "")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, start(t, guest, restore).answer(t), map[string]string{"failed": "false", "changed": "true"})
	if diff := cmp.Diff(before, picture(t, guest)); diff != "" {
		t.Error(diff)
	}
}

func TestAHungLibvirtdEndsWithTheDeadline(t *testing.T) {
	guest := faultyGuest
	system.Make(t, guest)
	pid := shell(t, "systemctl", "show", "--property=MainPID", "--value", "libvirtd.service")
	shell(t, "kill", "-STOP", pid)
	t.Cleanup(func() { shell(t, "kill", "-CONT", pid) })
	answer := start(t, guest, map[string]any{"backup_dir": t.TempDir(), "timeout": 2}).answer(t)
	wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "false", "verdict": "unknown", "found": "false",
		"msg": "libvirt has not answered"})
	shell(t, "kill", "-CONT", pid)
	thenWorks(t, guest, "true")
}

func TestARestartOfLibvirtdMidCallIsSurvived(t *testing.T) {
	for title, at := range map[string]hypervisortest.Message{
		"before it is told to power off": call(hypervisortest.DestroyFlags, 1),
		"before it tells of it":          reply(hypervisortest.DestroyFlags),
		"before it is told to undefine":  call(hypervisortest.UndefineFlags, 1),
		"before it tells of that":        reply(hypervisortest.UndefineFlags),
		"before it verifies":             call(hypervisortest.LookupByUUID, 6),
	} {
		t.Run(title, func(t *testing.T) {
			guest := faultyGuest
			guest.Running = true
			system.Make(t, guest)
			gate := newGate(t, at)
			p := start(t, guest, map[string]any{"backup_dir": t.TempDir(), "destroy": true, "uri": gate.uri})
			gate.wait(t, p)
			restartLibvirtd(t)
			gate.open(false)
			wantAnswer(t, p.answer(t), map[string]string{"failed": "false", "changed": "true", "verdict": "", "removed": `["domain"]`})
			thenWorks(t, guest, "false")
		})
	}
}

func TestALibvirtdThatGoesAwayMidCallIsTold(t *testing.T) {
	guest := faultyGuest
	system.Make(t, guest)
	gate := newGate(t, call(hypervisortest.UndefineFlags, 1))
	p := start(t, guest, map[string]any{"backup_dir": t.TempDir(), "uri": gate.uri})
	gate.wait(t, p)
	units := []string{"libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "libvirtd.service"}
	systemctl := func(verb string) { shell(t, "systemctl", append([]string{verb}, units...)...) }
	systemctl("reset-failed")
	systemctl("stop")
	t.Cleanup(func() { systemctl("start") })
	gate.open(false)
	answer := p.answer(t)
	wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "false", "libvirt_code": "38", "msg": "run the module again to see"})
	if answer.Get("backup_file").String() == "" {
		t.Errorf("does not name its backup: %s", answer)
	}
	systemctl("start")
	thenWorks(t, guest, "true")
}

func TestWhoMayNotIsToldSo(t *testing.T) {
	nobody := as("nobody", "nogroup")
	account, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(account.Uid)
	if err != nil {
		t.Fatal(err)
	}
	const lost = "what no restore brings back: the passwords of its displays, if it has any, which libvirt denies to this user"
	for title, c := range map[string]struct {
		config  string
		uri     string
		wrapper []string
		code    string
		found   string
		lost    string // the plan's last line
	}{
		"the read-only socket":    {uri: "qemu+unix:///system?socket=/var/run/libvirt/libvirt-sock-ro", code: "29", found: "true", lost: lost},
		"polkit at the socket":    {config: `auth_unix_rw = "polkit"`, wrapper: nobody, code: "94", found: "false"},
		"polkit's access control": {config: `access_drivers = ["polkit"]`, wrapper: nobody, code: "88", found: "true", lost: lost},
		"the socket's mode": {uri: "qemu+unix:///system?socket=/var/run/libvirt/libvirt-admin-sock", wrapper: nobody, code: "38",
			found: "false"},
	} {
		t.Run(title, func(t *testing.T) {
			guest, dir := faultyGuest, t.TempDir()
			system.Make(t, guest)
			if c.config != "" {
				reconfigure(t, c.config)
			}
			for folder := dir; folder != os.TempDir(); folder = filepath.Dir(folder) {
				if err := os.Chmod(folder, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chown(dir, uid, -1); err != nil {
				t.Fatal(err)
			}
			arguments := map[string]any{"backup_dir": dir}
			if c.uri != "" {
				arguments["uri"] = c.uri
			}
			answer := start(t, guest, arguments, c.wrapper...).answer(t)
			wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "false", "libvirt_code": c.code, "found": c.found,
				"msg": "become: true"})
			wantAnswer(t, answer, map[string]string{"plan.2": c.lost})
			wantState(t, guest, "shut off")
		})
	}
}

func TestTheModularDaemonsSocketIsFound(t *testing.T) {
	guest := faultyGuest
	system.Make(t, guest)
	// virtqemud's socket, and none where the monolithic daemon's is, in a namespace of the run's own.
	script := `mkdir -p /run/lab-modular && mount --bind /run/libvirt /run/lab-modular && mount -t tmpfs tmpfs /run/libvirt &&
		ln -s /run/lab-modular/libvirt-sock /run/libvirt/virtqemud-sock && exec "$@"`
	t.Cleanup(func() { shell(t, "rmdir", "/run/lab-modular") })
	answer := start(t, guest, map[string]any{"backup_dir": t.TempDir()}, "unshare", "--mount", "sh", "-c", script, "sh").answer(t)
	wantAnswer(t, answer, map[string]string{"failed": "false", "changed": "true"})
	wantState(t, guest, "")
}
