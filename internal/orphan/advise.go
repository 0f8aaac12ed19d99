package orphan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Commands are what the report names the hosts by.
type Commands struct {
	// Controller is the inventory's name of the host with nova-manage.
	Controller string
	// Playbook is the path of purge_orphan.yml.
	Playbook string
	// Inventory are Ansible's, each as -i takes it; without one it has its own default.
	Inventory []string
	// Credentials are a module's options that lead to OpenStack, as "nova_conf=/etc/nova/nova.conf"; "" for those of the environment.
	Credentials string
}

// purge is the call of the playbook for an instance.
func (c Commands) purge(uuid string) string {
	return "ansible-playbook" + c.inventories() + " " + c.Playbook + " -e instance_uuid=" + uuid
}

// module is an ad-hoc call of a module on a host of the inventory.
func (c Commands) module(host, module, options string) string {
	if strings.Contains(options, " ") {
		options = "'" + options + "'"
	}
	return "ansible " + host + c.inventories() + " -b -m " + module + " -a " + options
}

func (c Commands) inventories() (options string) {
	for _, inventory := range c.Inventory {
		options += " -i " + inventory
	}
	return options
}

// advise says by what the finding is repaired, and what that would do.
func (f *finding) advise(c Commands) {
	f.Plan, f.Keeps, f.Unread = append([]string{}, f.look.Plan...), append([]string{}, f.look.Keeps...), []string{}
	f.Unread = append(f.Unread, slices.Sorted(maps.Keys(f.look.Unread))...)
	for _, at := range f.files[f.UUID] {
		for _, other := range at.files().UsedBy {
			f.Keeps = append(f.Keeps, fmt.Sprintf("%s: domain %s uses something in %s", f.host(at.hypervisor), other, at.files().Path))
		}
	}
	if !f.HypervisorsAsked {
		f.Unread = append(f.Unread, "hypervisors")
	} else if len(f.unreadHosts) > 0 {
		for _, host := range slices.Sorted(maps.Keys(f.unreadHosts)) {
			f.Unread = append(f.Unread, "hypervisor of "+host)
		}
	}
	for _, at := range f.domains[f.UUID] {
		for _, other := range at.domain().SharesDisksWith {
			f.Keeps = append(f.Keeps, fmt.Sprintf("%s: domain %s uses a disk of it", f.host(at.hypervisor), other))
		}
	}
	switch {
	case f.Kind == "":
		return
	case f.Verdict == Live:
		f.adviseLive(c)
		return
	}
	f.Command = c.purge(f.UUID)
	switch f.Kind {
	case KindError, KindDeleting:
		f.Method = "nova_instance_delete"
	case KindZombie, KindHalfDeleted, KindNoMapping, KindMapping:
		f.Method = "nova_instance_purge"
	case KindHostGone:
		f.Method = "nova_instance_delete"
		f.Command += " -e purge_orphan_host_gone=" + f.row.Host
	case KindAllocation, KindMigration:
		f.Method = "placement_allocation"
	case KindDomain:
		f.Method = "libvirt_undefine"
	case KindBuildRequest:
		f.Method = "nova_instance_purge"
		// The API deletes by its build request alone what is mapped to no cell, and answers 404 for all else without a row
		// (nova/compute/api.py _get_instance, _delete_while_booting).
		if f.look.Mapping != nil && !f.look.Mapping.HasCell {
			f.Method, f.Command = "openstack", "openstack server delete "+f.UUID
		}
	case KindFiles:
		f.Command = f.removeFiles(c)
	}
	f.Plan = slices.Insert(f.Plan, 0, f.plan()...)
}

// adviseLive: an instance that Nova looks after is never purged.
func (f *finding) adviseLive(c Commands) {
	kind := f.Kind
	if kind == KindMigration && f.unheld {
		kind = KindOtherProvider
	}
	switch kind {
	case KindNoMapping:
		// Without --reset it goes on where an earlier run has stopped, which may be after this instance.
		f.Method, f.Command = "nova-manage", "nova-manage cell_v2 map_instances --reset --cell_uuid "+f.located().cell.UUID
		f.Plan = append(f.Plan, "nova_api: instance_mappings gets a row for each instance of "+f.cell.Name+" that has none")
		if f.look.Mapping != nil { // map_instances leaves a mapping that is there
			f.Method, f.Command = "", "nova-manage cell_v2 verify_instance --uuid "+f.UUID
		}
	case KindOtherProvider:
		f.adviseElsewhere()
	case KindMigration:
		f.Method = "placement_allocation"
		f.Command = f.removeAllocation(c)
	case KindOtherHost:
		own, elsewhere := f.whereabouts(f.located())
		if mayLiveElsewhere(f.located(), own, elsewhere) {
			f.Command = "openstack server show " + f.UUID
			return
		}
		f.Method = "libvirt_undefine"
		f.Keeps = append(f.Keeps, "the instance itself and its domain on "+orNull(f.row.Host))
		for _, at := range elsewhere {
			f.Command = f.undefine(c, at)
			f.Plan = append(f.Plan, fmt.Sprintf("%s: undefine domain %s", f.host(at.hypervisor), at.domain().Name))
		}
	case KindHostGone:
		f.Command = "openstack server show " + f.UUID
	}
}

