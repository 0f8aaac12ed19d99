//go:build lab

package nova

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/nova/novalab"
)

func openLab(t *testing.T, lab *novalab.Databases, readOnly bool) (context.Context, *Databases) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	access, err := FromConf(lab.Conf, func(...string) {})
	if err != nil {
		t.Fatal(err)
	}
	databases, err := Open(access, readOnly)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = databases.Close() })
	return ctx, databases
}

func find(ctx context.Context, t *testing.T, databases *Databases, uuid string) Finding {
	t.Helper()
	finding, err := databases.Find(ctx, uuid)
	if err != nil {
		t.Fatal(err)
	}
	if cell := finding.Cell(); cell == nil {
		t.Fatalf("no cell has instance %s: %+v", uuid, finding)
	}
	return finding
}

// deleteInCell deletes in the cell what was found there.
func deleteInCell(ctx context.Context, databases *Databases, finding Finding, before func() error) error {
	return databases.Apply(ctx, finding.Deletion(Deletion{At: time.Now()}).Cell, before)
}

func nothing() error { return nil }

func TestAnInstanceThatChangedSinceItWasJudgedIsLeftAlone(t *testing.T) {
	lab := novalab.New(t)
	ctx, databases := openLab(t, lab, false)
	for uuid, change := range map[string]string{
		"33333331-0000-4000-8000-000000000000": "UPDATE instances SET vm_state = 'active' WHERE uuid = ?",
		"33333332-0000-4000-8000-000000000000": "UPDATE instances SET updated_at = UTC_TIMESTAMP() WHERE uuid = ?",
		"33333333-0000-4000-8000-000000000000": "UPDATE instances SET host = 'compute2' WHERE uuid = ?",
		"33333334-0000-4000-8000-000000000000": "UPDATE instances SET deleted = id WHERE uuid = ?",
		"33333335-0000-4000-8000-000000000000": "UPDATE migrations SET status = 'migrating' WHERE instance_uuid = ?",
		"33333336-0000-4000-8000-000000000000": "INSERT INTO instance_actions (instance_uuid, action, deleted) VALUES (?, 'reboot', 0)",
		"33333337-0000-4000-8000-000000000000": "INSERT INTO block_device_mapping (instance_uuid, uuid, deleted) VALUES (?, 'new', 0)",
		"33333338-0000-4000-8000-000000000000": "DELETE FROM tags WHERE resource_id = ?",
	} {
		lab.NewInstance(t, uuid)
		finding := find(ctx, t, databases, uuid)
		novalab.Exec(t, lab.Cell1, change, uuid)
		before := lab.Dump(t, uuid, true)
		called := false
		if err := deleteInCell(ctx, databases, finding, func() error { called = true; return nil }); !errors.Is(err, ErrChanged) {
			t.Errorf("%s: got %v", change, err)
		}
		if called {
			t.Errorf("%s: the backup was written", change)
		}
		if diff := cmp.Diff(before, lab.Dump(t, uuid, true)); diff != "" {
			t.Errorf("%s: rows were changed: %s", change, diff)
		}
	}
}

func TestAFailedBackupAndAReadOnlySessionLeaveEverythingAsItIs(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "44444444-0000-4000-8000-000000000000"
	lab.NewInstance(t, uuid)
	before := lab.Dump(t, uuid, true)
	full := errors.New("no space left")
	ctx, databases := openLab(t, lab, false)
	if err := deleteInCell(ctx, databases, find(ctx, t, databases, uuid), func() error { return full }); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	const errReadOnly = 1792
	ctx, databases = openLab(t, lab, true)
	finding := find(ctx, t, databases, uuid)
	if err := deleteInCell(ctx, databases, finding, nothing); !hasNumber(err, errReadOnly) {
		t.Errorf("got %v", err)
	}
	if err := databases.Apply(ctx, finding.Deletion(Deletion{At: time.Now()}).API, nothing); !hasNumber(err, errReadOnly) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, lab.Dump(t, uuid, true)); diff != "" {
		t.Errorf("rows were changed: %s", diff)
	}
}

// nova runs Nova's own code, as nova-compute ends a deletion
// (ComputeManager._delete_instance and _complete_deletion).
const destroy = `
import sys
from nova import config, context, objects
from oslo_utils import timeutils
config.parse_args(['test', '--config-file', sys.argv[1]])
objects.register_all()
instance = objects.Instance.get_by_uuid(context.get_admin_context(), sys.argv[2])
instance.vm_state, instance.task_state, instance.power_state, instance.progress = 'deleted', None, 0, 0
instance.terminated_at = timeutils.utcnow()
instance.save()
instance.destroy()
`

func TestTheRowsAreThoseThatNovasOwnCodeLeaves(t *testing.T) {
	lab := novalab.New(t)
	const ours, novas = "55555551-0000-4000-8000-000000000000", "55555552-0000-4000-8000-000000000000"
	for _, uuid := range []string{ours, novas} {
		lab.NewInstance(t, uuid)
		novalab.Exec(t, lab.Cell1, "UPDATE instances SET task_state = 'deleting' WHERE uuid = ?", uuid)
		// A volume that was detached long ago stays as it is.
		novalab.Exec(t, lab.Cell1, "INSERT INTO block_device_mapping (instance_uuid, uuid, deleted, deleted_at) VALUES (?, 'old', 0, "+
			"'2020-01-01')", uuid)
		novalab.Exec(t, lab.Cell1, "UPDATE block_device_mapping SET deleted = id WHERE uuid = 'old' AND instance_uuid = ?", uuid)
		novalab.Exec(t, lab.Cell1, "UPDATE block_device_mapping SET uuid = NULL WHERE uuid = 'old' AND instance_uuid = ?", uuid)
	}
	ctx, databases := openLab(t, lab, false)
	if err := deleteInCell(ctx, databases, find(ctx, t, databases, ours), nothing); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "cell1.conf")
	if err := os.WriteFile(conf, []byte("[database]\nconnection = "+lab.URL("root", "",
		"cell1")+"\n[api_database]\nconnection = "+lab.URL("root", "", "api")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if output, err := exec.CommandContext(ctx, "python3", "-c", destroy, conf, novas).CombinedOutput(); err != nil {
		t.Fatalf("nova's destroy: %v: %s", err, output)
	}
	if diff := cmp.Diff(lab.Dump(t, novas, false), lab.Dump(t, ours, false)); diff != "" {
		t.Errorf("-nova +ours: %s", diff)
	}
	if novalab.Text(t, lab.Cell1, "SELECT deleted = id FROM instances WHERE uuid = ?", novas) != "1" {
		t.Error("nova did not delete its instance")
	}
}

func TestADeadlockIsRetriableAndLeavesNothingHalfDone(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "66666666-0000-4000-8000-000000000000"
	lab.NewInstance(t, uuid)
	before := lab.Dump(t, uuid, true)
	ctx, databases := openLab(t, lab, false)
	finding := find(ctx, t, databases, uuid)

	rival := lab.Rival(ctx, t, uuid)
	failed := make(chan error, 1)
	go func() {
		failed <- deleteInCell(ctx, databases, finding, nothing)
	}()
	rival.Collide(ctx, t)
	if err := <-failed; !hasNumber(err, errDeadlock) || !Retriable(err) {
		t.Errorf("got %v", err)
	}
	rival.GiveUp(t)
	if diff := cmp.Diff(before, lab.Dump(t, uuid, true)); diff != "" {
		t.Errorf("rows were changed: %s", diff)
	}
	if err := deleteInCell(ctx, databases, finding, nothing); err != nil {
		t.Errorf("the second try: %v", err)
	}
}
