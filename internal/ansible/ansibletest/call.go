package ansibletest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible"
)

// Call calls a module in this process, from the arguments' file to the answer.
func Call(t *testing.T, module ansible.Module, arguments map[string]any) gjson.Result {
	t.Helper()
	content, err := json.Marshal(arguments)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "arguments.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout bytes.Buffer
	status := ansible.Main([]string{module.Name, file}, &stdout, module)
	answer := gjson.ParseBytes(Only(stdout.Bytes()))
	if (status == 1) != answer.Get("failed").Bool() {
		t.Fatalf("exit status %d, answer %s", status, stdout.String())
	}
	return answer
}
