//go:build !lab

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
	"nova-orphan/internal/step"
)

// theatre is a service that two runs have count as down, one request at a time.
type theatre struct {
	service compute.Service
	now     time.Time
	folder  string
	// reports says that its nova-compute runs, and writes the service before each look.
	reports bool
	// runs are the instances on whose behalf the two runs are; empty: they say of none.
	runs   [2]string
	silent *ansible.Call
}

func newTheatre(t *testing.T, folder string, forcedDown, reports bool) *theatre {
	t.Helper()
	w := &theatre{silent: ansibletest.SilentCall(t, false), reports: reports, runs: [2]string{instance, another}}
	w.begin(folder, forcedDown)
	return w
}

func (w *theatre) begin(folder string, forcedDown bool) {
	w.now, w.folder = time.Date(2026, 1, 29, 13, 42, 2, 0, time.UTC), folder
	w.service = compute.Service{ID: "f86eb1b1-347d-4f09-a306-455707d1478c", Host: theHost, Binary: binary, Status: "enabled", State: "up", ForcedDown: forcedDown}
	w.write()
}

// write is what any change of the row does.
func (w *theatre) write() {
	w.now = w.now.Add(time.Second)
	at := w.now.Format("2006-01-02T15:04:05.000000")
	w.service.UpdatedAt = &at
}

func (w *theatre) set(forcedDown bool) {
	if w.service.ForcedDown != forcedDown {
		w.service.ForcedDown = forcedDown
		w.write()
	}
}

// actor is one run: its requests wait for their turn. One that gets none any more is killed.
type actor struct {
	*theatre
	turn, asks, ended chan struct{}
	// lists says that it only looks where it is to act, which changes nothing in the order of things.
	lists *bool
}

func (a actor) await() {
	if *a.lists {
		return
	}
	a.asks <- struct{}{}
	if _, alive := <-a.turn; !alive {
		runtime.Goexit()
	}
}

func (a actor) Services(context.Context, string, string) ([]compute.Service, error) {
	a.await()
	if a.reports {
		a.write()
	}
	return []compute.Service{a.service}, nil
}

func (a actor) ForceDown(_ context.Context, _ string, value bool) error {
	a.await()
	a.set(value)
	return nil
}

func (a actor) CountServers(context.Context, string) (compute.Count, error) {
	return compute.Count{}, nil
}

func (a actor) ledger(p parameters) (ledger, context.Context, context.CancelFunc) {
	p.BackupDir = a.folder
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	return ledger{parameters: p, nova: a, backup: p.Backups.All, now: func() time.Time { return a.now }, warn: func(string) {}}, ctx, cancel
}

// call is one call of the module for the host, and gives its backup.
func (a actor) call(p parameters) (string, error) {
	l, ctx, cancel := a.ledger(p)
	defer cancel()
	t := &task{ledger: l, call: a.silent, host: theHost, reply: &entry{}}
	err := t.do(ctx)
	return t.reply.BackupFile, err
}

// run is what a purge does: the deletion is between. One on behalf of an instance asks for that what it has left; another
// knows its own backup, if it has come to have the answer.
func (a actor) run(instance string) {
	yes := true
	own, err := a.call(parameters{ForcedDown: &yes, InstanceUUID: instance})
	if instance != "" {
		own = ""
	}
	for range 3 {
		if err = errors.Join(err, a.putBack(instance, own)); err == nil {
			break
		}
		err = nil
	}
}

// putBack puts back its own, and what the module lists.
func (a actor) putBack(instance, own string) error {
	if own != "" {
		if _, err := a.call(parameters{Backups: step.PerElement[string]{All: own}}); err != nil {
			return err
		}
	}
	*a.lists = true
	l, ctx, cancel := a.ledger(parameters{InstanceUUID: instance})
	defer cancel()
	listed, err := l.left(ctx)
	*a.lists = false
	if err != nil {
		return err
	}
	for _, left := range *listed {
		if left.AsLeft {
			_, failed := a.call(parameters{Backups: step.PerElement[string]{All: left.BackupFile}})
			err = errors.Join(err, failed)
		}
	}
	return err
}

// start comes back when the actor waits for its first turn.
func (w *theatre) start(do func(actor)) (a actor, waits bool) {
	a = actor{w, make(chan struct{}), make(chan struct{}), make(chan struct{}), new(bool)}
	go func() {
		defer close(a.ended)
		do(a)
	}()
	return a, a.waits()
}

// waits says whether it wants another turn, or has ended.
func (a actor) waits() bool {
	select {
	case <-a.asks:
		return true
	case <-a.ended:
		return false
	}
}

// step gives the actor a turn.
func (a actor) step() (waits bool) {
	a.now = a.now.Add(time.Second)
	a.turn <- struct{}{}
	return a.waits()
}

// play lets two runs take their turns, and then, if that is the end of all, to go on to
// their ends; who has not ended is killed.
func (w *theatre) play(turns []int, toTheEnd bool) (sent [2]int, killed bool) {
	var actors [2]actor
	var waits [2]bool
	for i, uuid := range w.runs {
		actors[i], waits[i] = w.start(func(a actor) { a.run(uuid) })
	}
	for _, i := range turns {
		if waits[i] {
			waits[i] = actors[i].step()
			sent[i]++
		}
	}
	for i := range actors {
		for waits[i] && toTheEnd {
			waits[i] = actors[i].step()
		}
		if waits[i] {
			killed = true
			close(actors[i].turn)
			<-actors[i].ended
		}
	}
	return sent, killed
}

