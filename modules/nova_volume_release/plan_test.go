package main

import (
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/cinder"
	"nova-orphan/internal/neutron"
	"nova-orphan/internal/orphan"
)

const instance = "6695eb01-f6a4-8304-79aa-97f2502e193f"

// base is a stuck instance with a root disk v1 and a volume v2 that others have, too;
// p1 is a user's port, p2 one that Nova made.
func base() evidence {
	mine := func(id, volume string) cinder.Attachment {
		return cinder.Attachment{ID: id, VolumeID: volume, Instance: instance, Status: "attached"}
	}
	mappings := []mapping{{VolumeID: "v1", Device: "/dev/vda", Root: true}, {VolumeID: "v2", Device: "/dev/vdb"}}
	return evidence{instance: instance,
		novaEvidence: novaEvidence{judgement: orphan.Judgement{Verdict: orphan.Stuck}, mappings: mappings, mapped: true,
			made: map[string]bool{"p1": false, "p2": true}},
		attachments: []cinder.Attachment{mine("a1", "v1"), mine("a2", "v2")},
		volumes: []volume{
			{id: "v1", cinder: &cinder.Volume{ID: "v1", Status: "in-use"}, mapping: &mappings[0], all: []cinder.Attachment{mine("a1", "v1")}},
			{id: "v2", cinder: &cinder.Volume{ID: "v2", Status: "in-use", Multiattach: true}, mapping: &mappings[1],
				all: []cinder.Attachment{mine("a2", "v2"), {ID: "b2", VolumeID: "v2", Instance: "another", Status: "attached"}}},
		},
		ports: []neutron.Port{{ID: "p1", DeviceID: instance, DeviceOwner: "compute:nova"},
			{ID: "p2", DeviceID: instance, DeviceOwner: "compute:nova"}},
	}
}

func wants(change func(*parameters)) parameters {
	p := parameters{State: released, Ports: release}
	change(&p)
	return p
}

