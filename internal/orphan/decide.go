package orphan

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

func (f *finding) has(what string) bool {
	return slices.ContainsFunc(f.Remains, func(r Remnant) bool { return r.What == what })
}

// decide says what is wrong with the instance, in its verdict's terms.
func (f *finding) decide(owners map[string]Owner) {
	fresh := f.row != nil && f.look.Fresh(f.cell.Now, latest(latest(f.row.UpdatedAt, f.row.CreatedAt), f.pastDeletedAt()))
	switch f.Verdict {
	case Live:
		f.decideLive()
	case Stuck:
		if f.since(latest(f.row.UpdatedAt, f.row.CreatedAt)); fresh {
			return
		}
		f.Kind = KindError
		if f.row.Deleting() || f.row.VMState == softDeleted {
			f.Kind = KindDeleting
		}
		for _, wrong := range f.wrong(f.located(), f.look.Policy) {
			if wrong.kind == KindNoMapping || wrong.kind == KindHostGone {
				f.Kind = wrong.kind
			}
			f.Reasons = append(f.Reasons, wrong.reason)
		}
		for _, at := range f.domains[f.UUID] {
			if f.row.VMState == "error" && !f.row.Deleting() && at.domain().State == "running" {
				f.Reasons = append(f.Reasons, fmt.Sprintf("libvirt: %s has its domain %s, running: if its owner uses it, keep it with "+
					"openstack server set --state active %s", f.host(at.hypervisor), at.domain().Name, f.UUID))
			}
		}
	case Zombie:
		f.Kind = KindZombie
		f.since(latest(f.pastDeletedAt(), f.row.UpdatedAt))
	case Deleted:
		if f.since(f.pastDeletedAt()); !fresh {
			f.left()
		}
		if mapping := f.look.Mapping; f.Kind == "" && !fresh &&
			(len(f.cell.Leftovers) > 0 || f.row.NeedsDeletedAt(f.cell.Now) || mapping != nil && !mapping.QueuedForDelete) {
			f.Kind = KindHalfDeleted
		}
	case Archived, Lost:
		f.left()
	case Absent:
		if f.isNovas(owners) {
			f.Verdict = Lost
			f.left()
		}
	case Unknown, Busy, Foreign:
	}
}

// decideLive looks at the row as it is by now, and not as the survey had it.
func (f *finding) decideLive() {
	for _, wrong := range f.wrong(f.located(), f.look.Policy) {
		f.Kind, f.Reasons = cmp.Or(f.Kind, wrong.kind), append(f.Reasons, wrong.reason)
		f.live = append(f.live, wrong)
	}
	if len(f.over) > 0 {
		f.Kind = cmp.Or(f.Kind, KindMigration)
	}
	f.unheld = len(f.over) > 0 && !slices.ContainsFunc(f.Held[f.UUID], func(h Held) bool { return !f.isElsewhere(f.located(), h.Provider) })
	for _, migration := range f.over {
		f.Reasons = append(f.Reasons, fmt.Sprintf("placement: migration %s is over (%s) and still holds %s", migration.UUID, migration.Status,
			counted(f.Held[migration.UUID][0].Resources)))
	}
	f.keepWrong()
}

// keepWrong drops of the remains what the instance lives on: nothing that Nova looks after is left over.
func (f *finding) keepWrong() {
	instance, kinds := f.located(), map[Kind]bool{}
	for _, wrong := range f.live {
		kinds[wrong.kind] = true
	}
	f.Remains = slices.DeleteFunc(f.Remains, func(r Remnant) bool {
		switch r.What {
		case RemainsRow:
			return !kinds[KindNoMapping] && !kinds[KindHostGone]
		case RemainsAllocation:
			return !kinds[KindOtherProvider] || !f.isElsewhere(instance, r.Provider)
		case RemainsDomain:
			return !kinds[KindOtherHost] || !slices.ContainsFunc(f.domains[f.UUID], func(at place) bool {
				return f.host(at.hypervisor) == r.Host && f.isOnAnotherHost(instance, at)
			})
		}
		return r.What != RemainsMigrationAllocation
	})
	clear(f.Resources)
	for _, remnant := range f.Remains {
		for class, amount := range remnant.Resources {
			f.Resources[class] += amount
		}
	}
}

// left is the kind of what is left of an instance that Nova does not know any more.
func (f *finding) left() {
	for _, remnant := range f.Remains {
		switch remnant.What {
		case RemainsAllocation, RemainsMigrationAllocation:
			f.Reasons = append(f.Reasons, fmt.Sprintf("placement: %s holds %s on %s", remnant.ID, counted(remnant.Resources),
				cmp.Or(remnant.ProviderName, remnant.Provider)))
		case RemainsDomain:
			f.Reasons = append(f.Reasons, fmt.Sprintf("libvirt: %s has its domain %s, %s", remnant.Host, remnant.ID, remnant.State))
		case RemainsFiles:
			f.Reasons = append(f.Reasons, fmt.Sprintf("files: %s has %s", remnant.Host, remnant.ID))
		}
	}
	for _, kind := range []struct {
		remains string
		kind    Kind
	}{
		{RemainsDomain, KindDomain}, {RemainsAllocation, KindAllocation}, {RemainsBuildRequest, KindBuildRequest},
		{RemainsMigrationAllocation, KindMigration}, {RemainsMapping, KindMapping}, {RemainsFiles, KindFiles},
	} {
		// The mapping of a deleted instance stays until that is archived, and for ever where it was deleted before it got to a
		// cell (nova/compute/api.py _delete_while_booting).
		mapping := f.look.Mapping
		if f.has(kind.remains) && (kind.kind != KindMapping || f.Verdict != Deleted && (mapping.HasCell || !mapping.QueuedForDelete)) {
			f.Kind = kind.kind
			break
		}
	}
	if f.Kind == KindBuildRequest {
		f.since(f.look.RequestedAt)
	}
}

// isNovas says whether something proves that what is left was an instance of Nova's, though no database knows it.
func (f *finding) isNovas(owners map[string]Owner) bool {
	for _, at := range f.domains[f.UUID] {
		if at.domain().Nova {
			return true
		}
	}
	held := f.Held[f.UUID]
	if len(held) > 0 {
		switch owners[f.UUID].Type {
		case "INSTANCE", "MIGRATION":
			return true
		case "", "unknown": // what was written before there were types, as Nova itself does
			return slices.ContainsFunc(held, func(h Held) bool {
				root := f.Providers[f.Providers[h.Provider].Root]
				_, isNode := f.nodeByUUID[root.UUID]
				return isNode || root.Compute
			})
		}
		return false
	}
	return len(f.files[f.UUID]) > 0
}

// isOthers says that it is only a consumer, of a type of another service's (Placement 1.38): no cell has it, whether or not that was read.
func (f *finding) isOthers(owners map[string]Owner) bool {
	switch owners[f.UUID].Type {
	case "INSTANCE", "MIGRATION", "", "unknown":
		return false
	}
	return !slices.ContainsFunc(f.Remains, func(r Remnant) bool { return r.What != RemainsAllocation })
}

// pastDeletedAt is zero for a time that has not come.
func (f *finding) pastDeletedAt() time.Time {
	if f.row.NeedsDeletedAt(f.cell.Now) {
		return time.Time{}
	}
	return f.row.DeletedAt
}

func (f *finding) since(at time.Time) {
	if !at.IsZero() {
		f.Since = &at
	}
}
