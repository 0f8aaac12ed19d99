package ansible_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/ansible/ansibletest"
)

// visitor is a module that goes where a process is, and reads a file there and on the host.
var visitor = ansible.Module{
	Name:    "visitor",
	Options: []ansible.Option{{Name: "pid", Type: ansible.Int}, {Name: "file", Type: ansible.Path}},
	Inside: func(call *ansible.Call) (ansible.Process, error) {
		return ansible.Process{PID: call.Value("pid").(int)}, nil
	},
	Run: func(_ context.Context, call *ansible.Call) (ansible.Answer, error) {
		file := call.Value("file").(string)
		there, err := os.ReadFile(file)
		onHost, unread := ansible.OnHost(call, func() ([]byte, error) { return os.ReadFile(file) })
		byProgram, failed := ansible.OnHost(call, func() ([]byte, error) { return exec.Command("cat", file).Output() })
		working, lost := os.Getwd()
		return &ansible.Result{Msg: fmt.Sprintf("%s, %s, %s, %s", there, onHost, byProgram, working)}, errors.Join(err, unread, failed, lost)
	},
}

func TestAModuleGoesWhereItsDaemonIs(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, []byte("on the host"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The link leads to a path that both have.
	if err := os.Symlink(folder, folder+".link"); err != nil {
		t.Fatal(err)
	}
	away := ansibletest.Elsewhere(t, "mount -t tmpfs none "+folder+"\nprintf elsewhere > "+file)
	binary, err := exec.LookPath("visitor")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		pid  int
		want string
	}{
		{"there is none elsewhere", 0, "on the host, on the host, on the host, "},
		{"there is one elsewhere", away, "elsewhere, on the host, on the host, /"},
		{"it is gone", 1 << 22, "enter the mount namespace of process 4194304: open its root: no such file or directory"},
	} {
		given := filepath.Join(t.TempDir(), "arguments")
		arguments := fmt.Sprintf(`{"pid": %d, "file": "%s.link/file"}`, test.pid, folder)
		if err := os.WriteFile(given, []byte(arguments), 0o600); err != nil {
			t.Fatal(err)
		}
		for where, argv := range map[string][]string{
			"on the host": {binary, given},
			// Nobody but the module keeps that namespace, in which the file is on a mount.
			"in one of its own": {"unshare", "--mount", "sh", "-c", "mount --bind " + folder + " " + folder + ` && exec "$@"`, "sh", binary, given},
		} {
			said, _ := exec.Command(argv[0], argv[1:]...).Output()
			if got := gjson.GetBytes(said, "msg").String(); !strings.HasPrefix(got, test.want) {
				t.Errorf("%s, %s: got %s", test.name, where, said)
			}
		}
	}
}