// removeAllocation takes away what a migration of it that is over holds.
func (f *finding) removeAllocation(c Commands) string {
	options := strings.TrimSpace("consumer=" + f.over[0].UUID + " instance_uuid=" + f.UUID + " state=absent " + c.Credentials)
	return c.module(cmp.Or(c.Controller, "CONTROLLER"), "placement_allocation", options)
}

func (f *finding) undefine(c Commands, at place) string {
	return c.module(at.hypervisor.Host, "libvirt_undefine", "uuid="+f.UUID)
}

// adviseElsewhere: heal_allocations writes what the flavor says on the host's root provider, and drops all else, as parts of
// children and of sharing providers (nova/cmd/manage.py _heal_allocations_for_instance), so that it is for what has nothing else.
func (f *finding) adviseElsewhere() {
	unset, own, shared := "openstack --os-placement-api-version 1.28 resource provider allocation unset", false, false
	for _, held := range f.Held[f.UUID] {
		provider := f.Providers[held.Provider]
		switch {
		case f.isElsewhere(f.located(), held.Provider):
			unset += " --provider " + held.Provider
			f.Plan = append(f.Plan, fmt.Sprintf("placement: the instance no longer holds %s on %s", counted(held.Resources),
				f.providerName(held.Provider)))
		case provider.Sharing || f.Providers[provider.Root].Sharing:
			shared = true
		default:
			own = true
		}
	}
	switch {
	case own || f.row.Node == "": // heal_allocations leaves what has no host
		f.Method, f.Command = "openstack", unset+" "+f.UUID
		f.Keeps = append(f.Keeps, "what the instance holds on its own host and on sharing providers")
	case shared:
		f.Plan, f.Command = []string{}, "openstack resource provider allocation show "+f.UUID
	default:
		f.Method, f.Command = "nova-manage", "nova-manage placement heal_allocations --force --verbose --instance "+f.UUID
		f.Plan = append(f.Plan, "placement: the instance holds what its flavor says on its own host")
	}
}

// removeFiles looks at all hosts first: of storage that they share, each tells of its own domains only.
func (f *finding) removeFiles(c Commands) (command string) {
	for _, at := range f.files[f.UUID] {
		if len(at.files().UsedBy) > 0 {
			return c.module(at.hypervisor.Host, "libvirt_domain_info", "uuid="+at.files().UsedBy[0])
		}
		command = c.module(at.hypervisor.Host, "ansible.builtin.file", "path="+at.files().Path+" state=absent")
	}
	return command
}

// plan is what a purge does with each of the remains but volumes and ports.
func (f *finding) plan() (plan []string) {
	for _, remnant := range f.Remains {
		switch remnant.What {
		case RemainsRow:
			switch f.Kind {
			case KindError, KindDeleting, KindHostGone:
				plan = append(plan, remnant.Cell+": Nova deletes the instance")
			default:
				plan = append(plan, remnant.Cell+": finish the deletion as Nova does it")
			}
		case RemainsAllocation, RemainsMigrationAllocation:
			plan = append(plan, fmt.Sprintf("placement: %s no longer holds %s on %s", remnant.ID, counted(remnant.Resources),
				cmp.Or(remnant.ProviderName, remnant.Provider)))
		case RemainsDomain:
			plan = append(plan, fmt.Sprintf("%s: domain %s (%s) goes, by nova-compute where it still knows the instance", remnant.Host, remnant.ID,
				remnant.State))
		case RemainsMapping, RemainsBuildRequest:
			if f.Verdict == Lost || f.Verdict == Archived {
				plan = append(plan, "nova_api: the "+strings.ReplaceAll(remnant.What, "_", " ")+" goes")
			}
		}
	}
	return plan
}
