//go:build lab

package nova

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/nova/novalab"
)

func TestWhatHappensOnAHostIsReadInAllCells(t *testing.T) {
	lab := novalab.New(t)
	ctx, databases := openLab(t, lab, true)
	const (
		here      = "44444441-0000-4000-8000-00000000000a"
		elsewhere = "44444442-0000-4000-8000-00000000000a"
		gone      = "44444443-0000-4000-8000-00000000000a"
		archived  = "44444444-0000-4000-8000-00000000000a"
		requested = "44444445-0000-4000-8000-00000000000a"
		nowhere   = "44444446-0000-4000-8000-00000000000a"
	)
	for _, uuid := range []string{here, elsewhere, gone} {
		lab.NewInstance(t, uuid)
	}
	novalab.Exec(t, lab.Cell1, "UPDATE instances SET task_state = 'rebuilding' WHERE uuid = ?", here)
	novalab.Exec(t, lab.Cell1, "UPDATE instances SET host = 'other' WHERE uuid = ?", elsewhere)
	novalab.Exec(t, lab.Cell1, "UPDATE instances SET deleted = id WHERE uuid = ?", gone)
	novalab.Exec(t, lab.Cell1, "UPDATE migrations SET status = 'running', dest_compute = 'COMPUTE1', source_compute = 'other' WHERE "+
		"instance_uuid = ?", here)
	novalab.Exec(t, lab.Cell1, "UPDATE migrations SET source_compute = 'other', status = 'finished' WHERE instance_uuid = ?", elsewhere)
	novalab.Exec(t, lab.Cell1, "UPDATE migrations SET deleted = id WHERE instance_uuid = ?", gone)
	novalab.Insert(t, lab.Cell0, "shadow_instances", map[string]any{"id": 7, "uuid": archived, "deleted": 7})
	novalab.Insert(t, lab.API, "build_requests", map[string]any{"instance_uuid": requested, "project_id": "project", "instance": "{}"})
	node := map[string]any{"host": "compute1", "hypervisor_hostname": "compute1.example", "deleted": 0, "vcpus": 1, "memory_mb": 1,
		"local_gb": 1, "vcpus_used": 0,
		"memory_mb_used": 0, "local_gb_used": 0, "hypervisor_type": "QEMU", "hypervisor_version": 1, "cpu_info": ""}
	for uuid, columns := range map[string]map[string]any{
		"node-1": {}, "node-2": {"hypervisor_hostname": "another"}, "node-3": {"deleted": 3}, "node-4": {"host": "other"},
	} {
		one := map[string]any{"uuid": uuid}
		for _, more := range []map[string]any{node, columns} {
			for column, value := range more {
				one[column] = value
			}
		}
		novalab.Insert(t, lab.Cell1, "compute_nodes", one)
	}

	providers, err := databases.Providers(ctx, "compute1")
	slices.Sort(providers)
	if err != nil || !slices.Equal(providers, []string{"node-1", "node-2"}) {
		t.Errorf("providers %v, %v", providers, err)
	}
	migrationOfElsewhere := elsewhere[:35] + "e"
	activity, err := databases.Activity(ctx, "compute1", []string{elsewhere, gone, archived, requested, nowhere, migrationOfElsewhere})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, instance := range activity.Instances {
		got[instance.UUID] = strings.Join([]string{instance.Host, instance.VMState, instance.TaskState}, " ")
		if instance.Deleted {
			got[instance.UUID] += " deleted"
		}
		if instance.WrittenAt.IsZero() || instance.UpdatedAt == "" {
			t.Errorf("got %+v", instance)
		}
	}
	for _, move := range activity.Migrations {
		got[move.UUID] = strings.Join([]string{move.Instance[:8], move.Source, move.Dest, move.Status}, " ")
		if move.Over {
			got[move.UUID] += " over"
		}
		if hours := move.Age.Round(1e9 * 60).Hours(); hours != 1 {
			t.Errorf("age %s", move.Age)
		}
	}
	want := map[string]string{
		here: "compute1 error rebuilding", elsewhere: "other error ", gone: "compute1 error  deleted",
		here[:35] + "e": "44444441 other COMPUTE1 running", migrationOfElsewhere: "44444442 other compute2 finished over",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(activity.Archived, []string{archived}) || !slices.Equal(activity.BuildRequests, []string{requested}) {
		t.Errorf("got %v and %v", activity.Archived, activity.BuildRequests)
	}
	if activity, err = databases.Activity(ctx, "compute1", nil); err != nil || len(activity.Instances) != 1 || len(activity.Archived) > 0 {
		t.Errorf("without consumers: %+v, %v", activity, err)
	}
}

func TestACellThatCannotBeReadIsNamed(t *testing.T) {
	lab := novalab.New(t)
	lab.Map(t, 3, "33333333-3333-4333-8333-333333333333", "cell-down", "mysql+pymysql://nova:x@127.0.0.1:1/nova")
	ctx, databases := openLab(t, lab, true)
	if _, err := databases.Providers(ctx, "compute1"); err == nil || !strings.Contains(err.Error(), "cell-down could not be read") {
		t.Errorf("got %v", err)
	}
	if _, err := databases.Activity(ctx, "compute1", nil); err == nil || !strings.Contains(err.Error(), "cell-down could not be read") {
		t.Errorf("got %v", err)
	}
}

// Each of these ended the start of a real nova-compute (init_host).
func TestWhatNovaComputeCannotReadOfItsHostIsNamed(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "44444447-0000-4000-8000-00000000000a"
	lab.NewInstance(t, uuid)
	ctx, databases := openLab(t, lab, true)
	for _, test := range []struct{ breaks, mends, want string }{
		{"SELECT 1", "SELECT 1", ""},
		{"UPDATE instance_extra SET deleted = id", "UPDATE instance_extra SET deleted = 0", "instance_extra"},
		{
			"UPDATE instance_extra SET flavor = CONCAT('x', flavor)",
			"UPDATE instance_extra SET flavor = SUBSTR(flavor, 2)", "instance_extra.flavor",
		},
		{
			"UPDATE instance_extra SET flavor = CONCAT('[', flavor, ']')",
			"UPDATE instance_extra SET flavor = SUBSTR(flavor, 2, LENGTH(flavor) - 2)", "instance_extra.flavor",
		},
		{"UPDATE instance_extra SET numa_topology = '{'", "UPDATE instance_extra SET numa_topology = NULL", "instance_extra.numa_topology"},
		{
			"UPDATE instance_info_caches SET network_info = '[{'",
			"UPDATE instance_info_caches SET network_info = ''", "instance_info_caches.network_info",
		},
		{"DELETE FROM instance_info_caches", "SELECT 1", ""},
	} {
		of := func(statement string) {
			if strings.HasPrefix(statement, "SELECT") {
				return
			}
			novalab.Exec(t, lab.Cell1, statement+" WHERE instance_uuid = ?", uuid)
		}
		of(test.breaks)
		activity, err := databases.Activity(ctx, "compute1", nil)
		got := ""
		for _, one := range activity.Unreadable {
			got += one.UUID + one.What
		}
		want := ""
		if test.want != "" {
			want = uuid + test.want
		}
		if got != want || err != nil {
			t.Errorf("%s: got %q, %v", test.breaks, got, err)
		}
		of(test.mends)
	}
}
