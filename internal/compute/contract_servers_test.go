package compute_test

import (
	"context"
	"errors"
	"time"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack/openstacktest"
)

func findsNothing(w *world) {
	if uuid := openstacktest.UUID(); !w.isGone(uuid) {
		w.t.Error("it is there")
	}
}

func deletesHomeless(w *world) {
	uuid := w.orphan("")
	server := w.server(uuid)
	listed, err := w.Listed(w.ctx, uuid)
	w.must(err)
	if server.VMState != "error" || server.TaskState != "" || server.Host != "" || server.HostStatus != "" || server.ProjectID == "" ||
		server.UserID == "" || server.Flavor.Name == "" {
		w.t.Errorf("got %s", server.Raw)
	}
	if listed == nil || listed.VMState != server.VMState || listed.Updated != server.Updated {
		w.t.Errorf("listed is %v", listed)
	}
	if age := time.Since(server.At); age < -time.Minute || age > time.Minute {
		w.t.Errorf("its clock is %s off", age)
	}
	if _, err = time.Parse(time.RFC3339, server.Updated); err != nil {
		w.t.Error(err)
	}
	w.must(w.Delete(w.ctx, uuid))
	w.wantsSent(204)
	if !w.isGone(uuid) {
		w.t.Error("it is still there")
	}
	w.wantsRefused(w.Delete(w.ctx, uuid), 404)
}

func deletesOnHost(w *world) {
	uuid := w.orphan(host)
	server := w.server(uuid)
	if server.Host != host || server.Hypervisor == "" || server.HostStatus != "UP" || server.Status != "ERROR" || server.Locked ||
		server.InstanceName == "" {
		w.t.Errorf("got %s", server.Raw)
	}
	w.must(w.Delete(w.ctx, uuid))
	w.wantsSent(204)
	w.wantsGone(uuid)
}

func forcesDelete(w *world) {
	uuid := w.orphan("")
	w.must(w.ForceDelete(w.ctx, uuid))
	w.wantsSent(202)
	w.wantsGone(uuid)
}

func ignoresDelete(w *world) {
	uuid := w.orphan(host)
	w.task(uuid, "deleting")
	for _, ask := range []func(context.Context, string) error{w.Delete, w.ForceDelete} {
		asked := time.Now().Truncate(time.Second)
		w.must(ask(w.ctx, uuid))
		now := w.server(uuid)
		updated, err := time.Parse(time.RFC3339, now.Updated)
		w.must(err)
		if updated.Before(asked) || now.TaskState != "deleting" || now.VMState != "error" {
			w.t.Errorf("got %s, asked at %s", now.Raw, asked)
		}
	}
}

func resets(w *world) {
	uuid := w.orphan(host)
	w.task(uuid, "deleting")
	w.must(w.ResetState(w.ctx, uuid))
	w.wantsSent(202)
	now := w.server(uuid)
	updated, err := time.Parse(time.RFC3339, now.Updated)
	w.must(err)
	if now.TaskState != "" || now.VMState != "error" || now.At.Sub(updated) > time.Minute {
		w.t.Errorf("got %s", now.Raw)
	}
	w.must(w.Delete(w.ctx, uuid))
	w.wantsGone(uuid)
}

func deletesLocally(w *world) {
	uuid := w.orphan(host)
	w.task(uuid, "deleting")
	w.forceDown(true)
	w.t.Cleanup(func() { w.forceDown(false) })
	if now := w.server(uuid); now.HostStatus != "DOWN" {
		w.t.Errorf("the host is %s", now.HostStatus)
	}
	w.must(w.Delete(w.ctx, uuid))
	if !w.isGone(uuid) {
		w.t.Error("it is still there")
	}
}

func ignoresProtected(w *world) {
	uuid := w.orphan("")
	w.protect(uuid)
	before := w.server(uuid)
	w.must(w.Delete(w.ctx, uuid))
	w.wantsSent(204)
	if now := w.server(uuid); now.Updated != before.Updated || now.TaskState != "" {
		w.t.Errorf("it left a trace: %s, was %s", now.Raw, before.Raw)
	}
}

func deletesLocked(w *world) {
	uuid := w.orphan("")
	w.lock(uuid)
	if !w.server(uuid).Locked {
		w.t.Error("it does not show")
	}
	w.must(w.Delete(w.ctx, uuid))
	w.wantsGone(uuid)
}

