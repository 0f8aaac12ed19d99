package nova

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhereNovaManageIs(t *testing.T) {
	for _, test := range []struct {
		name  string
		files []string
		want  string
	}{
		{"packages", []string{"bin/nova-manage", "bin/podman"}, "bin/nova-manage"},
		{"the virtual environment that is in use", []string{"venvs/nova-2/bin/nova-manage", "venvs/nova-1/bin/nova-manage"},
			"venvs/nova-2/bin/nova-manage"},
		{"nova-api's container", []string{"bin/podman"}, "bin/podman exec nova_api nova-manage"},
		{"nova-api's container, which docker runs", []string{"bin/docker"}, "bin/docker exec nova_api nova-manage"},
		{"one of two engines", []string{"bin/docker", "bin/podman"}, ""},
		{"podman, and its script that is called docker", []string{"bin/docker=#!/bin/sh", "bin/podman"}, "bin/podman exec nova_api nova-manage"},
		{"none", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			root, err := filepath.EvalSymlinks(t.TempDir())
			err = errors.Join(err, os.MkdirAll(filepath.Join(root, "venvs/nova-2/etc/nova"), 0o700),
				os.Symlink(filepath.Join(root, "venvs/nova-2/etc/nova"), filepath.Join(root, "nova")))
			for _, path := range test.files {
				file, content, _ := strings.Cut(filepath.Join(root, path), "=")
				err = errors.Join(err, os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(content), 0o700))
			}
			// A folder of that name, and a file that is no program, are none.
			err = errors.Join(err, os.MkdirAll(filepath.Join(root, "other/nova-manage"), 0o700),
				os.WriteFile(filepath.Join(root, "other/docker"), nil, 0o600))
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", filepath.Join(root, "other")+":"+filepath.Join(root, "bin"))
			command := strings.Join(Manage(filepath.Join(root, "nova", "nova.conf")), " ")
			if got := strings.TrimPrefix(command, root+"/"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