// orders are all in which so many turns of each run may come.
func orders(first, second int) (all [][]int) {
	if first == 0 && second == 0 {
		return [][]int{nil}
	}
	if first > 0 {
		for _, rest := range orders(first-1, second) {
			all = append(all, append([]int{0}, rest...))
		}
	}
	if second > 0 {
		for _, rest := range orders(first, second-1) {
			all = append(all, append([]int{1}, rest...))
		}
	}
	return all
}

// A run alone sends this many requests: two looks and a write between, and that again.
const requestsOfARun = 6

func TestTwoRunsOnOneHostLeaveItAsItWasWhateverTheirOrderAndWhereverTheyAreKilled(t *testing.T) {
	pause := openstack.FirstPause
	openstack.FirstPause = time.Nanosecond
	t.Cleanup(func() { openstack.FirstPause = pause })
	root, err := os.MkdirTemp("/dev/shm", "interleaved-") // thousands of small files, each synced
	if err != nil {
		root = t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	played, each := 0, [2]string{instance, another}
	for _, world := range []struct {
		name            string
		before, reports bool
		// fenced says that somebody puts it back, and fences it, when both runs are over.
		fenced bool
		runs   [2]string
	}{
		{name: "its nova-compute is silent", runs: each},
		{name: "its nova-compute reports", reports: true, runs: each},
		{name: "somebody fences it afterwards", fenced: true, runs: each},
		{name: "somebody had it forced down before", before: true, runs: each},
		{name: "its nova-compute is silent, and neither run is for one instance"},
		{name: "its nova-compute reports, and neither run is for one instance", reports: true},
		{name: "somebody fences it afterwards, and neither run is for one instance", fenced: true},
		{name: "somebody had it forced down before, and neither run is for one instance", before: true},
		{name: "one run is for one instance", runs: [2]string{instance, ""}},
	} {
		t.Run(world.name, func(t *testing.T) {
			w := newTheatre(t, "", false, world.reports)
			w.runs = world.runs
			for first := range requestsOfARun + 1 {
				for second := range requestsOfARun + 1 {
					for _, turns := range orders(first, second) {
						if len(turns) > 0 && turns[0] == 1 && (w.runs[0] == "") == (w.runs[1] == "") {
							continue // the two are alike
						}
						played++
						w.begin(filepath.Join(root, fmt.Sprint(played)), world.before)
						_, killed := w.play(turns, len(turns) == 2*requestsOfARun)
						if !killed && w.service.ForcedDown != world.before {
							t.Fatalf("%v: forced_down is %v, and nobody was killed", turns, w.service.ForcedDown)
						}
						want := world.before || world.fenced
						if world.fenced {
							w.now = w.now.Add(2 * inFlight)
							w.set(false)
							w.set(true)
						}
						w.now = w.now.Add(atLeast + time.Second)
						later, waits := w.start(func(a actor) { _ = a.putBack(w.runs[played%2], "") })
						for waits {
							waits = later.step()
						}
						if w.service.ForcedDown != want {
							t.Fatalf("%v: forced_down is %v, after a later run", turns, w.service.ForcedDown)
						}
						_ = os.RemoveAll(w.folder)
					}
				}
			}
		})
	}
	t.Logf("orders of two runs, with where they were killed: %d", played)
}

func TestARunSendsAsManyRequestsAsAreInterleaved(t *testing.T) {
	w := newTheatre(t, t.TempDir(), false, false)
	if sent, _ := w.play(slices.Repeat([]int{0}, 2*requestsOfARun), false); sent[0] != requestsOfARun {
		t.Errorf("it sent %d", sent[0])
	}
}

func TestEachOfFiftyHostsIsCountedAndWrittenOnce(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	var hosts []string
	for i := range 50 {
		hosts = append(hosts, fmt.Sprintf("host-%02d", i))
		cloud.Services = append(cloud.Services, openstacktest.Service{ID: openstacktest.UUID(), Host: hosts[i], Binary: "nova-compute"})
	}
	answer := ansibletest.Call(t, module(), map[string]any{"host": hosts, "forced_down": true, "backup_dir": t.TempDir()})
	requests, services := cloud.Requests(), cloud.Services
	for i, host := range hosts {
		counted, written := openstacktest.CountNaming(requests, "/servers?all_tenants=True&host="+host),
			openstacktest.CountNaming(requests, services[i].ID)
		if counted != 1 || written != 1 || !services[i].ForcedDown {
			t.Errorf("%s: counted %d times, written %d times", host, counted, written)
		}
	}
	// Before and after the write, and others share them.
	if lists := openstacktest.CountNaming(requests, "/os-services?"); answer.Get("failed").Bool() || lists > 2*len(hosts) {
		t.Errorf("%d lists of services: %s", lists, answer.Get("msg"))
	}
	t.Logf("requests: %d", len(requests))
}
