package cinder_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/cinder"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestTheFakeCinderKeepsTheContract(t *testing.T) {
	testContract(t, func(t *testing.T) *world {
		t.Helper()
		cloud := openstacktest.NewInEnvironment(t)
		return newWorld(t, &fakeMaker{cloud})
	})
}

// maker makes what a test needs behind the client's back.
type maker interface {
	// volume is of 1 GiB, and available.
	volume(multiattach bool) string
	snapshot(volume string) string
	// reserve is an attachment without a host; attach is one with a connection.
	reserve(volume, instance string) string
	attach(volume, instance string) string
	// lose removes the volume's last attachment, so that it stays in use by nobody.
	lose(volume, attachment string)
}

// world is one test's Cinder, as the client sees it.
type world struct {
	*cinder.Client
	maker
	ctx      context.Context
	instance string
}

func newWorld(t *testing.T, made maker) *world {
	t.Helper()
	return &world{cinder.New(openstacktest.Client(t, (*openstack.Cloud).BlockStorage)), made, openstacktest.Context(t), openstacktest.UUID()}
}

func testContract(t *testing.T, newWorld func(*testing.T) *world) {
	for name, test := range map[string]func(*testing.T, *world){
		"what is not there is no error":                                isNoError,
		"attachments are found by instance and by volume":              areFound,
		"of several volumes those that are there are found":            findsVolumes,
		"what several instances and volumes have is found once":        findsOnce,
		"… and where they are too many to be asked one by one":         findsAmongAll,
		"a volume shows only those that are attached":                  showsAttached,
		"the last attachment that goes frees the volume":               freesTheVolume,
		"of a volume that several have, only this attachment goes":     leavesOthers,
		"a reserved attachment goes, too":                              frees,
		"an attachment is deleted once":                                isDeletedOnce,
		"of a connection nothing secret is kept":                       keepsNoSecret,
		"snapshots are found by volume and deleted":                    deletesSnapshots,
		"a service token that is none is refused":                      refusesToken,
		"an admin is told that cinder shows all projects":              seesAll,
		"the attachments of one instance go on over more than a page":  pages,
		"what another instance has is never among an instance's own":   isOwn,
		"an attachment's id is not found under another kind of object": isTyped,
	} {
		t.Run(name, func(t *testing.T) { test(t, newWorld(t)) })
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func ids(attachments []cinder.Attachment) (found []string) {
	for _, a := range attachments {
		found = append(found, a.ID)
	}
	return found
}

func (w *world) wants(t *testing.T, volume, status string) {
	t.Helper()
	if v := must[*cinder.Volume](t)(w.Volume(w.ctx, volume)); v == nil || v.Status != status {
		t.Errorf("volume %s is %+v, want it %s", volume, v, status)
	}
}

func (w *world) detach(t *testing.T, attachment string) bool {
	t.Helper()
	return must[bool](t)(w.DeleteAttachment(w.ctx, attachment, ""))
}

// await waits for what Cinder does later.
func await(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("it did not come to pass")
		}
	}
}

func isNoError(t *testing.T, w *world) {
	none := openstacktest.UUID()
	if found := must[[]cinder.Attachment](t)(w.Attachments(w.ctx, none)); len(found) > 0 {
		t.Errorf("attachments: %v", found)
	}
	if found := must[[]cinder.Snapshot](t)(w.Snapshots(w.ctx, none)); len(found) > 0 {
		t.Errorf("snapshots: %v", found)
	}
	if v := must[*cinder.Volume](t)(w.Volume(w.ctx, none)); v != nil {
		t.Errorf("volume: %v", v)
	}
	if s := must[*cinder.Snapshot](t)(w.Snapshot(w.ctx, none)); s != nil {
		t.Errorf("snapshot: %v", s)
	}
	if must[bool](t)(w.AttachmentExists(w.ctx, none)) || w.detach(t, none) || must[bool](t)(w.DeleteSnapshot(w.ctx, none)) {
		t.Error("something was there")
	}
}

func areFound(t *testing.T, w *world) {
	volume := w.volume(false)
	attachment := w.attach(volume, w.instance)
	for _, found := range [][]cinder.Attachment{
		must[[]cinder.Attachment](t)(w.Attachments(w.ctx, w.instance)), must[[]cinder.Attachment](t)(w.AttachmentsOf(w.ctx, volume)),
	} {
		if len(found) != 1 || found[0].ID != attachment || found[0].VolumeID != volume || found[0].Instance != w.instance ||
			found[0].Status != "attached" {
			t.Errorf("got %+v", found)
		}
	}
	if !must[bool](t)(w.AttachmentExists(w.ctx, attachment)) {
		t.Error("it is not attached")
	}
	w.wants(t, volume, "in-use")
}

