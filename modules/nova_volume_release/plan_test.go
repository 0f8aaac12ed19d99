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
	user, nova := false, true
	made := func(id string, byNova *bool) port {
		return port{Port: neutron.Port{ID: id, DeviceID: instance, DeviceOwner: "compute:nova"}, MadeByNova: byNova}
	}
	return evidence{instance: instance,
		novaEvidence: novaEvidence{judgement: orphan.Judgement{Verdict: orphan.Stuck}, mapped: true,
			made:     map[string]bool{"p1": user, "p2": nova},
			mappings: []mapping{{VolumeID: "v1", Device: "/dev/vda", Root: true}, {VolumeID: "v2", Device: "/dev/vdb"}}},
		holdings: holdings{
			Attachments: []attachment{{ID: "a1", VolumeID: "v1", Status: "attached"}, {ID: "a2", VolumeID: "v2", Status: "attached"}},
			Volumes: []volume{
				{ID: "v1", Status: "in-use", Mapped: true, Device: "/dev/vda", Root: true, AttachedTo: []string{instance}},
				{ID: "v2", Status: "in-use", Multiattach: true, Mapped: true, Device: "/dev/vdb",
					AttachedTo: []string{instance, "another"}, OtherServers: []string{"another"}},
			},
			Ports: []port{made("p1", &user), made("p2", &nova)},
		},
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
			func(e *evidence) { e.mappings, e.Volumes[0].Mapped, e.Volumes[1].Mapped = nil, false, false }, nothing,
			"detach a1, detach a2, unbind p1, delete_port p2", ""},
		{"an archived instance, whose attachments are all that is left", func(e *evidence) { e.judgement.Verdict = orphan.Archived }, nothing,
			"detach a1, detach a2, unbind p1, delete_port p2", ""},
		{"a mapping whose volume is gone", func(e *evidence) {
			e.Attachments = e.Attachments[1:]
			e.Volumes[0].Gone, e.Volumes[0].AttachedTo = true, nil
		}, nothing,
			"detach a2, unbind p1, delete_port p2", "cinder no longer has"},
		{"the same of a deleted instance, where it is as it should be", func(e *evidence) {
			e.judgement.Verdict = orphan.Deleted
			e.Attachments = e.Attachments[1:]
			e.Volumes[0].Gone, e.Volumes[0].AttachedTo = true, nil
		}, nothing, "detach a2, unbind p1, delete_port p2", ""},
		{"V2 a volume that is in use by nobody stays as it is", func(e *evidence) {
			e.Attachments, e.Volumes[0].AttachedTo = e.Attachments[1:], nil
		}, nothing, "detach a2, unbind p1, delete_port p2", "volume v1 is in-use without an attachment: openstack volume set --state available " +
			"--detached v1"},
		{"V2 ... that is said with a doubt of one that somebody may be attaching", func(e *evidence) {
			e.Attachments, e.Volumes[0].AttachedTo, e.Volumes[0].Multiattach = e.Attachments[1:], nil, true
		}, nothing, "detach a2, unbind p1, delete_port p2", "in-use without an attachment: if nobody is attaching it, openstack volume set"},
		{"V3 a volume that a host has without an instance is left to it", func(e *evidence) {
			e.Attachments = e.Attachments[1:]
			e.Volumes[0].AttachedTo = []string{"a host, by attachment c1"}
			e.Volumes[0].OtherServers = e.Volumes[0].AttachedTo
		}, nothing, "detach a2, unbind p1, delete_port p2",
			"volume v1 is untouched: others have it by now: a host, by attachment c1"},
		{"V4 a volume that nova deletes later", func(e *evidence) { e.Volumes[1].DeleteOnTermination = true }, nothing,
			"detach a1, detach a2, unbind p1, delete_port p2", "nova DELETES volume v2"},
		{"V4 one that it is to keep: before all else", func(e *evidence) { e.Volumes[1].DeleteOnTermination, e.apiKnows = true, true },
			func(p *parameters) { p.PreserveVolumes = true }, "preserve v2, detach a1, detach a2, unbind p1, delete_port p2", ""},
		{"V4 of an archived instance nova deletes nothing any more", func(e *evidence) {
			e.judgement.Verdict, e.Volumes[1].DeleteOnTermination = orphan.Archived, true
		}, func(p *parameters) { p.PreserveVolumes = true }, "detach a1, detach a2, unbind p1, delete_port p2", ""},
		{"a snapshot; that of a volume that others have stays", func(e *evidence) {
			e.Snapshots = []cinder.Snapshot{{ID: "s1", VolumeID: "v1", Status: "available"}, {ID: "s2", VolumeID: "v2", Status: "available"}}
		}, func(p *parameters) { p.DeleteSnapshots = true },
			"detach a1, detach a2, delete_snapshot s1, unbind p1, delete_port p2", "others have its volume: another"},
		{"a snapshot that was made after the instance was deleted", func(e *evidence) {
			e.judgement.Verdict, e.deletedAt = orphan.Deleted, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			e.Snapshots = []cinder.Snapshot{
				{ID: "s1", VolumeID: "v1", Status: "available", CreatedAt: "2026-01-02T03:04:06.000000"},
				{ID: "s2", VolumeID: "v1", Status: "available", CreatedAt: "2026-01-02T03:04:04.000000"},
			}
		}, func(p *parameters) { p.DeleteSnapshots = true }, "detach a1, detach a2, delete_snapshot s2, unbind p1, delete_port p2",
			"after the instance was deleted"},
		{"a snapshot that is being made", func(e *evidence) {
			e.Snapshots = []cinder.Snapshot{{ID: "s1", VolumeID: "v1", Status: "creating"}}
		}, func(p *parameters) { p.DeleteSnapshots = true }, "detach a1, detach a2, unbind p1, delete_port p2", "it is creating"},
		{"N1 a port of which nova does not tell who made it", func(e *evidence) { e.Ports[1].MadeByNova = nil }, nothing,
			"detach a1, detach a2, unbind p1", "does not have it"},
		{"N1 another service's port on the same device", func(e *evidence) { e.Ports[1].DeviceOwner = "network:router_interface" }, nothing,
			"detach a1, detach a2, unbind p1", "its owner is network:router_interface"},
		{"N1 a port with an accelerator", func(e *evidence) { e.Ports[0].Profile = map[string]any{"arq_uuid": "x"} }, nothing,
			"detach a1, detach a2, delete_port p2", "Cyborg"},
		{"N1 a port whose owner is not set", func(e *evidence) { e.Ports[0].DeviceOwner = "" }, nothing,
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
			if again, err := decide(predict(e, work), wants(test.want)); err != nil || len(again.steps) > 0 {
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
		{"volumes without a cinder", func(e *evidence) { e.noCinder, e.Volumes, e.Attachments = true, nil, nil }, nothing,
			[]string{"v1, v2", "no volumev3"}},
		{"ports without a neutron", func(e *evidence) { e.noNeutron, e.Ports = true, nil }, nothing, []string{"2 ports", "ports: keep"}},
		{"V4 a flag that nobody can clear", func(e *evidence) {
			e.judgement.Verdict, e.Volumes[1].DeleteOnTermination = orphan.Zombie, true
		}, func(p *parameters) { p.PreserveVolumes = true }, []string{"preserve_volumes", "v2", "UPDATE block_device_mapping"}},
		{"all of it at once", func(e *evidence) {
			e.judgement.Verdict, e.noNeutron, e.Volumes[1].DeleteOnTermination = orphan.Live, true, true
		}, func(p *parameters) { p.PreserveVolumes = true }, []string{"is live", "no network", "preserve_volumes cannot be granted"}},
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
