package neutron_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/neutron"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestTheFakeNeutronKeepsTheContract(t *testing.T) {
	testContract(t, func(t *testing.T) *world {
		t.Helper()
		cloud := openstacktest.NewInEnvironment(t)
		return newWorld(t, func(*world) maker { return &fakeMaker{cloud} })
	})
}

// maker makes what a test needs behind the client's back.
type maker interface {
	// port has this device, and an owner of Nova's.
	port(device string) string
	// change changes a port in a way that nobody here minds.
	change(port string)
}

// world is one test's Neutron, as the client sees it.
type world struct {
	*neutron.Client
	maker
	ctx      context.Context
	service  *gophercloud.ServiceClient
	instance string
}

func newWorld(t *testing.T, made func(*world) maker) *world {
	t.Helper()
	service := openstacktest.Client(t, (*openstack.Cloud).Network)
	w := &world{Client: neutron.New(service), ctx: openstacktest.Context(t), service: service, instance: openstacktest.UUID()}
	w.maker = made(w)
	return w
}

func testContract(t *testing.T, newWorld func(*testing.T) *world) {
	for name, test := range map[string]func(*testing.T, *world){
		"what is not there is no error":                      isNoError,
		"ports are found by their device":                    areFound,
		"ports of several devices are found":                 ofSeveral,
		"ports are found by their ids":                       byID,
		"ports are listed to the last page":                  areListedToTheLastPage,
		"several that are asked about at once get their own": getTheirOwn,
		"a port that is unbound has no device and no host":   unbinds,
		"a port is deleted once":                             isDeletedOnce,
		"one that has changed since it was read stays":       staysIfChanged,
	} {
		t.Run(name, func(t *testing.T) { test(t, newWorld(t)) })
	}
}

func isNoError(t *testing.T, w *world) {
	if ports, err := w.Ports(w.ctx, openstacktest.UUID()); err != nil || len(ports) > 0 {
		t.Errorf("got %v, %v", ports, err)
	}
	if port, err := w.Port(w.ctx, openstacktest.UUID()); err != nil || port != nil {
		t.Errorf("got %v, %v", port, err)
	}
}

func (w *world) read(t *testing.T, id string) neutron.Port {
	t.Helper()
	port, err := w.Port(w.ctx, id)
	if err != nil || port == nil {
		t.Fatalf("read port %s: %v, %v", id, port, err)
	}
	return *port
}

func areFound(t *testing.T, w *world) {
	id := w.port(w.instance)
	w.port(openstacktest.UUID())
	ports, err := w.Ports(w.ctx, w.instance)
	if err != nil || len(ports) != 1 || ports[0].ID != id || ports[0].DeviceOwner != "compute:nova" || ports[0].Host == "" ||
		len(ports[0].FixedIPs) == 0 {
		t.Errorf("got %+v, %v", ports, err)
	}
}

func ids(t *testing.T, ports []neutron.Port, err error) (ids []string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range ports {
		ids = append(ids, port.ID)
	}
	slices.Sort(ids)
	return ids
}

func ofSeveral(t *testing.T, w *world) {
	other := openstacktest.UUID()
	want := []string{w.port(w.instance), w.port(other), w.port(w.instance)}
	w.port(openstacktest.UUID())
	ports, err := w.Ports(w.ctx, w.instance, openstacktest.UUID(), other)
	slices.Sort(want)
	if got := ids(t, ports, err); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func byID(t *testing.T, w *world) {
	want := []string{w.port(w.instance), w.port(openstacktest.UUID()), w.port(w.instance)}
	w.port(w.instance)
	ports, err := w.PortsByID(w.ctx, want[0], want[1], openstacktest.UUID(), want[2])
	slices.Sort(want)
	if got := ids(t, ports, err); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if ports, err := w.PortsByID(w.ctx); err != nil || len(ports) > 0 {
		t.Errorf("of none: got %v, %v", ports, err)
	}
}

func areListedToTheLastPage(t *testing.T, w *world) {
	want := []string{w.port(w.instance), w.port(w.instance), w.port(w.instance), w.port(w.instance), w.port(w.instance)}
	ports, err := w.Ports(w.ctx, w.instance)
	var got []string
	for _, port := range ports {
		got = append(got, port.ID)
	}
	slices.Sort(want)
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func getTheirOwn(t *testing.T, w *world) {
	none := openstacktest.UUID()
	devices := map[string]string{w.port(w.instance): w.instance}
	for range 4 {
		device := openstacktest.UUID()
		devices[w.port(device)] = device
	}
	var all sync.WaitGroup
	for id, device := range devices {
		all.Go(func() {
			if ports, err := w.PortsOf(w.ctx, device); err != nil || len(ports) != 1 || ports[0].ID != id {
				t.Errorf("%s has %v, %v", device, ports, err)
			}
		})
		all.Go(func() {
			if port, err := w.Port(w.ctx, id); err != nil || port == nil || port.DeviceID != device {
				t.Errorf("port %s is %v, %v", id, port, err)
			}
		})
		all.Go(func() {
			if port, err := w.Port(w.ctx, none); err != nil || port != nil {
				t.Errorf("got %v, %v", port, err)
			}
		})
	}
	all.Wait()
}

func unbinds(t *testing.T, w *world) {
	id := w.port(w.instance)
	if err := w.Unbind(w.ctx, w.read(t, id)); err != nil {
		t.Fatal(err)
	}
	port := w.read(t, id)
	if port.DeviceID != "" || port.DeviceOwner != "" || port.Host != "" || len(port.FixedIPs) == 0 {
		t.Errorf("got %+v", port)
	}
	if ports, err := w.Ports(w.ctx, w.instance); err != nil || len(ports) > 0 {
		t.Errorf("got %+v, %v", ports, err)
	}
	if err := w.Unbind(w.ctx, port); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func isDeletedOnce(t *testing.T, w *world) {
	port := w.read(t, w.port(w.instance))
	first, err := w.Delete(w.ctx, port)
	if err != nil || !first {
		t.Errorf("got %v, %v", first, err)
	}
	if second, err := w.Delete(w.ctx, port); err != nil || second {
		t.Errorf("got %v, %v", second, err)
	}
	if left, err := w.Port(w.ctx, port.ID); err != nil || left != nil {
		t.Errorf("got %v, %v", left, err)
	}
}

func staysIfChanged(t *testing.T, w *world) {
	port := w.read(t, w.port(w.instance))
	w.change(port.ID)
	if _, err := w.Delete(w.ctx, port); !gophercloud.ResponseCodeIs(err, http.StatusPreconditionFailed) {
		t.Errorf("got %v", err)
	}
	if err := w.Unbind(w.ctx, port); !gophercloud.ResponseCodeIs(err, http.StatusPreconditionFailed) {
		t.Errorf("got %v", err)
	}
	if left := w.read(t, port.ID); left.DeviceID != w.instance {
		t.Errorf("it is of device %q", left.DeviceID)
	}
}

// fakeMaker makes it in the fake.
type fakeMaker struct{ cloud *openstacktest.Cloud }

func (f *fakeMaker) port(device string) string {
	id := openstacktest.UUID()
	f.cloud.Do(func() {
		f.cloud.Ports = append(f.cloud.Ports, &openstacktest.Port{ID: id, Device: device, Owner: "compute:nova", Host: "compute1"})
	})
	return id
}

func (f *fakeMaker) change(port string) {
	f.cloud.Do(func() {
		for _, p := range f.cloud.Ports {
			if p.ID == port {
				p.Revision++
			}
		}
	})
}