func findsVolumes(t *testing.T, w *world) {
	first, second, third := w.volume(false), w.volume(true), w.volume(false)
	w.attach(second, w.instance)
	told := func(v cinder.Volume) string {
		return fmt.Sprint(v.ID, v.Name, v.Status, v.Multiattach, len(v.Attachments))
	}
	for _, there := range [][]string{nil, {first}, {first, second, third}} {
		var want, got []string
		for _, id := range there {
			want = append(want, told(*must[*cinder.Volume](t)(w.Volume(w.ctx, id))))
		}
		for _, v := range must[[]cinder.Volume](t)(w.Volumes(w.ctx, append(there, openstacktest.UUID())...)) {
			got = append(got, told(v))
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

func findsOnce(t *testing.T, w *world) { w.findsAll(t, 1) }

func findsAmongAll(t *testing.T, w *world) { w.findsAll(t, 51) }

// findsAll asks for an instance and a volume, and for as many instances beside that have nothing.
func (w *world) findsAll(t *testing.T, others int) {
	t.Helper()
	shared, own, theirs := w.volume(true), w.volume(false), w.volume(false)
	want := []string{w.attach(shared, w.instance), w.reserve(shared, openstacktest.UUID()), w.attach(own, w.instance)}
	w.attach(theirs, openstacktest.UUID())
	instances := []string{w.instance}
	for range others {
		instances = append(instances, openstacktest.UUID())
	}
	found := must[[]cinder.Attachment](t)(w.AttachmentsOfAny(w.ctx, instances, []string{shared}))
	got := ids(found)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, a := range found {
		if a.VolumeID != shared && a.VolumeID != own || a.Instance == "" || a.Status == "" {
			t.Errorf("got %+v", a)
		}
	}
}

func showsAttached(t *testing.T, w *world) {
	volume := w.volume(true)
	attachment, _ := w.attach(volume, w.instance), w.reserve(volume, openstacktest.UUID())
	v := must[*cinder.Volume](t)(w.Volume(w.ctx, volume))
	if len(v.Attachments) != 1 || v.Attachments[0].AttachmentID != attachment || v.Attachments[0].ServerID != w.instance ||
		v.Attachments[0].Device != "/dev/vdb" || v.Attachments[0].HostName == "" || !v.Multiattach {
		t.Errorf("got %+v", v)
	}
	if all := must[[]cinder.Attachment](t)(w.AttachmentsOf(w.ctx, volume)); len(all) != 2 {
		t.Errorf("got %+v", all)
	}
}

func freesTheVolume(t *testing.T, w *world) {
	volume := w.volume(false)
	attachment := w.attach(volume, w.instance)
	if !w.detach(t, attachment) || must[bool](t)(w.AttachmentExists(w.ctx, attachment)) {
		t.Error("it is still attached")
	}
	w.wants(t, volume, "available")
}

func leavesOthers(t *testing.T, w *world) {
	volume := w.volume(true)
	ours, theirs := w.attach(volume, w.instance), w.attach(volume, openstacktest.UUID())
	w.detach(t, ours)
	if left := ids(must[[]cinder.Attachment](t)(w.AttachmentsOf(w.ctx, volume))); !slices.Equal(left, []string{theirs}) {
		t.Errorf("left are %v", left)
	}
	w.wants(t, volume, "in-use")
}

func frees(t *testing.T, w *world) {
	volume := w.volume(false)
	w.detach(t, w.reserve(volume, w.instance))
	w.wants(t, volume, "available")
}

func isDeletedOnce(t *testing.T, w *world) {
	attachment := w.attach(w.volume(false), w.instance)
	if first, second := w.detach(t, attachment), w.detach(t, attachment); !first || second {
		t.Errorf("first %v, then %v", first, second)
	}
}

func keepsNoSecret(t *testing.T, w *world) {
	w.attach(w.volume(false), w.instance)
	found := must[[]cinder.Attachment](t)(w.Attachments(w.ctx, w.instance))
	content, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	if found[0].Connection.Type == "" {
		t.Errorf("it does not say how it is connected: %s", content)
	}
	for _, word := range []string{"planted", "password", "secret", "keyring", "auth_"} {
		if strings.Contains(string(content), word) {
			t.Errorf("it tells %s: %s", word, content)
		}
	}
}

func deletesSnapshots(t *testing.T, w *world) {
	volume := w.volume(false)
	first, second := w.snapshot(volume), w.snapshot(volume)
	w.snapshot(w.volume(false))
	var found []string
	for _, s := range must[[]cinder.Snapshot](t)(w.Snapshots(w.ctx, volume)) {
		found = append(found, s.ID)
		if s.Status != "available" || s.VolumeID != volume || s.CreatedAt == "" {
			t.Errorf("got %+v", s)
		}
	}
	slices.Sort(found)
	want := []string{first, second}
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("got %v, want %v", found, want)
	}
	if !must[bool](t)(w.DeleteSnapshot(w.ctx, first)) {
		t.Error("it was not there")
	}
	await(t, func() bool { return must[*cinder.Snapshot](t)(w.Snapshot(w.ctx, first)) == nil })
}

func refusesToken(t *testing.T, w *world) {
	attachment := w.attach(w.volume(false), w.instance)
	var failure *openstack.Failure
	if _, err := w.DeleteAttachment(w.ctx, attachment, "no token"); !errors.As(err, &failure) || failure.Status != http.StatusUnauthorized {
		t.Errorf("got %v", err)
	}
	if !must[bool](t)(w.AttachmentExists(w.ctx, attachment)) {
		t.Error("it is gone")
	}
}

func seesAll(t *testing.T, w *world) {
	if err := w.SeesAllProjects(w.ctx); err != nil {
		t.Error(err)
	}
}

func pages(t *testing.T, w *world) {
	var want []string
	for range 3 {
		want = append(want, w.reserve(w.volume(false), w.instance))
	}
	got := ids(must[[]cinder.Attachment](t)(w.Attachments(w.ctx, w.instance)))
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func isOwn(t *testing.T, w *world) {
	volume := w.volume(true)
	w.attach(volume, openstacktest.UUID())
	if found := must[[]cinder.Attachment](t)(w.Attachments(w.ctx, w.instance)); len(found) > 0 {
		t.Errorf("got %+v", found)
	}
}

func isTyped(t *testing.T, w *world) {
	volume := w.volume(false)
	if must[bool](t)(w.AttachmentExists(w.ctx, volume)) || w.detach(t, volume) {
		t.Error("a volume passes for an attachment")
	}
	w.wants(t, volume, "available")
}

// fakeMaker makes it in the fake.
type fakeMaker struct{ cloud *openstacktest.Cloud }

func (f *fakeMaker) volume(multiattach bool) string {
	id := openstacktest.UUID()
	f.cloud.Do(func() {
		f.cloud.Volumes = append(f.cloud.Volumes, &openstacktest.Volume{ID: id, Name: "test", Status: "available", Multiattach: multiattach})
	})
	return id
}

func (f *fakeMaker) snapshot(volume string) string {
	id := openstacktest.UUID()
	f.cloud.Do(func() {
		f.cloud.Snapshots = append(f.cloud.Snapshots, &openstacktest.Snapshot{ID: id, Volume: volume, Status: "available"})
	})
	return id
}

func (f *fakeMaker) reserve(volume, instance string) string {
	return f.add(&openstacktest.Attachment{Volume: volume, Instance: instance, Status: "reserved"}, "reserved")
}

func (f *fakeMaker) attach(volume, instance string) string {
	info := map[string]any{"driver_volume_type": "rbd", "name": "volumes/volume-" + volume, "auth_enabled": true,
		"auth_username": "planted-user", "secret_uuid": "planted-uuid", "keyring": "planted"}
	return f.add(&openstacktest.Attachment{Volume: volume, Instance: instance, Status: "attached", Device: "/dev/vdb", Host: "host",
		Info: info}, "in-use")
}

func (f *fakeMaker) add(a *openstacktest.Attachment, status string) string {
	a.ID = openstacktest.UUID()
	f.cloud.Do(func() {
		f.cloud.Attachments = append(f.cloud.Attachments, a)
		f.setStatus(a.Volume, status)
	})
	return a.ID
}

func (f *fakeMaker) setStatus(volume, status string) {
	for _, v := range f.cloud.Volumes {
		if v.ID == volume {
			v.Status = status
		}
	}
}

func (f *fakeMaker) lose(_, attachment string) {
	f.cloud.Do(func() {
		f.cloud.Attachments = slices.DeleteFunc(f.cloud.Attachments, func(a *openstacktest.Attachment) bool { return a.ID == attachment })
	})
}
