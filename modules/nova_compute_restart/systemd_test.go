package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWhatSystemctlSaysIsTold(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	for _, test := range []struct{ name, script, out, err string }{
		{"it is done", `echo "$*"`, "restart -- nova-compute\n", ""},
		{"it fails", `echo "Unit nova-compute.service not found." >&2; exit 5`, "", "systemctl restart: exit status 5: Unit nova-compute.service not found."},
		{"it does not come back, and its child holds the pipe", `sleep 60`, "", "systemctl restart has not come back, what was asked may still happen"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(folder, "systemctl"), []byte("#!/bin/sh\n"+test.script+"\n"), 0o700); err != nil {
				t.Fatal(err)
			}
			limit := time.Minute
			if strings.HasPrefix(test.script, "sleep") {
				limit = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			out, err := execute(ctx, "systemctl", "restart", "--", "nova-compute")
			if err == nil {
				err = errors.New("")
			}
			if out != test.out || !strings.HasPrefix(err.Error(), test.err) || (test.err == "") != (err.Error() == "") {
				t.Errorf("got %q, %v", out, err)
			}
		})
	}
}
