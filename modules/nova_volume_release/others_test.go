package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/cinder"
	"nova-orphan/internal/neutron"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/openstack/openstacktest"
	"nova-orphan/internal/orphan"
)

func TestASnapshotGoesOnlyIfItWasMadeWhileTheVolumeWasTheInstances(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 1, 2, hour, 0, 0, 0, time.UTC) }
	free := func(e *evidence) { e.Attachments, e.Volumes[0].AttachedTo, e.Volumes[0].Status = nil, nil, "available" }
	deleted := func(hour int) func(*evidence) { return func(e *evidence) { e.deletedAt = at(hour) } }
	gaveBack := func(hour int) func(*evidence) {
		return func(e *evidence) {
			e.given = []nova.GivenVolume{{ID: "v2", Returned: at(1)}, {ID: "v1", Returned: at(hour)}}
		}
	}
	mappedNow := func(e *evidence) { e.given = []nova.GivenVolume{{ID: "v1"}} }
	listed := func(snapshots ...string) func(*evidence) {
		return func(e *evidence) {
			backup := record{holdings: holdings{Volumes: []volume{{ID: "v1"}}, Attachments: []attachment{{VolumeID: "v1"}}}}
			for _, id := range snapshots {
				backup.Snapshots = append(backup.Snapshots, cinder.Snapshot{ID: id, VolumeID: "v1"})
			}
			e.earlier = append(e.earlier, backup)
		}
	}
	listedLater := func(e *evidence) { // when it was given back already
		e.earlier = append(e.earlier,
			record{holdings: holdings{Volumes: []volume{{ID: "v1"}}, Snapshots: []cinder.Snapshot{{ID: "s", VolumeID: "v1"}}}})
	}
	undated := func(e *evidence) { e.Snapshots[0].CreatedAt = "yesterday" }
	for _, test := range []struct {
		name    string
		changes []func(*evidence)
		goes    bool
		kept    string
	}{
		{"the volume is attached", nil, true, ""},
		{"attached, and nova has no date for anything", []func(*evidence){mappedNow}, true, ""},
		{"attached, but the instance was deleted before", []func(*evidence){deleted(9)}, false,
			"it was made at 2026-01-02T10:00:00.000000, after the instance was deleted"},
		{"attached, but the mapping was deleted before", []func(*evidence){gaveBack(9)}, false, "gave its volume back (2026-01-02T09:00:00Z)"},
		{"X5 given back, and no date", []func(*evidence){free}, false, "nothing proves that it was made while the volume was the instance's"},
		{"X5 given back, and mapped all the same", []func(*evidence){free, mappedNow}, false, "nothing proves"},
		{"X5 given back, made before the row was deleted, perhaps by ourselves", []func(*evidence){free, deleted(11)}, false, "nothing proves"},
		{"given back, made in the same moment", []func(*evidence){free, deleted(10)}, false, "nothing proves"},
		{"given back, made after the instance was deleted", []func(*evidence){free, deleted(9)}, false, "after the instance was deleted"},
		{"given back, made before the mapping was deleted", []func(*evidence){free, gaveBack(11)}, false, "nothing proves"},
		{"given back before the instance was deleted: the earlier counts", []func(*evidence){free, gaveBack(9), deleted(11)}, false,
			"(2026-01-02T09:00:00Z)"},
		{"deleted before the mapping was: the earlier counts", []func(*evidence){free, gaveBack(11), deleted(9)}, false,
			"(2026-01-02T09:00:00Z)"},
		{"a snapshot without a date, and the volume is given back", []func(*evidence){free, deleted(11), undated}, false,
			"it was made at yesterday"},
		{"a snapshot without a date, and the volume is attached", []func(*evidence){undated}, true, ""},
		{"given back by an earlier call, whose backup lists it", []func(*evidence){free, listed("s")}, true, ""},
		{"... but made after the instance was deleted", []func(*evidence){free, listed("s"), deleted(9)}, false,
			"after the instance was deleted"},
		{"given back by an earlier call, whose backup does not list it", []func(*evidence){free, listed("older")}, false,
			"made after a backup of this module"},
		{"... though the instance was deleted later", []func(*evidence){free, listed("older"), deleted(11)}, false,
			"made after a backup of this module"},
		{"listed by a backup of a time when it was given back", []func(*evidence){free, listedLater}, false, "nothing proves"},
		{"listed by two backups, the first while it was attached", []func(*evidence){free, listed("s"), listedLater}, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := base()
			e.Snapshots = []cinder.Snapshot{{ID: "s", VolumeID: "v1", Status: "available", CreatedAt: "2026-01-02T10:00:00.000000"}}
			for _, change := range test.changes {
				change(&e)
			}
			work, err := decide(e, wants(func(p *parameters) { p.DeleteSnapshots = true }))
			told := strings.Join(work.remains, "; ")
			if got := strings.Contains(fmt.Sprint(work.steps), "{delete_snapshot s "); got != test.goes || err != nil {
				t.Errorf("it goes: %t; %s; %v", got, told, err)
			}
			if !strings.Contains(told, test.kept) {
				t.Errorf("it says %s", told)
			}
		})
	}
}

