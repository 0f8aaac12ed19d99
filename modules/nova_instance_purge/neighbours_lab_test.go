//go:build lab

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/nova/novalab"
)

// look is the other cell's row of an instance and of its fault.
func look(t *testing.T, lab *novalab.Databases, uuid string) string {
	t.Helper()
	var found []string
	for _, query := range []string{
		"SELECT CONCAT_WS(' ', id, deleted, deleted_at, updated_at, vm_state, display_name, host) FROM instances WHERE uuid = ?",
		"SELECT CONCAT_WS(' ', id, deleted, deleted_at, updated_at) FROM instance_faults WHERE instance_uuid = ?",
	} {
		found = append(found, novalab.Text(t, lab.Cell0, query, uuid))
	}
	return strings.Join(found, "; ")
}

func TestAnInstanceWithTheSameIDAndNameInAnotherCellIsLeftAlone(t *testing.T) {
	lab := novalab.New(t)
	const ours, theirs = "bbbbbbb1-0000-4000-8000-000000000000", "bbbbbbb2-0000-4000-8000-000000000000"
	instance := lab.NewInstance(t, ours)
	novalab.Insert(t, lab.Cell0, "instances", map[string]any{"id": instance.ID, "uuid": theirs, "deleted": 0, "vm_state": "error",
		"display_name": "caf\u00e9 bbbb", "host": "compute1", "hidden": 0})
	fault := novalab.Text(t, lab.Cell1, "SELECT id FROM instance_faults WHERE instance_uuid = ?", ours)
	novalab.Insert(t, lab.Cell0, "instance_faults", map[string]any{"id": fault, "instance_uuid": theirs, "code": 500, "deleted": 0})
	before := look(t, lab, theirs)
	if answer := call(t, lab.Conf, t.TempDir(), ours, false, nil); answer.Get("failed").Bool() ||
		answer.Get("instance.cell.name").String() != "cell1" {
		t.Errorf("got %s", answer)
	}
	expectFinished(t, lab, instance)
	if diff := cmp.Diff(before, look(t, lab, theirs)); diff != "" {
		t.Errorf("the other one was changed: %s", diff)
	}
}

func TestNoCellsAreNotAnAbsentInstance(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "bbbbbbb3-0000-4000-8000-000000000000"
	lab.NewInstance(t, uuid)
	novalab.Exec(t, lab.API, "DELETE FROM instance_mappings")
	novalab.Exec(t, lab.API, "DELETE FROM cell_mappings")
	before := lab.Everything(t, uuid)
	answer := call(t, lab.Conf, t.TempDir(), uuid, false, nil)
	if !answer.Get("failed").Bool() || answer.Get("verdict").String() != "unknown" ||
		!strings.Contains(answer.Get("msg").String(), "cell_mappings has no rows") {
		t.Errorf("got %s", answer)
	}
	if diff := cmp.Diff(before, lab.Everything(t, uuid)); diff != "" {
		t.Errorf("rows were changed: %s", diff)
	}
}

// count is how Nova counts what a project uses: of instances from their mappings,
// where [quota]count_usage_from_placement is on, and of cores from the cells,
// where it is off (nova/quota.py).
const count = `
import sys
from nova import config, context, objects
config.parse_args(['test', '--config-file', sys.argv[1]])
objects.register_all()
admin = context.get_admin_context()
print(objects.InstanceMappingList.get_counts(admin, 'project')['project']['instances'],
      objects.InstanceList.get_counts(admin, 'project')['project']['cores'])
`

func TestNovasQuotasNoLongerCountWhatWasPurgedAndCountItAgainOnceRestored(t *testing.T) {
	lab := novalab.New(t)
	conf := filepath.Join(t.TempDir(), "cell1.conf")
	if err := os.WriteFile(conf, []byte("[database]\nconnection = "+lab.URL("root", "",
		"cell1")+"\n[api_database]\nconnection = "+lab.URL("root", "", "api")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const uuid = "bbbbbbb4-0000-4000-8000-000000000000"
	lab.NewInstance(t, uuid)
	lab.NewInstance(t, "bbbbbbb5-0000-4000-8000-000000000000")
	backups := t.TempDir()
	steps := []struct {
		want    string
		options map[string]any
	}{
		{"2 2", nil},
		{"1 1", map[string]any{"state": "absent"}},
		{"2 2", map[string]any{"state": "present"}},
	}
	for _, step := range steps {
		if step.options["state"] == "present" {
			step.options["backup_file"] = toRestore(t, backups)
		}
		if step.options != nil {
			if answer := call(t, lab.Conf, backups, uuid, false, step.options); answer.Get("failed").Bool() || !answer.Get("changed").Bool() {
				t.Errorf("got %s", answer)
			}
		}
		output, err := exec.Command("python3", "-c", count, conf).Output()
		if got := strings.TrimSpace(string(output)); err != nil || got != step.want {
			t.Errorf("%v: Nova counts %s, want %s: %v", step.options, got, step.want, err)
		}
	}
}
