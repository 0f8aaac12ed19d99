package nova

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// text is a row of texts.
func text(values ...string) Row {
	row := Row{}
	for i := 0; i < len(values); i += 2 {
		row[values[i]] = Value{Text: values[i+1]}
	}
	return row
}

// mapped are the rows of an instance with volumes and ports.
func mapped() Record {
	const cache = `[{"id": "kept",  "x": "é"}, {"id": "foreign"}]`
	return Record{
		"instances": {Rows: []Row{text("id", "43", "deleted", "0")}},
		"block_device_mapping": {Rows: []Row{
			text("id", "1", "deleted", "0", "volume_id", "v1", "destination_type", "volume", "delete_on_termination", "1", "attachment_id", "a1"),
			text("id", "2", "deleted", "2", "deleted_at", "2020-01-01 00:00:00", "volume_id", "v2", "destination_type", "volume",
				"delete_on_termination", "1"),
			text("id", "3", "deleted", "0", "destination_type", "local"),
		}},
		"instance_info_caches": {Rows: []Row{text("id", "5", "deleted", "0", "network_info", cache)}},
		"virtual_interfaces": {Rows: []Row{text("id", "6", "deleted", "0", "address", "fa:16:3e:00:00:01/foreign"),
			text("id", "7", "deleted", "0", "address", "fa:16:3e:00:00:02/kept")}},
		"share_mapping": {Rows: []Row{text("id", "8", "share_id", "s")}},
	}
}