func TestThePlan(t *testing.T) {
	nothing := func(*parameters) {}
	for _, test := range []struct {
		name   string
		change func(*evidence)
		want   func(*parameters)
		steps  string // kind id, in their order
		leaves string
	}{
		{"V1 only this instance's attachments, by their own ids; ports by who made them", func(*evidence) {}, nothing,
			"detach a1, detach a2, unbind p1, delete_port p2", ""},
		{"ports that are to stay", func(*evidence) {}, func(p *parameters) { p.Ports = keep }, "detach a1, detach a2", "ports: keep"},
		{"V5 an attachment of which nova does not know",
			func(e *evidence) { e.mappings = nil; e.volumes[0].mapping, e.volumes[1].mapping = nil, nil }, nothing,
			"detach a1, detach a2, unbind p1, delete_port p2", ""},
		{"an archived instance, whose attachments are all that is left", func(e *evidence) { e.judgement.Verdict = orphan.Archived }, nothing,
			"detach a1, detach a2, unbind p1, delete_port p2", ""},
		{"a mapping whose volume is gone", func(e *evidence) {
			e.attachments = e.attachments[1:]
			e.volumes[0].cinder, e.volumes[0].all = nil,
				nil
		}, nothing,
			"detach a2, unbind p1, delete_port p2", "cinder no longer has"},
		{"the same of a deleted instance, where it is as it should be", func(e *evidence) {
			e.judgement.Verdict = orphan.Deleted
			e.attachments = e.attachments[1:]
			e.volumes[0].cinder, e.volumes[0].all = nil, nil
		}, nothing, "detach a2, unbind p1, delete_port p2", ""},
		{"V2 a volume that is in use by nobody stays as it is", func(e *evidence) { e.attachments = e.attachments[1:]; e.volumes[0].all = nil },
			nothing,
			"detach a2, unbind p1, delete_port p2", "openstack volume set --state available --detached v1"},
		{"V2 ... until a reset is asked for", func(e *evidence) { e.attachments = e.attachments[1:]; e.volumes[0].all = nil },
			func(p *parameters) { p.ResetVolumes = true }, "detach a2, reset v1, unbind p1, delete_port p2", ""},
		{"V2 a volume with any attachment is never reset", func(*evidence) {}, func(p *parameters) { p.ResetVolumes = true },
			"detach a1, detach a2, unbind p1, delete_port p2", ""},
		{"V3 a volume that a host has without an instance is left to it", func(e *evidence) {
			e.attachments = e.attachments[1:]
			e.volumes[0].all = []cinder.Attachment{{ID: "c1", VolumeID: "v1", Status: "attached"}}
		}, func(p *parameters) { p.ResetVolumes = true }, "detach a2, unbind p1, delete_port p2",
			"volume v1 is untouched: others have it by now: a host, by attachment c1"},
		{"V4 a volume that nova deletes later", func(e *evidence) { e.volumes[1].mapping.DeleteOnTermination = true }, nothing,
			"detach a1, detach a2, unbind p1, delete_port p2", "nova DELETES volume v2"},
		{"V4 one that it is to keep: before all else", func(e *evidence) { e.volumes[1].mapping.DeleteOnTermination, e.apiKnows = true, true },
			func(p *parameters) { p.PreserveVolumes = true }, "preserve v2, detach a1, detach a2, unbind p1, delete_port p2", ""},
		{"V4 of an archived instance nova deletes nothing any more", func(e *evidence) {
			e.judgement.Verdict, e.volumes[1].mapping.DeleteOnTermination = orphan.Archived, true
		}, func(p *parameters) { p.PreserveVolumes = true }, "detach a1, detach a2, unbind p1, delete_port p2", ""},
		{"the root disk, last of the volumes", func(*evidence) {}, func(p *parameters) { p.DeleteRoot = true },
			"detach a1, detach a2, delete_volume v1, unbind p1, delete_port p2", ""},
		{"a root disk that nova would delete anyway", func(e *evidence) { e.volumes[0].mapping.DeleteOnTermination = true },
			func(p *parameters) { p.DeleteRoot = true }, "detach a1, detach a2, delete_volume v1, unbind p1, delete_port p2", ""},
		{"snapshots before their volume; others' stay", func(e *evidence) {
			e.snapshots = []cinder.Snapshot{{ID: "s1", VolumeID: "v1", Status: "available"}, {ID: "s2", VolumeID: "v2", Status: "available"}}
		}, func(p *parameters) { p.DeleteRoot, p.DeleteSnapshots = true, true },
			"detach a1, detach a2, delete_snapshot s1, delete_volume v1, unbind p1, delete_port p2", "others have its volume: another"},
		{"a snapshot that was made after the instance was deleted", func(e *evidence) {
			e.judgement.Verdict, e.deletedAt = orphan.Deleted, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			e.snapshots = []cinder.Snapshot{
				{ID: "s1", VolumeID: "v1", Status: "available", CreatedAt: "2026-01-02T03:04:06.000000"},
				{ID: "s2", VolumeID: "v1", Status: "available", CreatedAt: "2026-01-02T03:04:04.000000"},
			}
		}, func(p *parameters) { p.DeleteSnapshots = true }, "detach a1, detach a2, delete_snapshot s2, unbind p1, delete_port p2",
			"after the instance was deleted"},
		{"a snapshot that is being made", func(e *evidence) {
			e.snapshots = []cinder.Snapshot{{ID: "s1", VolumeID: "v1", Status: "creating"}}
		}, func(p *parameters) { p.DeleteSnapshots = true }, "detach a1, detach a2, unbind p1, delete_port p2", "it is creating"},
		{"N1 a port of which nova does not tell who made it", func(e *evidence) { delete(e.made, "p2") }, nothing,
			"detach a1, detach a2, unbind p1", "does not have it"},
		{"N1 another service's port on the same device", func(e *evidence) { e.ports[1].DeviceOwner = "network:router_interface" }, nothing,
			"detach a1, detach a2, unbind p1", "its owner is network:router_interface"},
		{"N1 a port with an accelerator", func(e *evidence) { e.ports[0].Profile = map[string]any{"arq_uuid": "x"} }, nothing,
			"detach a1, detach a2, delete_port p2", "Cyborg"},
		{"N1 a port whose owner is not set", func(e *evidence) { e.ports[0].DeviceOwner = "" }, nothing,
			"detach a1, detach a2, unbind p1, delete_port p2", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := base()
			test.change(&e)
			work, err := decide(e, wants(test.want))
			if err != nil {
				t.Fatal(err)
			}
			var steps []string
			for _, s := range work.steps {
				steps = append(steps, string(s.kind)+" "+s.id)
			}
			if got := strings.Join(steps, ", "); got != test.steps {
				t.Errorf("got  %s\nwant %s", got, test.steps)
			}
			if got := strings.Join(work.remains, "; "); !strings.Contains(got, test.leaves) || (test.leaves == "") != (got == "") {
				t.Errorf("it leaves %q, want %q", got, test.leaves)
			}
			if again, err := decide(predict(e, work), wants(test.want)); err != nil && !strings.Contains(err.Error(), "no mapping") ||
				len(again.steps) > 0 {
				t.Errorf("a second look would do more: %v, %v", again.steps, err)
			}
		})
	}
}

