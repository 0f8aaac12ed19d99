package orphan

import (
	"slices"
	"strings"
)

// wrong is what does not fit to an instance that Nova looks after.
type wrong struct {
	kind   Kind
	reason string
}

// wrong collects it, unless somebody may be at work on the instance.
func (x *index) wrong(instance located, policy Policy) (all []wrong) {
	add := func(kind Kind, words ...string) { all = append(all, wrong{kind, strings.Join(words, "")}) }
	mapping, mapped := x.Mappings[instance.UUID]
	if policy.Fresh(instance.cell.Now, instance.Changed) {
		return nil
	}
	// An instance in a task is somebody's, but without a mapping nobody reaches it.
	switch {
	case !mapped:
		add(KindNoMapping, "nova_api: instance_mappings has no row: no API call finds the instance")
	case mapping.Cell == "":
		add(KindNoMapping, "nova_api: instance_mappings.cell_id = NULL: no API call finds the instance")
	case mapping.Cell != instance.cell.ID:
		add(KindNoMapping, "nova_api: instance_mappings names another cell than ", instance.cell.Name, ", which has the row")
	}
	if instance.Host != "" && !x.served[instance.Host] && len(x.nodesByHost[instance.Host]) == 0 {
		add(KindHostGone, instance.cell.Name, ": neither compute_nodes nor services has the host ", instance.Host)
	}
	if !x.isSettled(instance, policy) {
		return all
	}
	own, elsewhere := x.whereabouts(instance)
	for _, at := range elsewhere {
		add(KindOtherHost, "libvirt: ", at.hypervisor.Name, " has a domain of it (", at.domain().State, "), and its host is ",
			orNull(instance.Host))
	}
	if mayLiveElsewhere(instance, own, elsewhere) {
		add(KindOtherHost, "libvirt: its own host has no domain of it that runs: the one elsewhere may be the instance itself, after a move "+
			"that came to no end or a change of the host's name")
	}
	for _, held := range x.Held[instance.UUID] {
		if x.isElsewhere(instance, held.Provider) {
			add(KindOtherProvider, "placement: it holds ", counted(held.Resources), " on ", x.providerName(held.Provider),
				", which is not the provider of its host ", orNull(instance.Host))
		}
	}
	return all
}

// whereabouts are the instance's domains on its own host, and on others.
func (x *index) whereabouts(instance located) (own, elsewhere []place) {
	for _, at := range x.domains[instance.UUID] {
		node, known := x.nodeByName[at.hypervisor.Name]
		switch {
		case x.isOnAnotherHost(instance, at):
			elsewhere = append(elsewhere, at)
		case known && node.Host == instance.Host || at.hypervisor.Name == instance.Node:
			own = append(own, at)
		}
	}
	return own, elsewhere
}

// mayLiveElsewhere: the row may be what is wrong. Shelved and offloaded, it has no domain that it lives in
// (nova/compute/manager.py _shelve_offload_instance).
func mayLiveElsewhere(instance located, own, elsewhere []place) bool {
	runs := func(at place) bool { return at.domain().State == "running" }
	return len(elsewhere) > 0 && instance.VMState != "shelved_offloaded" &&
		(len(own) == 0 || slices.ContainsFunc(elsewhere, runs) && !slices.ContainsFunc(own, runs))
}

// isSettled says that nothing is under way by which it may be in two places.
func (x *index) isSettled(instance located, policy Policy) bool {
	return instance.TaskState == "" && instance.VMState != "building" && !policy.Fresh(instance.cell.Now, instance.Changed) &&
		!slices.ContainsFunc(x.moving[instance.UUID], func(m MigrationPicture) bool { return !m.Dead() })
}

// isElsewhere says whether a provider is of another compute host's tree than the instance's.
// Sharing providers, and those of other services, are no host's.
func (x *index) isElsewhere(instance located, uuid string) bool {
	provider := x.Providers[uuid]
	root := x.Providers[provider.Root]
	node, isNode := x.nodeByUUID[root.UUID]
	switch {
	case root.UUID == "", provider.Sharing || root.Sharing, !isNode && !root.Compute:
		return false
	case instance.Node != "":
		// Not by the host: Ironic's nodes change it, and a nova-compute may have been renamed.
		return root.Name != instance.Node && node.Hypervisor != instance.Node && !x.evacuatedFrom(instance.UUID, node.Host)
	}
	return node.Host != instance.Host && !x.evacuatedFrom(instance.UUID, node.Host)
}

// isOnAnotherHost says whether a domain is on a compute host that is not the instance's.
func (x *index) isOnAnotherHost(instance located, at place) bool {
	node, known := x.nodeByName[at.hypervisor.Name]
	return known && node.Host != instance.Host && at.hypervisor.Name != instance.Node && !x.evacuatedFrom(instance.UUID, node.Host)
}

// evacuatedFrom says that the next start of the host's nova-compute cleans up after the instance.
func (x *index) evacuatedFrom(uuid, host string) bool {
	return slices.ContainsFunc(x.moving[uuid], func(m MigrationPicture) bool { return m.EvacuatedFrom != "" && m.EvacuatedFrom == host })
}
