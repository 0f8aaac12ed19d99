package instancefiles

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/ansible/ansibletest"
)

// exported is a module that goes where a process is, and looks whether the host exports a folder of that, and what is mounted there.
var exported = ansible.Module{
	Name:    "exported",
	Options: []ansible.Option{{Name: "pid", Type: ansible.Int}, {Name: "etab", Type: ansible.Path}, {Name: "path", Type: ansible.Path}},
	Inside: func(call *ansible.Call) (ansible.Process, error) {
		return ansible.Process{PID: call.Value("pid").(int)}, nil
	},
	Run: func(_ context.Context, call *ansible.Call) (ansible.Answer, error) {
		export, err := exportOf(call, call.Value("etab").(string), call.Value("path").(string))
		// Which thread a look is made on is chance.
		for range 10 {
			_, unread := ansible.OnHost(call, func() ([]string, error) { return mountPoints(mountInfo) })
			err = cmp.Or(err, unread)
		}
		return &ansible.Result{Msg: export}, err
	},
}

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"exported": func() { os.Exit(ansible.Main(os.Args, os.Stdout, exported)) }})
}

// A volume of libvirtd's container is at another path there than on the host.
func TestWhatTheHostExportsOfAContainersFoldersIsSeen(t *testing.T) {
	folder := t.TempDir()
	volume, instances, nfs := filepath.Join(folder, "volume"), filepath.Join(folder, "instances"), filepath.Join(folder, "nfs")
	if err := errors.Join(os.Mkdir(volume, 0o700), os.Mkdir(instances, 0o700), os.Mkdir(nfs, 0o700)); err != nil {
		t.Fatal(err)
	}
	away, etab := ansibletest.Elsewhere(t, "mount --bind "+volume+" "+instances+"\nmount -t tmpfs none "+nfs), filepath.Join(nfs, "etab")
	for export, want := range map[string]string{volume: volume, "/proc": ""} {
		arguments := filepath.Join(folder, "arguments")
		text := fmt.Sprintf(`{"pid": %d, "etab": %q, "path": %q}`, away, etab, instances)
		if err := errors.Join(os.WriteFile(etab, []byte(export+"\t*(rw)\n"), 0o600), os.WriteFile(arguments, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
		said, err := exec.Command("exported", arguments).Output()
		if got := gjson.GetBytes(said, "msg").String(); err != nil || got != want {
			t.Errorf("%s: got %s, %v", export, said, err)
		}
	}
}
