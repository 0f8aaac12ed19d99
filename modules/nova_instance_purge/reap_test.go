package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/cinder"
	"nova-orphan/internal/neutron"
	"nova-orphan/internal/nova"
)

const rival = "99999999-f6a4-8304-79aa-97f2502e193f"

// held is a volume with attachments, each "ID:INSTANCE".
func held(status string, attachments ...string) *heldVolume {
	volume := &heldVolume{Volume: cinder.Volume{Status: status}}
	for _, attachment := range attachments {
		id, instance, _ := strings.Cut(attachment, ":")
		volume.all = append(volume.all, cinder.Attachment{ID: id, Instance: instance})
	}
	return volume
}

func TestWhatTheReapDoesToAVolume(t *testing.T) {
	const ours, theirs = "a1:" + uuid, "a2:" + rival
	attached := nova.Mapping{ID: 7, VolumeID: "v", AttachmentID: "a1", Detaches: true}
	with := func(m nova.Mapping, change func(*nova.Mapping)) nova.Mapping { change(&m); return m }
	destroyed := with(attached, func(m *nova.Mapping) { m.DeleteOnTermination = true })
	old := with(attached, func(m *nova.Mapping) { m.AttachmentID = "" })
	given := func(m nova.Mapping) nova.Mapping {
		m.GivenBack, m.Deleted = true, true
		return m
	}
	oldDestroyed := with(old, func(m *nova.Mapping) { m.DeleteOnTermination = true })
	for _, test := range []struct {
		name     string
		mapping  nova.Mapping
		volume   *heldVolume
		preserve bool
		// want is the fate, and what is disarmed.
		want string
	}{
		{"it has it", attached, held("in-use", ours), false, "detached"},
		{"it has it and is to delete it", destroyed, held("in-use", ours), false, "deleted"},
		{"… but all volumes are to be preserved", destroyed, held("in-use", ours), true, "detached preserved"},
		{"it has it since before Queens", old, held("in-use", ours), false, "detached"},
		{"… and is to delete it", oldDestroyed, held("in-use", ours), false, "deleted"},
		{"Cinder no longer has it", oldDestroyed, nil, false, "gone"},

		{"X1 its owner detached it, and Nova's row says delete", given(destroyed), held("available"), false, "left detached preserved"},
		{"X1 … and gave it to another", given(destroyed), held("in-use", theirs), false, "left detached preserved"},
		{"X2 an old row, and another server uses it today", old, held("in-use", theirs), false, "left detached"},
		{"X2 … the row deleted as Nova does", given(old), held("in-use", theirs), false, "left detached"},
		{"X2 … two others use it", given(old), held("in-use", theirs, "a3:"+rival), false, "left detached"},
		{"X4 a living row, and Cinder was reset by hand", destroyed, held("available"), false, "left preserved"},
		{"X4 a living row, and a replacement has the volume", destroyed, held("in-use", theirs), false, "left detached preserved"},
		{"an old living row, and nobody has the volume", oldDestroyed, held("available"), false, "left detached preserved"},
		{"in-use, and nothing explains it", oldDestroyed, held("in-use"), false, "left detached preserved"},
		{"a host has it, as during an upload", oldDestroyed, held("in-use", "a4:"), false, "left detached preserved"},

		{"given back, and got again by another row", given(destroyed), held("in-use", "a9:"+uuid), false, "left detached preserved"},
		{"given back by an old row, and got again by another", given(oldDestroyed), held("in-use", "a9:"+uuid), false, "left detached preserved"},
		{"given back, but Cinder still has that attachment", given(destroyed), held("in-use", ours), false, "detached preserved"},
		{"the row names another server's attachment", with(destroyed, func(m *nova.Mapping) { m.AttachmentID = "a2" }),
			held("in-use", ours, theirs), false, "left detached preserved"},
		{"shared with others", attached, held("in-use", ours, theirs), false, "detached"},
		{"shared with others, and to be deleted", destroyed, held("in-use", ours, theirs), false, "detached preserved"},
		{"shared with others, by an old row", old, held("in-use", ours, theirs), false, "left detached"},
		{"disarmed already but for the deletion", with(destroyed, func(m *nova.Mapping) { m.Detaches = false }), held("available"), false,
			"left preserved"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := foreseeReap(uuid, []nova.Mapping{test.mapping}, nil, holdings{volumes: map[string]*heldVolume{"v": test.volume}}, test.preserve)
			got := r.Volumes[0].Fate
			if len(r.disarm.Detached) > 0 {
				got += " detached"
			}
			if len(r.disarm.Preserved) > 0 {
				got += " preserved"
			}
			if got != test.want {
				t.Errorf("got %q, want %q: %+v", got, test.want, r)
			}
			if armed := r.Volumes[0].Disarmed; armed == r.disarm.Empty() || armed && r.Volumes[0].Why == "" {
				t.Errorf("it is not told what is disarmed and why: %+v", r)
			}
			// Once disarmed, nothing more is.
			after := test.mapping
			after.Detaches = after.Detaches && len(r.disarm.Detached) == 0
			after.DeleteOnTermination = after.DeleteOnTermination && len(r.disarm.Preserved) == 0
			if again := foreseeReap(uuid, []nova.Mapping{after}, nil, holdings{volumes: map[string]*heldVolume{"v": test.volume}},
				test.preserve); !again.disarm.Empty() {
				t.Errorf("again: %+v", again.disarm)
			}
		})
	}
}

