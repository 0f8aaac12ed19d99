package compute_test

import (
	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack/openstacktest"
)

func (w *world) service(binary, host string) compute.Service {
	w.t.Helper()
	found, err := w.Services(w.ctx, binary, host)
	w.must(err)
	if len(found) != 1 {
		w.t.Fatalf("got %+v", found)
	}
	return found[0]
}

func (w *world) forceDown(value bool) {
	w.t.Helper()
	w.must(w.ForceDown(w.ctx, w.service("nova-compute", host).ID, value))
	w.wantsSent(200)
}

func findsService(w *world) {
	s := w.service("nova-compute", host)
	if s.ID == "" || s.Host != host || s.Binary != "nova-compute" || s.Zone == "" || s.State != "up" || s.Status != "enabled" ||
		s.ForcedDown || s.DisabledReason != nil || s.UpdatedAt == nil {
		w.t.Errorf("got %+v", s)
	}
	none, err := w.Services(w.ctx, "nova-compute", "compute9")
	w.must(err)
	all, err := w.Services(w.ctx, "nova-compute", "")
	w.must(err)
	if len(none) > 0 || len(all) == 0 {
		w.t.Errorf("got %v and %v", none, all)
	}
}

func forcesDown(w *world) {
	before := w.service("nova-compute", host)
	w.forceDown(true)
	w.t.Cleanup(func() { w.forceDown(false) })
	if s := w.service("nova-compute", host); !s.ForcedDown || s.State != "down" || s.Status != before.Status {
		w.t.Errorf("got %+v", s)
	}
	w.forceDown(false)
	if s := w.service("nova-compute", host); s.ForcedDown || s.State != "up" {
		w.t.Errorf("got %+v", s)
	}
}

func refusesBinary(w *world) {
	w.wantsRefused(w.ForceDown(w.ctx, w.service("nova-scheduler", "controller").ID, true), 400)
	w.wantsRefused(w.ForceDown(w.ctx, openstacktest.UUID(), true), 404)
}