func TestWhatOthersHaveByNowIsToldAndUntouched(t *testing.T) {
	theirs := []string{"replacement"}
	everything := func(p *parameters) { p.DeleteSnapshots, p.Ports = true, release }
	for _, test := range []struct {
		name   string
		change func(*evidence)
		told   string
	}{
		{"X4 a volume whose mapping is there", func(e *evidence) {
			e.Attachments = e.Attachments[1:]
			e.Volumes[0].AttachedTo, e.Volumes[0].OtherServers, e.Volumes[0].DeleteOnTermination = theirs, theirs, true
		}, "volume v1 is untouched: others have it by now: replacement"},
		{"X4 a volume whose mapping is deleted", func(e *evidence) {
			e.Attachments, e.mappings = e.Attachments[1:], e.mappings[1:]
			e.Volumes[0] = volume{ID: "v1", Name: "data", Status: "in-use", AttachedTo: theirs, OtherServers: theirs, Former: true}
		}, "volume v1 (data) is untouched: others have it by now: replacement"},
		{"X4 a port", func(e *evidence) {
			e.Ports = append(e.Ports, port{Port: neutron.Port{ID: "p3", DeviceID: "replacement", DeviceOwner: "compute:nova"}})
		}, "port p3 is untouched: it is of replacement by now (compute:nova)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := base()
			e.judgement.Verdict = orphan.Zombie
			test.change(&e)
			work, err := decide(e, wants(everything))
			if err != nil {
				t.Fatal(err)
			}
			for _, lines := range [][]string{work.remains, inventory(e, wants(everything))} {
				if got := strings.Join(lines, "; "); !strings.Contains(got, test.told) {
					t.Errorf("it says %s", got)
				}
			}
			for _, s := range work.steps {
				if strings.Contains(test.told, s.id+" ") || strings.Contains(test.told, s.volume+" ") && s.volume != "" {
					t.Errorf("it would %s", s.text)
				}
			}
			if got := strings.Join(work.foreseen, "; "); strings.Contains(got, "DELETES volume v1") {
				t.Errorf("it foresees %s", got)
			}
		})
	}
}

func TestOutcomesAreWhatTheServicesSayNow(t *testing.T) {
	cloud, witness := portsOf(t)
	cloud.Volumes = []*openstacktest.Volume{{ID: "v2", Status: "in-use"}, {ID: "v3", Status: "available"}}
	cloud.Attachments = []*openstacktest.Attachment{
		{ID: "a2", Volume: "v2", Instance: instance, Status: "attached"}, {ID: "b2", Volume: "v2", Instance: "another", Status: "attached"},
	}
	witness.said.mappings = []mapping{{VolumeID: "v1"}, {VolumeID: "v2"}}
	witness.said.given = []nova.GivenVolume{{ID: "v1"}, {ID: "v3"}}
	witness.said.portIDs = []string{"others", "deleted"}
	told := inProcessWith(t, cloud, witness, map[string]any{"_ansible_check_mode": true})
	var got []string
	for _, v := range told.Get("volumes").Array() {
		got = append(got, fmt.Sprint(v.Get("id"), " ", v.Get("status"), " gone ", v.Get("gone"), " mapped ", v.Get("mapped"), " former ",
			v.Get("former"), " of ", v.Get("attached_to")))
	}
	for _, p := range told.Get("ports").Array() {
		got = append(got, fmt.Sprint(p.Get("id"), " gone ", p.Get("gone"), " of ", p.Get("device_id")))
	}
	want := []string{
		"v1  gone true mapped true former false of []",
		`v2 in-use gone false mapped true former false of ["` + instance + `","another"]`,
		"v3 available gone false mapped false former true of []",
		"users gone false of " + instance, "novas gone false of " + instance, "others gone false of another", "deleted gone true of ",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