func TestTheRefusals(t *testing.T) {
	nothing := func(*parameters) {}
	for _, test := range []struct {
		name   string
		change func(*evidence)
		want   func(*parameters)
		words  []string
	}{
		{"one that lives", func(e *evidence) { e.judgement = orphan.Judgement{Verdict: orphan.Live, Reasons: []string{"it runs"}} }, nothing,
			[]string{"is live", "it runs"}},
		{"one that is busy", func(e *evidence) { e.judgement.Verdict = orphan.Busy }, nothing, []string{"is busy"}},
		{"one of which a source could not be read", func(e *evidence) { e.judgement.Verdict = orphan.Unknown }, nothing, []string{"is unknown"}},
		{"volumes without a cinder", func(e *evidence) { e.noCinder, e.volumes, e.attachments = true, nil, nil }, nothing,
			[]string{"v1, v2", "no volumev3"}},
		{"ports without a neutron", func(e *evidence) { e.noNeutron, e.ports = true, nil }, nothing, []string{"2 ports", "ports: keep"}},
		{"V4 a flag that nobody can clear", func(e *evidence) {
			e.judgement.Verdict, e.volumes[1].mapping.DeleteOnTermination = orphan.Zombie, true
		}, func(p *parameters) { p.PreserveVolumes = true }, []string{"preserve_volumes", "v2", "UPDATE block_device_mapping"}},
		{"a root disk that others have", func(e *evidence) {
			e.volumes[0].all = append(e.volumes[0].all, cinder.Attachment{ID: "c", VolumeID: "v1", Instance: "another"})
		}, func(p *parameters) { p.DeleteRoot = true }, []string{"others have it: another", "delete_root_volume"}},
		{"a root disk that a host has", func(e *evidence) {
			e.volumes[0].all = append(e.volumes[0].all, cinder.Attachment{ID: "c", VolumeID: "v1"})
		}, func(p *parameters) { p.DeleteRoot = true }, []string{"a host, by attachment c"}},
		{"a root disk that hangs", func(e *evidence) { e.attachments, e.volumes[0].all = nil, nil }, func(p *parameters) { p.DeleteRoot = true },
			[]string{"reset_volumes: true"}},
		{"a root disk of which nobody tells", func(e *evidence) { e.mappings, e.volumes[0].mapping = nil, nil },
			func(p *parameters) { p.DeleteRoot = true }, []string{"no mapping"}},
		{"all of it at once", func(e *evidence) {
			e.judgement.Verdict, e.noNeutron = orphan.Live, true
			e.snapshots = []cinder.Snapshot{{ID: "s1", VolumeID: "v1", Status: "available"}}
		}, func(p *parameters) { p.DeleteRoot = true }, []string{"is live", "no network", "delete_snapshots: true"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := base()
			test.change(&e)
			work, err := decide(e, wants(test.want))
			if err == nil || len(work.steps) > 0 {
				t.Fatalf("it is not refused: %v", work.steps)
			}
			for _, words := range test.words {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("got %v, want %q", err, words)
				}
			}
		})
	}
}