// Nova's own delete reads the living rows only, so that a caller must know which they are.
func TestADisarmedRowSaysWhetherItIsDeleted(t *testing.T) {
	mappings := []nova.Mapping{{ID: 7, VolumeID: "v", Detaches: true}, {ID: 8, VolumeID: "v", Detaches: true, Deleted: true, GivenBack: true}}
	volumes := map[string]*heldVolume{"v": held("in-use", "a2:"+rival)}
	got := foreseeReap(uuid, mappings, nil, holdings{volumes: volumes}, false).Volumes
	if len(got) != 2 || !got[0].Disarmed || !got[1].Disarmed || got[0].MappingDeleted || !got[1].MappingDeleted {
		t.Errorf("got %+v", got)
	}
}

func TestARowThatMakesNobodyDoAnythingIsNotAskedAbout(t *testing.T) {
	if r := foreseeReap(uuid, []nova.Mapping{{ID: 7, VolumeID: "v"}}, nil, holdings{}, true); len(r.Volumes) > 0 || !r.disarm.Empty() {
		t.Errorf("got %+v", r)
	}
}

func TestWhatTheReapDoesToAPort(t *testing.T) {
	yes, no := true, false
	port := func(device string) *neutron.Port { return &neutron.Port{ID: "p", DeviceID: device} }
	for _, test := range []struct {
		name   string
		users  *bool
		port   *neutron.Port
		fate   string
		disarm bool
	}{
		{"Nova made it", &no, port(uuid), fateDeleted, false},
		{"the cache does not tell who made it", nil, port(uuid), fateDeleted, false},
		{"a user made it", &yes, port(uuid), fateUnbound, false},
		{"X4 a replacement has it", &yes, port(rival), fateLeft, true},
		{"X4 a replacement has one that Nova made", &no, port(rival), fateLeft, true},
		{"nobody has it", &no, port(""), fateLeft, false},
		{"nobody has the user's", &yes, port(""), fateUnbound, false},
		{"Neutron no longer has it", &yes, nil, fateGone, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			cached := []nova.Port{{ID: "p", PreserveOnDelete: test.users}}
			r := foreseeReap(uuid, nil, cached, holdings{ports: map[string]*neutron.Port{"p": test.port}}, false)
			if r.Ports[0].Fate != test.fate || r.Ports[0].Disarmed != test.disarm || test.disarm != (len(r.disarm.Ports) == 1) {
				t.Errorf("got %+v", r)
			}
		})
	}
	r := foreseeReap(uuid, nil, nil, holdings{own: []neutron.Port{{ID: "q", DeviceID: uuid}}}, false)
	if diff := cmp.Diff([]portFate{{ID: "q", DeviceID: uuid, Fate: fateDeleted}}, r.Ports); diff != "" {
		t.Errorf("a port that the cache does not have: %s", diff)
	}
}