func TestADeletionDisarmsWhatItIsToldAndNothingElse(t *testing.T) {
	before := mapped()
	plain := before.softDeleted(purgedAt)
	armed := before.left(Deletion{At: purgedAt, Disarm: Disarm{Detached: []int64{2}, Preserved: []int64{1, 2}, Ports: []string{"foreign"}}})
	var got []string
	for _, change := range changes(plain, armed) {
		for _, column := range change.columns {
			got = append(got, change.table+" "+change.to.text("id")+" "+column+" "+change.to[column].String())
		}
	}
	want := []string{`block_device_mapping 1 delete_on_termination "0"`, `block_device_mapping 2 delete_on_termination "0"`,
		`block_device_mapping 2 destination_type NULL`, `instance_info_caches 5 network_info "[{\"id\": \"kept\",  \"x\": \"é\"}]"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(mapped(), before); diff != "" {
		t.Errorf("what was found is changed: %s", diff)
	}
	if _, written := armed["share_mapping"]; written {
		t.Error("share_mapping goes before nova-compute has unmounted the shares")
	}
	if shares, written := before.left(Deletion{At: purgedAt, ShareMappings: true})["share_mapping"]; !written || len(shares.Rows) > 0 {
		t.Errorf("share_mapping stays: %v", shares)
	}
}

func TestNovaComputeReadsTheMappingsWithTheDeletedOnes(t *testing.T) {
	finding := found(mapped())
	finding.Cells[0].Now = purgedAt
	want := []Mapping{
		{ID: 1, VolumeID: "v1", AttachmentID: "a1", Detaches: true, DeleteOnTermination: true},
		{ID: 2, VolumeID: "v2", Detaches: true, DeleteOnTermination: true, GivenBack: true, Deleted: true},
	}
	if diff := cmp.Diff(want, finding.Mappings()); diff != "" {
		t.Error(diff)
	}
	// It is the same after the deletion, so that nothing is found to be disarmed then.
	finding.Cells[0].Record = mapped().left(Deletion{At: purgedAt})
	want[0].Deleted = true
	if diff := cmp.Diff(want, finding.Mappings()); diff != "" {
		t.Errorf("after the deletion: %s", diff)
	}
}

func TestWhatIsSomebodyElsesByNowDoesNotComeBack(t *testing.T) {
	saved := Saved{At: purgedAt, Cell: CellName{UUID: "cell-uuid", Name: "cell1"}, Rows: mapped(), API: lived().API}
	left := mapped().left(Deletion{At: purgedAt, Disarm: Disarm{Preserved: []int64{1}, Ports: []string{"foreign"}}})
	delete(left, "share_mapping")
	left["share_mapping"] = Table{Rows: []Row{}}
	volumes, ports := saved.Held()
	if diff := cmp.Diff([][]string{{"v1"}, {"kept", "foreign"}}, [][]string{volumes, ports}); diff != "" {
		t.Errorf("what it held: %s", diff)
	}
	strangers := Elsewhere{Volumes: map[string]string{"v1": "other has it by now"}, Ports: map[string]string{"foreign": "other has it by now"}}
	r := found(left).Restoration(saved, strangers)
	if len(r.Conflicts) > 0 {
		t.Fatalf("conflicts: %q", r.Conflicts)
	}
	notes := strings.Join(r.Notes, "\n")
	for _, want := range []string{"block_device_mapping: row 1 stays as it is now, deleted: volume v1: other has it by now",
		"virtual_interfaces: row 6 stays as it is now, deleted: port foreign: other has it by now", "share_mapping: 1 of 1 rows are gone since"} {
		if !strings.Contains(notes, want) {
			t.Errorf("not told: %s\n%s", want, notes)
		}
	}
	live := func(table string) (ids []string) {
		for _, row := range r.Cell.Target[table].Rows {
			if row.number("deleted") == 0 {
				ids = append(ids, row.text("id"))
			}
		}
		return ids
	}
	if diff := cmp.Diff([][]string{{"3"}, {"7"}, {"5"}},
		[][]string{live("block_device_mapping"), live("virtual_interfaces"), live("instance_info_caches")}); diff != "" {
		t.Errorf("live again: %s", diff)
	}
	if cache := r.Cell.Target["instance_info_caches"].Rows[0].text("network_info"); strings.Contains(cache, "foreign") ||
		!strings.Contains(cache, "kept") {
		t.Errorf("the info cache is %s", cache)
	}
	// When it has come back, all but those, there is nothing more to do.
	r.Cell.Target["share_mapping"] = Table{Rows: []Row{}}
	again := found(r.Cell.Target)
	again.API = lived().API
	if r := again.Restoration(saved, strangers); len(r.Conflicts)+len(r.All()) > 0 {
		t.Errorf("again: %q %q", r.Conflicts, r.Cell.Steps())
	}
	// And without strangers, they come back to the byte.
	back := found(left).Restoration(saved, Elsewhere{})
	for _, table := range []string{"block_device_mapping", "virtual_interfaces", "instance_info_caches"} {
		if left := changes(Record{table: saved.Rows[table]}, Record{table: back.Cell.Target[table]}); len(left) > 0 {
			t.Errorf("%s would not be as it was: %+v", table, left)
		}
	}
}

func TestTheSecretOfAVTPMThatTheReapRemovedDoesNotStopARestore(t *testing.T) {
	saved := lived()
	saved.Rows["instance_system_metadata"] = Table{Rows: []Row{text("id", "9", "deleted", "0", "key", "vtpm_secret_uuid", "value", "secret"),
		text("id", "10", "deleted", "0", "key", "k")}}
	rows := saved.Rows.softDeleted(purgedAt)
	rows["instance_actions"] = saved.Rows["instance_actions"]
	rows["instance_system_metadata"] = Table{Rows: rows["instance_system_metadata"].Rows[1:]}
	r := found(rows).Restoration(saved, Elsewhere{})
	if len(r.Conflicts) > 0 || !strings.Contains(strings.Join(r.Notes, "\n"), "the secret secret of its vTPM is gone since") ||
		len(r.Cell.Target["instance_system_metadata"].Rows) != 1 {
		t.Errorf("conflicts %q, notes %q", r.Conflicts, r.Notes)
	}
	rows["instance_system_metadata"] = Table{Rows: []Row{}}
	if r := found(rows).Restoration(saved, Elsewhere{}); len(r.Conflicts) != 1 {
		t.Errorf("another row is gone: conflicts %q", r.Conflicts)
	}
}

func TestTheHostToWhichAnInstanceComesBackIsToldIfItIsGoneOrAnother(t *testing.T) {
	served := Host{Name: "compute1", Service: &ComputeService{}}
	for _, test := range []struct {
		name  string
		hosts []Host
		node  Row
		want  string
	}{
		{"as it was", []Host{served}, text("uuid", "node", "deleted", "0"), ""},
		{"no service", []Host{{Name: "compute1"}}, text("uuid", "node", "deleted", "0"), "services: host compute1 has no nova-compute"},
		{"no node", []Host{served}, nil, "compute_nodes: host compute1 has no such node"},
		{"a deleted node", []Host{served}, text("uuid", "node", "deleted", "7"), "compute_nodes: host compute1 has no such node"},
		{"another node", []Host{served}, text("uuid", "other", "deleted", "0"), "another compute node by now, other instead of node"},
	} {
		t.Run(test.name, func(t *testing.T) {
			saved, finding := lived(), found(afterPurge())
			saved.ComputeNode, finding.Cells[0].Hosts, finding.Cells[0].ComputeNode = "node", test.hosts, test.node
			notes := strings.Join(finding.Restoration(saved, Elsewhere{}).Notes, "; ")
			if (notes == "") != (test.want == "") || !strings.Contains(notes, test.want) {
				t.Errorf("notes %q, want %q", notes, test.want)
			}
		})
	}
}

func TestOnlyWhatIsFinishedIsFinished(t *testing.T) {
	finished := func() Finding {
		f := found(afterPurge())
		f.API["build_requests"] = Table{Rows: []Row{}}
		return f
	}
	instance := func(f Finding) Row { return f.Cells[0].Record["instances"].Rows[0] }
	mapping := func(f Finding) Row { return f.API["instance_mappings"].Rows[0] }
	for name, test := range map[string]struct {
		change func(Finding)
		want   string
	}{
		"a finished deletion": {func(Finding) {}, ""},
		"children": {func(f Finding) { f.Cells[0].Record["tags"] = Table{Rows: []Row{text("tag", "x"), text("tag", "y")}} },
			"cell1: tags: delete 2 rows as Nova does"},
		"queued_for_delete": {func(f Finding) { mapping(f)["queued_for_delete"] = Value{Text: "0"} },
			"nova_api: instance_mappings: set queued_for_delete = 1"},
		"queued_for_delete is NULL": {func(f Finding) { mapping(f)["queued_for_delete"] = Value{Null: true} },
			"nova_api: instance_mappings: set queued_for_delete = 1"},
		"no mapping": {func(f Finding) { f.API["instance_mappings"] = Table{} }, ""},
		"a build request": {func(f Finding) { f.API["build_requests"] = Table{Rows: []Row{text("id", "4")}} },
			"nova_api: build_requests: remove 1 row"},
		"no deleted_at": {func(f Finding) { instance(f)["deleted_at"] = Value{Null: true} },
			"cell1: instances: set deleted_at to the current time"},
		"a future": {func(f Finding) { instance(f)["deleted_at"] = Value{Text: "2026-01-02 03:06:05"} },
			"cell1: instances: set deleted_at to the current time"},
		"a state that no deletion of Nova's leaves": {func(f Finding) { instance(f)["vm_state"] = Value{Text: "active"} },
			"cell1: instances: set vm_state = deleted, task_state = NULL"},
		"such a state, and no deleted_at": {func(f Finding) {
			instance(f)["vm_state"], instance(f)["deleted_at"] = Value{Text: "error"}, Value{Null: true}
		}, "cell1: instances: set vm_state = deleted, task_state = NULL, deleted_at to the current time"},
		"the state of one that never got to a host": {func(f Finding) {
			instance(f)["vm_state"], instance(f)["host"] = Value{Text: "building"}, Value{Null: true}
		}, ""},
		"a second ahead, as a host's clock may be": {func(f Finding) { instance(f)["deleted_at"] = Value{Text: "2026-01-02 03:04:06"} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := finished()
			test.change(f)
			left := f.Deletion(Deletion{At: purgedAt})
			if got := strings.Join(append(left.Cell.Steps(), left.API.Steps()...), "; "); got != test.want || (got == "") != (len(left.All()) == 0) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTheStateOfARowThatWasDeletedByHandIsAsNovaLeavesIt(t *testing.T) {
	at := purgedAt.Add(-time.Hour).Format(time.DateTime)
	row := text("id", "43", "deleted", "43", "vm_state", "active", "task_state", "rebooting", "host", "compute1", "deleted_at", at)
	left := row.softDeleted(timeValue(purgedAt))
	for column, want := range map[string]string{"vm_state": "deleted", "task_state": "", "power_state": "0", "deleted": "43", "deleted_at": at,
		"updated_at": purgedAt.Format(time.DateTime), "terminated_at": purgedAt.Format(time.DateTime)} {
		if got := left.text(column); got != want {
			t.Errorf("%s is %q, want %q", column, got, want)
		}
	}
	if again := left.softDeleted(timeValue(purgedAt.Add(time.Hour))); !cmp.Equal(left, again) {
		t.Errorf("it is not left as it is: %s", cmp.Diff(left, again))
	}
}

func TestADeletionTellsWhatItWrites(t *testing.T) {
	f := found(mapped())
	f.API = lived().API
	deletion := f.Deletion(Deletion{At: purgedAt, Disarm: Disarm{Preserved: []int64{1, 2}, Ports: []string{"foreign"}}, ShareMappings: true})
	want := []string{
		"cell1: instances: set deleted = 43 (the row's id), vm_state = deleted, task_state = NULL",
		"cell1: block_device_mapping: delete 2 rows as Nova does", // the third is disarmed only
		"cell1: instance_info_caches: delete 1 row as Nova does", "cell1: share_mapping: remove 1 row",
		"cell1: virtual_interfaces: delete 2 rows as Nova does",
	}
	if diff := cmp.Diff(want, deletion.Cell.Steps()); diff != "" {
		t.Error(diff)
	}
	rows := map[string]int{"instances": 1, "block_device_mapping": 3, "instance_info_caches": 1, "share_mapping": 1, "virtual_interfaces": 2}
	if diff := cmp.Diff(rows, deletion.Cell.Rows()); diff != "" {
		t.Error(diff)
	}
	before, after := map[string]any{}, map[string]any{}
	for _, change := range deletion.All() {
		change.AddTo(before, after)
	}
	if diff := cmp.Diff([]any{map[string]any{"3": text("queued_for_delete", "0", "updated_at", "").with(Row{"updated_at": {Null: true}})},
		map[string]any{"3": text("queued_for_delete", "1", "updated_at", "now")}, map[string]any{"8": "a row"}},
		[]any{before["instance_mappings"], after["instance_mappings"], before["share_mapping"]}); diff != "" {
		t.Error(diff)
	}
	if short := deletion.Cell.String(); short != "cell1: delete rows "+fmt.Sprint(rows) {
		t.Errorf("in short: %s", short)
	}
	if nowhere := (Finding{API: f.API}).Deletion(Deletion{At: purgedAt}); len(nowhere.All()) > 0 {
		t.Errorf("no cell has it: %v", nowhere.All())
	}
}
