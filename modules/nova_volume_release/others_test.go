package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/cinder"
	"nova-orphan/internal/neutron"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/orphan"
)

func TestASnapshotGoesOnlyIfItWasMadeWhileTheVolumeWasTheInstances(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2026, 1, 2, hour, 0, 0, 0, time.UTC) }
	free := func(e *evidence) { e.attachments, e.volumes[0].all, e.volumes[0].cinder.Status = nil, nil, "available" }
	deleted := func(hour int) func(*evidence) { return func(e *evidence) { e.deletedAt = at(hour) } }
	gaveBack := func(hour int) func(*evidence) {
		return func(e *evidence) {
			e.given = []nova.GivenVolume{{ID: "v2", Returned: at(1)}, {ID: "v1", Returned: at(hour)}}
		}
	}
	mappedNow := func(e *evidence) { e.given = []nova.GivenVolume{{ID: "v1"}} }
	listed := func(snapshots ...string) func(*evidence) {
		return func(e *evidence) {
			backup := record{holdings: holdings{Volumes: []volumeAnswer{{ID: "v1"}}, Attachments: []attachment{{VolumeID: "v1"}}}}
			for _, id := range snapshots {
				backup.Snapshots = append(backup.Snapshots, cinder.Snapshot{ID: id, VolumeID: "v1"})
			}
			e.earlier.add(backup)
		}
	}
	listedLater := func(e *evidence) { // when it was given back already
		e.earlier.add(record{holdings: holdings{Volumes: []volumeAnswer{{ID: "v1"}}, Snapshots: []cinder.Snapshot{{ID: "s", VolumeID: "v1"}}}})
	}
	undated := func(e *evidence) { e.snapshots[0].CreatedAt = "yesterday" }
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
			e.earlier = earlierBackups{}
			e.snapshots = []cinder.Snapshot{{ID: "s", VolumeID: "v1", Status: "available", CreatedAt: "2026-01-02T10:00:00.000000"}}
			for _, change := range test.changes {
				change(&e)
			}
			for _, root := range []bool{false, true} {
				work, err := decide(e, wants(func(p *parameters) { p.DeleteSnapshots, p.DeleteRoot = true, root }))
				told := strings.Join(work.remains, "; ") + fmt.Sprint(err)
				if got := strings.Contains(fmt.Sprint(work.steps), "{delete_snapshot s "); got != test.goes {
					t.Errorf("delete_root_volume %t: it goes: %t; %s", root, got, told)
				}
				if test.kept != "" && !strings.Contains(told, test.kept) {
					t.Errorf("delete_root_volume %t: it says %s", root, told)
				}
				if root && !test.goes && err == nil {
					t.Error("the root disk goes, and the snapshot with it")
				}
			}
		})
	}
}

func TestTheRootDiskGoesOnlyIfItIsProvenToBeTheInstances(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*evidence)
		goes   bool
	}{
		{"it is attached", func(*evidence) {}, true},
		{"X5 given back, and nobody says when", func(e *evidence) { e.attachments, e.volumes[0].all = nil, nil }, false},
		{"given back with the instance", func(e *evidence) {
			e.attachments, e.volumes[0].all, e.deletedAt = nil, nil, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
		}, true},
		{"given back by an earlier call", func(e *evidence) {
			e.attachments, e.volumes[0].all, e.earlier = nil, nil, earlierBackups{"v1": {wasAttached: true}}
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := base()
			test.change(&e)
			e.volumes[0].cinder.Status = "available"
			_, err := decide(e, wants(func(p *parameters) { p.DeleteRoot = true }))
			if goes := err == nil; goes != test.goes {
				t.Errorf("got %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), "nothing proves that it is still the instance's") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhatOthersHaveByNowIsToldAndUntouched(t *testing.T) {
	theirs := []cinder.Attachment{{ID: "c1", VolumeID: "v1", Instance: "replacement", Status: "attached"}}
	everything := func(p *parameters) {
		p.DeleteSnapshots, p.ResetVolumes, p.Ports = true, true, release
	}
	for _, test := range []struct {
		name   string
		change func(*evidence)
		told   string
	}{
		{"X4 a volume whose mapping is there", func(e *evidence) {
			e.attachments, e.volumes[0].all = e.attachments[1:], theirs
			e.volumes[0].mapping.DeleteOnTermination = true
		}, "volume v1 is untouched: others have it by now: replacement"},
		{"X4 a volume whose mapping is deleted", func(e *evidence) {
			e.attachments, e.volumes, e.mappings = e.attachments[1:], e.volumes[1:], e.mappings[1:]
			e.former = []volume{{id: "v1", cinder: &cinder.Volume{ID: "v1", Name: "data", Status: "in-use"}, all: theirs}}
		}, "volume v1 (data) is untouched: others have it by now: replacement"},
		{"X4 a port", func(e *evidence) {
			e.formerPorts = []neutron.Port{{ID: "p3", DeviceID: "replacement", DeviceOwner: "compute:nova"}}
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
	e := base()
	e.volumes[0].cinder, e.volumes[0].all = nil, nil
	e.former = []volume{{id: "v3", cinder: &cinder.Volume{ID: "v3", Status: "available"}}}
	e.formerPorts = []neutron.Port{{ID: "p3", DeviceID: "replacement"}}
	e.gonePorts = []string{"p4"}
	told := holdingsOf(e)
	var got []string
	for _, v := range told.Volumes {
		got = append(got, fmt.Sprint(v.ID, " ", v.Status, " gone ", v.Gone, " mapped ", v.Mapped, " former ", v.Former, " of ", v.AttachedTo))
	}
	for _, p := range told.Ports {
		got = append(got, fmt.Sprint(p.ID, " gone ", p.Gone, " of ", p.DeviceID))
	}
	want := []string{
		"v1  gone true mapped true former false of []",
		"v2 in-use gone false mapped true former false of [" + instance + " another]",
		"v3 available gone false mapped false former true of []",
		"p1 gone false of " + instance, "p2 gone false of " + instance, "p3 gone false of replacement", "p4 gone true of ",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