func TestEachFateIsTold(t *testing.T) {
	mappings := []nova.Mapping{
		{ID: 1, VolumeID: "mine", AttachmentID: "a1", Detaches: true, DeleteOnTermination: true},
		{ID: 2, VolumeID: "old", Detaches: true},
		{ID: 3, VolumeID: "theirs", Detaches: true, DeleteOnTermination: true},
		{ID: 4, VolumeID: "free", AttachmentID: "a4", Detaches: true, DeleteOnTermination: true, GivenBack: true, Deleted: true},
		{ID: 5, VolumeID: "gone", Detaches: true},
	}
	users := true
	cached := []nova.Port{{ID: "p", PreserveOnDelete: &users}, {ID: "q", PreserveOnDelete: &users}, {ID: "r"}}
	world := holdings{
		volumes: map[string]*heldVolume{"mine": held("in-use", "a1:"+uuid), "old": held("in-use", "a2:"+uuid),
			"theirs": held("in-use", "a3:"+rival), "free": held("available")},
		ports: map[string]*neutron.Port{"p": {ID: "p", DeviceID: rival}, "q": {ID: "q", DeviceID: uuid}, "r": {ID: "r", DeviceID: uuid}},
	}
	r := foreseeReap(uuid, mappings, cached, world, false)
	want := []string{
		"cell1: block_device_mapping: disarm row 3 of volume theirs (set destination_type = NULL, delete_on_termination = 0): Cinder has no " +
			"attachment of the instance for it",
		"cell1: block_device_mapping: disarm row 4 of volume free (set destination_type = NULL, delete_on_termination = 0): Cinder has no " +
			"attachment of the instance for it",
		"cell1: instance_info_caches: disarm port p (take it out of network_info): " + rival + " has it",
		"afterwards nova-compute DELETES volume mine: its delete_on_termination is set",
		"afterwards nova-compute detaches volume old, by volume and host, since its row is older than attachments",
		"afterwards volume theirs stays as it is: it is attached to " + rival,
		"afterwards volume free stays as it is: it is available, and attached to nothing",
		"afterwards nothing happens to volume gone: Cinder no longer has it",
		"afterwards port p stays as it is: " + rival + " has it",
		"afterwards nova-compute unbinds port q, which it did not make",
		"afterwards nova-compute DELETES port r",
	}
	if diff := cmp.Diff(want, append(r.disarming("cell1"), r.sideEffects()...)); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyWhatIsExclusivelySomebodyElsesIsKeptFromARestore(t *testing.T) {
	shared := held("in-use", "a:"+rival)
	shared.Multiattach = true
	got := elsewhere(uuid, holdings{
		volumes: map[string]*heldVolume{"theirs": held("in-use", "a:"+rival), "hosts": held("in-use", "a:"), "ours": held("in-use", "a:"+uuid),
			"free": held("available"), "gone": nil, "shared": shared},
		ports: map[string]*neutron.Port{"theirs": {DeviceID: rival}, "ours": {DeviceID: uuid}, "free": {}, "gone": nil},
	})
	want := nova.Elsewhere{Volumes: map[string]string{"theirs": rival + " has it by now", "hosts": "a host has it by now"},
		Ports: map[string]string{"theirs": rival + " has it by now"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatWasJudgedMustStillBeSo(t *testing.T) {
	instance := &nova.Instance{UpdatedAt: "2026-01-02T03:04:05Z", VMState: "error", Host: "compute1"}
	as := func(column, value string) map[string]any {
		judged := map[string]any{"updated_at": "2026-01-02T03:04:05Z", "vm_state": "error", "task_state": "", "host": "compute1"}
		if column != "" {
			judged[column] = value
		}
		return judged
	}
	for _, test := range []struct {
		judged map[string]any
		want   string
	}{
		{nil, "it had no row when it was judged"},
		{as("", ""), ""},
		{as("updated_at", ""), `instances.updated_at was "", is "2026-01-02T03:04:05Z"`},
		{as("vm_state", "active"), `instances.vm_state was "active", is "error"`},
		{as("task_state", "deleting"), `instances.task_state was "deleting", is ""`},
		{as("host", "compute2"), `instances.host was "compute2", is "compute1"`},
	} {
		got := strings.Join(rewritten(test.judged, instance), "; ")
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%v: got %q", test.judged, got)
		}
	}
	if got := rewritten(as("host", "compute2"), nil); got != nil {
		t.Errorf("no cell knows it: got %q", got)
	}
}

func TestAJudgementOfTheCallerIsComparedAsAWhole(t *testing.T) {
	as := func(judged map[string]any) map[string]any {
		return map[string]any{"judged_as": map[string]any{uuid: judged}}
	}
	for _, test := range []struct {
		change  map[string]any
		changed bool
		verdict string
	}{
		{nil, true, "stuck"},
		{map[string]any{"name": "is not looked at", "task_state": nil}, true, "stuck"},
		{map[string]any{"task_state": "deleting"}, false, "busy"},
		{map[string]any{"host": "compute2"}, false, "busy"},
	} {
		f := &fake{}
		judged := map[string]any{"updated_at": "2026-01-02T02:04:05Z", "vm_state": "error", "task_state": "", "host": "compute1"}
		for column, value := range test.change {
			judged[column] = value
		}
		got := callFake(t, f, as(judged))
		if got.Get("changed").Bool() != test.changed || got.Get("verdict").String() != test.verdict || (f.writes > 0) != test.changed {
			t.Errorf("%v: %s", test.change, got)
		}
		if told := got.Get("msg").String() + got.Get("reasons").String(); test.verdict == "busy" &&
			!strings.Contains(told, "somebody wrote it since it was judged") {
			t.Errorf("%v: %s", test.change, got)
		}
	}
	// What is gone as it was to be is no matter of who did it.
	judged := map[string]any{"updated_at": "x", "vm_state": "error", "task_state": "", "host": "compute1"}
	if got := callFake(t, &fake{deleted: true, queued: true}, as(judged)); got.Get("failed").Bool() ||
		got.Get("changed").Bool() {
		t.Errorf("deleted already: %s", got)
	}
	if got := callFake(t, &fake{deleted: true}, as(judged)); got.Get("verdict").String() != "busy" {
		t.Errorf("deleted by somebody, with a mapping left: %s", got)
	}
	// One's own write, whose answer was lost, is not somebody else's.
	judged["updated_at"] = "2026-01-02T02:04:05Z"
	f := &fake{answers: []func(*fake) error{func(f *fake) error { f.deleted = true; return nova.ErrOutcome }}}
	if got := callFake(t, f, as(judged)); got.Get("failed").Bool() || !got.Get("changed").Bool() {
		t.Errorf("the commit was lost and had happened: %s", got)
	}
}

func TestWhereTheServicesCannotBeAskedNothingIsWritten(t *testing.T) {
	f := &fake{mappings: []nova.Row{{"id": {Text: "5"}, "deleted": {Text: "0"}, "volume_id": {Text: "v"},
		"destination_type": {Text: "volume"}}}}
	for name, world := range map[string]world{"it refuses": blind{errors.New("cinder answered 403 Forbidden")},
		"nothing leads there": &cloud{}} {
		t.Setenv("OS_AUTH_URL", "")
		got := callFakeIn(t, f, world, nil)
		if f.writes > 0 || !got.Get("failed").Bool() || got.Get("changed").Bool() ||
			!strings.Contains(got.Get("msg").String(), "cannot tell what nova-compute would do to volumes [v]") ||
			!strings.Contains(got.Get("msg").String(), "by nova_conf, cloud, auth or OS_* variables") || got.Get("reap").Type.String() != "Null" {
			t.Errorf("%s: %d writes: %s", name, f.writes, got)
		}
	}
	saved := callFakeIn(t, f, showing{holdings{}}, nil).Get("backup_file").String()
	f.writes = 0
	restored := map[string]any{"state": "present", "backup_file": saved}
	if got := callFakeIn(t, f, blind{errors.New("no route")}, restored); f.writes > 0 ||
		!strings.Contains(got.Get("msg").String(), "cannot tell whether volumes [v]") {
		t.Errorf("restore: %d writes: %s", f.writes, got)
	}
	if got := callFakeIn(t, f, showing{holdings{}}, restored); got.Get("failed").Bool() || f.writes == 0 {
		t.Errorf("restore: %s", got)
	}
}

func TestADeletedInstanceWithArmedRowsOfOthersIsNotFinished(t *testing.T) {
	deleted := nova.Row{"id": {Text: "5"}, "deleted": {Text: "5"}, "deleted_at": {Text: "2020-01-01 00:00:00"}, "volume_id": {Text: "v"},
		"destination_type": {Text: "volume"}, "delete_on_termination": {Text: "1"}}
	world := showing{holdings{volumes: map[string]*heldVolume{"v": held("available")}}}
	f := &fake{deleted: true, queued: true, mappings: []nova.Row{deleted}}
	check := callFakeIn(t, f, world, map[string]any{"_ansible_check_mode": true})
	got := callFakeIn(t, f, world, nil)
	if !got.Get("changed").Bool() || got.Get("failed").Bool() || got.Get("verdict").String() != "deleted" ||
		check.Get("plan").Raw != got.Get("plan").Raw || !got.Get("reap.volumes.0.disarmed").Bool() {
		t.Errorf("got %s", got)
	}
	if again := callFakeIn(t, f, world, nil); again.Get("changed").Bool() || again.Get("failed").Bool() {
		t.Errorf("again: %s", again)
	}
}

// blind is a world that cannot be asked, showing one that is as it is.
type (
	blind   struct{ error }
	showing struct{ holdings }
)

func (b blind) Look(context.Context, string, []string, []string) (holdings, error) {
	return holdings{}, b.error
}

func (s showing) Look(context.Context, string, []string, []string) (holdings, error) {
	return s.holdings, nil
}
