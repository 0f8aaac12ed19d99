package reap

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/cinder"
	"nova-orphan/internal/neutron"
	"nova-orphan/internal/nova"
)

const (
	uuid  = "6695eb01-f6a4-8304-79aa-97f2502e193f"
	rival = "99999999-f6a4-8304-79aa-97f2502e193f"
)

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
			r := foresee(uuid, []nova.Mapping{test.mapping}, nil, holdings{volumes: map[string]*heldVolume{"v": test.volume}}, test.preserve)
			got := r.Volumes[0].Fate
			if len(r.Disarm.Detached) > 0 {
				got += " detached"
			}
			if len(r.Disarm.Preserved) > 0 {
				got += " preserved"
			}
			if got != test.want {
				t.Errorf("got %q, want %q: %+v", got, test.want, r)
			}
			if armed := r.Volumes[0].Disarmed; armed == r.Disarm.Empty() || armed && r.Volumes[0].Why == "" {
				t.Errorf("it is not told what is disarmed and why: %+v", r)
			}
			// Once disarmed, nothing more is.
			after := test.mapping
			after.Detaches = after.Detaches && len(r.Disarm.Detached) == 0
			after.DeleteOnTermination = after.DeleteOnTermination && len(r.Disarm.Preserved) == 0
			if again := foresee(uuid, []nova.Mapping{after}, nil, holdings{volumes: map[string]*heldVolume{"v": test.volume}},
				test.preserve); !again.Disarm.Empty() {
				t.Errorf("again: %+v", again.Disarm)
			}
		})
	}
}

// Nova's own delete reads the living rows only.
func TestTheAPIsOwnDeleteWouldActOnWhatLivingRowsNameAndOthersHave(t *testing.T) {
	mappings := []nova.Mapping{
		{ID: 6, VolumeID: "own", Detaches: true, DeleteOnTermination: true, AttachmentID: "a1"},
		{ID: 7, VolumeID: "theirs", Detaches: true},
		{ID: 8, VolumeID: "given back", Detaches: true, Deleted: true, GivenBack: true},
	}
	volumes := map[string]*heldVolume{
		"own": held("in-use", "a1:"+uuid), "theirs": held("in-use", "a2:"+rival), "given back": held("in-use", "a3:"+rival),
	}
	ports := map[string]*neutron.Port{"own": {ID: "own", DeviceID: uuid}, "theirs": {ID: "theirs", DeviceID: rival}}
	for _, preserve := range []bool{false, true} {
		r := foresee(uuid, mappings, []nova.Port{{ID: "own"}, {ID: "theirs"}}, holdings{volumes: volumes, ports: ports}, preserve)
		if diff := cmp.Diff([]string{"volume theirs", "port theirs"}, r.Others); diff != "" {
			t.Errorf("preserve %v: %s", preserve, diff)
		}
		var disarmed []string
		for _, v := range r.Volumes {
			if v.Disarmed {
				disarmed = append(disarmed, fmt.Sprint(v.VolumeID, " ", v.MappingDeleted))
			}
		}
		want := []string{"theirs false", "given back true"}
		if preserve { // its own is not deleted then, which the API's own delete can be told, too
			want = append([]string{"own false"}, want...)
		}
		if diff := cmp.Diff(want, disarmed); diff != "" {
			t.Errorf("preserve %v: %s", preserve, diff)
		}
	}
}

func TestARowThatMakesNobodyDoAnythingIsNotAskedAbout(t *testing.T) {
	if r := foresee(uuid, []nova.Mapping{{ID: 7, VolumeID: "v"}}, nil, holdings{}, true); len(r.Volumes) > 0 || !r.Disarm.Empty() {
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
			r := foresee(uuid, nil, cached, holdings{ports: map[string]*neutron.Port{"p": test.port}}, false)
			if r.Ports[0].Fate != test.fate || r.Ports[0].Disarmed != test.disarm || test.disarm != (len(r.Disarm.Ports) == 1) {
				t.Errorf("got %+v", r)
			}
		})
	}
	r := foresee(uuid, nil, nil, holdings{own: map[string][]neutron.Port{uuid: {{ID: "q", DeviceID: uuid}}}}, false)
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
	r := foresee(uuid, mappings, cached, world, false)
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
	if diff := cmp.Diff(want, append(r.Disarming("cell1"), r.SideEffects()...)); diff != "" {
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
