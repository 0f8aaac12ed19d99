package ansibletest

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible"
)

// write writes the file that Ansible gives a module.
func write(t *testing.T, arguments map[string]any) (file string) {
	t.Helper()
	content, err := json.Marshal(arguments)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "arguments.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Call calls a module in this process, from the arguments' file to the answer.
func Call(t *testing.T, module ansible.Module, arguments map[string]any) gjson.Result {
	t.Helper()
	var stdout bytes.Buffer
	status := ansible.Main([]string{module.Name, write(t, arguments)}, &stdout, module)
	if err := judge(stdout.Bytes(), status); err != nil {
		t.Fatalf("%v: %s", err, stdout.String())
	}
	return gjson.ParseBytes(Only(stdout.Bytes()))
}

// SilentCall is one that writes nothing to syslog.
func SilentCall(t *testing.T, check bool) (call *ansible.Call) {
	t.Helper()
	Call(t, ansible.Module{Run: func(_ context.Context, c *ansible.Call) (ansible.Answer, error) {
		call = c
		return &ansible.Result{}, nil
	}}, map[string]any{"_ansible_no_log": true, "_ansible_check_mode": check})
	return call
}
