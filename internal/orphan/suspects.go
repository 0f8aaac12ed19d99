package orphan

import (
	"maps"
	"slices"
)

// Consumers are those of which no cell has an instance that Nova looks after, and that are
// no migration under way: they are suspects, or migrations that are over.
func (p *Picture) Consumers() []string {
	x := p.indexed()
	var consumers []string
	for consumer := range p.Placed {
		if instance, known := x.instances[consumer]; known && instance.Deleted == 0 {
			continue
		}
		if migration, known := x.migrations[consumer]; known && !migration.Dead() {
			continue
		}
		consumers = append(consumers, consumer)
	}
	slices.Sort(consumers)
	return consumers
}

// Suspects are the instances that need a closer look: none else can be a finding.
// consumers are those of Consumers, and Migrations must have what they are.
func (p *Picture) Suspects(policy Policy, consumers []string) []string {
	x, suspects := p.indexed(), map[string]bool{}
	for uuid, instance := range x.instances {
		if x.isSuspect(instance, policy) {
			suspects[uuid] = true
		}
	}
	for consumer, providers := range p.Placed {
		instance, known := x.instances[consumer]
		if known && x.isSettled(instance, policy) && slices.ContainsFunc(providers, func(p string) bool { return x.isElsewhere(instance, p) }) {
			suspects[consumer] = true
		}
	}
	for _, cell := range p.Cells {
		for _, uuid := range slices.Concat(cell.HalfDeleted, cell.Gone) {
			suspects[uuid] = true
		}
	}
	for _, consumer := range consumers {
		if migration, known := p.Migrations[consumer]; known {
			consumer = migration.Instance
		}
		suspects[consumer] = true
	}
	for uuid, places := range x.domains {
		if _, known := x.instances[uuid]; !known {
			// Where a cell cannot be read, a domain that nothing says is Nova's is not in doubt.
			suspects[uuid] = suspects[uuid] || !x.failedCell || x.mapped(uuid) ||
				slices.ContainsFunc(places, func(p place) bool { return p.domain().Nova })
		}
	}
	for _, uuids := range []map[string]bool{keys(x.files), keys(p.BuildRequests)} {
		for uuid := range uuids {
			if _, known := x.instances[uuid]; !known {
				suspects[uuid] = true
			}
		}
	}
	for uuid, mapping := range p.Mappings {
		if _, known := x.instances[uuid]; !known && !mapping.QueuedForDelete {
			suspects[uuid] = true
		}
	}
	maps.DeleteFunc(suspects, func(_ string, is bool) bool { return !is })
	return slices.Sorted(maps.Keys(suspects))
}

func (x *index) mapped(uuid string) bool {
	_, mapped := x.Mappings[uuid]
	return mapped
}

func keys[V any](all map[string]V) map[string]bool {
	set := map[string]bool{}
	for key := range all {
		set[key] = true
	}
	return set
}

// isSuspect says whether there may be something wrong with a row.
func (x *index) isSuspect(instance located, policy Policy) bool {
	switch {
	case instance.Hidden || x.double[instance.UUID]:
		return false // a move between cells
	case instance.Deleted != 0, instance.VMState == "error", instance.VMState == "deleted", deleting(instance.TaskState):
		return true
	}
	return len(x.wrong(instance, policy)) > 0
}
