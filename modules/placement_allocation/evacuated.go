package main

import (
	"fmt"
	"maps"
	"slices"

	"nova-orphan/internal/compute"
)

// partialRelease is what a change would take from a consumer that goes on holding something
// on other trees, as the roots of the trees are named.
type partialRelease struct {
	from  []string // what is taken is on these trees
	stays []string // what stays is on these
}

// isEvacuationLeftover judges whether that half of a live server's allocation is what an
// evacuation left behind: Nova gives the server an allocation on its new host and
// keeps that on the old one, both under the server's uuid, until the old host's
// nova-compute starts again (nova/compute/manager.py _destroy_evacuated_instances).
// The rule is narrow: everything must be told, and must agree. Objections are
// reasons against it; without any, proof says why it is left over.
//
// A sharing provider (a storage) never passes: nothing is evacuated from it, and
// it is not in a host's tree.
func isEvacuationLeftover(consumer string, s *compute.Server, migrations []compute.Migration, h partialRelease) (proof string,
	objections []string) {
	object := func(format string, values ...any) { objections = append(objections, fmt.Sprintf(format, values...)) }
	if len(h.from) != 1 || h.from[0] == "" {
		return "", []string{"only one tree of an evacuated server is left over, that of a host"}
	}
	from := h.from[0]
	switch {
	case s.Hypervisor == "" || s.Host == "":
		object("nova does not say on which hypervisor it is (that takes an admin, and a server that has a host)")
	case s.Hypervisor == from:
		object("%s is the hypervisor it is on", from)
	case !slices.Contains(h.stays, s.Hypervisor):
		object("it would keep nothing on %s, the hypervisor it is on", s.Hypervisor)
	}
	if s.TaskState != "" {
		object("it is in the middle of a task: %s", s.TaskState)
	}
	for _, m := range migrations {
		switch {
		case m.Instance != consumer:
		case !m.Dead():
			object("its migration %s is in status %s", m.UUID, m.Status)
		case m.Type == "evacuation" && (m.Status == "done" || m.Status == "completed") && m.SourceNode == from && m.Source != s.Host:
			proof = fmt.Sprintf("%s lives on %s: what it holds on %s is left from its evacuation %s (%s)", consumer, s.Hypervisor, from, m.UUID,
				m.Status)
		}
	}
	if proof == "" {
		object("no evacuation from %s is done or completed", from)
	}
	if len(objections) > 0 {
		return "", objections
	}
	return proof, nil
}

// partialReleaseOf is what the change leaves and takes, or nil if it does not leave a server
// anything, or does more than take whole providers.
func (t *task) partialReleaseOf(todo change) *partialRelease {
	if t.State != absent || todo.after.Empty() {
		return nil
	}
	taken := todo.before.Without(slices.Collect(maps.Keys(todo.after.Providers)))
	return &partialRelease{from: t.providers.treesOf(taken.Providers), stays: t.providers.treesOf(todo.after.Providers)}
}