func tellsWhyLocked(w *world) {
	uuid := w.orphan("")
	w.lock(uuid)
	reason, err := w.LockedReason(w.ctx, uuid)
	if w.must(err); reason != "a test" {
		w.t.Errorf("got %q", reason)
	}
	if server := w.server(uuid); server.LockedReason != "" {
		w.t.Errorf("it is in the answer of another microversion: %s", server.Raw)
	}
	none, err := w.LockedReason(w.ctx, openstacktest.UUID())
	if w.must(err); none != "" {
		w.t.Errorf("got %q", none)
	}
}

func listsUnmapped(w *world) {
	uuid := w.orphan(host)
	w.unmap(uuid)
	byUUID, err := w.Server(w.ctx, uuid)
	w.must(err)
	found, unmapped, err := w.Find(w.ctx, uuid)
	w.must(err)
	if byUUID != nil || !unmapped || found == nil || found.VMState != "error" || found.Host != host {
		w.t.Errorf("by its UUID it is %v, found is %v, unmapped %v", byUUID, found, unmapped)
	}
	w.wantsRefused(w.Delete(w.ctx, uuid), 404)
}

func keepsVolume(w *world) {
	uuid, volume, other := w.orphan(host), openstacktest.UUID(), openstacktest.UUID()
	w.volume(uuid, volume)
	w.volume(uuid, other)
	before := w.server(uuid)
	w.must(w.KeepVolume(w.ctx, uuid, volume))
	w.wantsSent(202)
	after := w.server(uuid)
	if len(before.Volumes) != 2 || len(after.Volumes) != 2 || after.Updated != before.Updated || after.VMState != before.VMState {
		w.t.Fatalf("got %s, was %s", after.Raw, before.Raw)
	}
	for _, one := range after.Volumes {
		if one.DeleteOnTermination != (one.ID == other) {
			w.t.Errorf("got %+v", after.Volumes)
		}
	}
}

func tellsDevices(w *world) {
	uuid, volume := w.orphan(""), openstacktest.UUID()
	w.volume(uuid, volume)
	devices, err := w.Devices(w.ctx, uuid)
	if err != nil || len(devices) != 1 || devices[volume] != "/dev/vdb" {
		w.t.Errorf("got %v, %v", devices, err)
	}
	if server := w.server(uuid); server.RootDevice == "" || len(server.Volumes) != 1 || server.Volumes[0].ID != volume {
		w.t.Errorf("got %+v", server)
	}
}

func keepsNoVolume(w *world) {
	w.wantsRefused(w.KeepVolume(w.ctx, w.orphan(""), openstacktest.UUID()), 404)
}

func listsMigrations(w *world) {
	uuid := w.orphan(host)
	var want []string
	for range 3 {
		want = append(want, openstacktest.UUID())
		w.migration(uuid, want[len(want)-1])
	}
	w.migration(w.orphan(host), openstacktest.UUID())
	got, err := w.Migrations(w.ctx, uuid)
	w.must(err)
	for _, m := range got {
		if m.Status != "finished" || m.Type != "migration" || m.Source != "test" || m.SourceNode != "test-node" || m.Instance != uuid ||
			m.ID == 0 {
			w.t.Errorf("got %+v", m)
		}
	}
	if len(got) != len(want) {
		w.t.Errorf("got %+v, want %v", got, want)
	}
}

func findsMigration(w *world) {
	uuid, migration := w.orphan(host), openstacktest.UUID()
	w.migration(uuid, migration)
	for range 3 {
		w.migration(uuid, openstacktest.UUID())
	}
	found, err := w.Migration(w.ctx, migration, []string{"test"})
	w.must(err)
	if found == nil || found.Instance != uuid || found.Status != "finished" {
		w.t.Errorf("got %+v", found)
	}
	if found, err = w.Migration(w.ctx, migration, []string{"another"}); !errors.Is(err, compute.ErrUntold) {
		w.t.Errorf("got %+v, %v", found, err)
	}
	if found, err = w.Migration(w.ctx, openstacktest.UUID(), []string{"test"}); found != nil || err != nil {
		w.t.Errorf("got %+v, %v", found, err)
	}
	w.must(w.ListsAll(w.ctx))
}

func counts(w *world) {
	before, err := w.CountServers(w.ctx, host)
	w.must(err)
	for range 3 {
		w.orphan(host)
	}
	w.orphan("")
	after, err := w.CountServers(w.ctx, host)
	w.must(err)
	if after.Total != before.Total+3 || after.Error != before.Error+3 {
		w.t.Errorf("got %+v, was %+v", after, before)
	}
	nobody, err := w.CountServers(w.ctx, "compute9")
	w.must(err)
	if nobody != (compute.Count{}) {
		w.t.Errorf("got %+v", nobody)
	}
}
