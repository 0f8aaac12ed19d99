package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// deployment is where one keeps its nova-compute.
type deployment struct {
	unit string
	// log is a file, or "" where it only writes to the journal.
	log  string
	conf []string
	// container is whose output the journal has under its name and not under the unit's.
	container string
}

const packagesLog = "/var/log/nova/nova-compute.log"

// deployments are told by their units, or by the container where there is none.
var deployments = []deployment{
	// Debian, Ubuntu, Juju's charms; OpenStack-Ansible, which has no file (os_nova templates/nova.conf.j2 use_journal)
	{unit: "nova-compute", log: packagesLog, conf: []string{"/etc/nova"}},
	// RDO (nova-distgit openstack-nova.spec)
	{unit: "openstack-nova-compute", log: packagesLog, conf: []string{"/etc/nova"}},
	// kolla-ansible (ansible/module_utils/kolla_systemd_worker.py)
	{
		unit: "kolla-nova_compute-container", log: "/var/log/kolla/nova/nova-compute.log",
		conf: []string{"/etc/kolla/nova-compute"}, container: "nova_compute",
	},
	// RHOSO (edpm-ansible roles/edpm_nova), of 18.0 and before
	{unit: "edpm_nova_compute", conf: []string{"/var/lib/openstack/nova", "/var/lib/openstack/config/nova"}, container: "nova_compute"},
	// TripleO (deployment/nova/nova-compute-container-puppet.yaml)
	{
		unit: "tripleo_nova_compute", log: "/var/log/containers/nova/nova-compute.log",
		conf: []string{"/var/lib/config-data/puppet-generated/nova_libvirt/etc/nova"}, container: "nova_compute",
	},
	// kolla-ansible up to Zed, whose containers docker starts, and no unit (ansible/roles/nova-cell/defaults/main.yml)
	{
		unit: "nova_compute", log: "/var/log/kolla/nova/nova-compute.log",
		conf: []string{"/etc/kolla/nova-compute"}, container: "nova_compute",
	},
	// Sunbeam (snap-openstack-hypervisor snap/snapcraft.yaml)
	{unit: "snap.openstack-hypervisor.nova-compute", conf: []string{"/var/snap/openstack-hypervisor/common/etc/nova"}},
}

// deploymentOf tells the usual places of a unit; of one that is not known those of packages.
func deploymentOf(name string) deployment {
	at := slices.IndexFunc(deployments, func(d deployment) bool { return d.unit == strings.TrimSuffix(name, ".service") })
	found := deployments[max(at, 0)]
	found.unit = name
	return found
}

// compute is a host's nova-compute. What speaks against its restart are refusals, and no errors: they are told with all others.
type compute struct {
	deployment
	state    unit
	log      log
	refusals []string
	waited   bool // until it, or another, had stopped
}

// find looks for what was not named. It returns once none that is meant is about to stop.
func (p parameters) find(ctx context.Context, here host) (compute, error) {
	names := []string{p.Service}
	if p.Service == "" {
		names = nil
		for _, usual := range deployments {
			names = append(names, usual.unit)
		}
	}
	units, waited, err := here.units(ctx, names)
	if err != nil {
		return compute{}, err
	}
	found := compute{waited: waited}
	refuse := func(format string, values ...any) {
		found.refusals = append(found.refusals, fmt.Sprintf(format, values...))
	}
	loaded := slices.DeleteFunc(units, func(u unit) bool { return !u.loaded })
	on := func() []unit { return slices.DeleteFunc(slices.Clone(loaded), func(u unit) bool { return !u.on() }) }
	var said string
	if len(on()) == 0 {
		var containers []unit
		containers, said = here.containers(ctx, cmp.Or(p.Service, "nova_compute"))
		loaded = append(loaded, containers...)
	}
	// One that was replaced, as by a container, may still be there, and is off.
	if runs := on(); len(runs) == 1 {
		loaded = runs
	}
	switch {
	case len(loaded) == 0 && p.Service != "":
		refuse("systemd has loaded no unit %s (service)%s", p.Service, said)
	case len(loaded) == 0:
		refuse("systemd has loaded none of the units %s%s: say which it is (service)", strings.Join(names, ", "), said)
	case len(loaded) > 1:
		names = nil
		for _, one := range loaded {
			names = append(names, one.String())
		}
		refuse("there are %s: say which it is (service)", strings.Join(names, ", "))
	default:
		found.state, found.deployment = loaded[0], deploymentOf(loaded[0].name)
		if !found.state.on() && !p.StartCompute {
			refuse("%s is %s, as where somebody has stopped it: start it yourself, or start_compute: true", found.state, found.state.state)
		}
		if found.conf = there(found.conf); len(p.Conf) > 0 {
			found.conf = p.Conf
		}
		err = p.findLog(ctx, here, &found)
	}
	return found, err
}

// there leaves out the folders of other releases, if one of them is there.
func there(paths []string) []string {
	isThere := func(path string) bool {
		_, err := os.Stat(path)
		return !errors.Is(err, fs.ErrNotExist)
	}
	if !slices.ContainsFunc(paths, isThere) {
		return paths
	}
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return !isThere(path) })
}

// findLog takes the file before the journal: where nova-compute writes to both, its output may be something else. One in which the process
// that runs has written nothing is that of another time.
func (p parameters) findLog(ctx context.Context, here host, found *compute) error {
	if p.Log == "none" {
		found.log = noLog{}
		return nil
	}
	path := cmp.Or(p.Log, found.deployment.log)
	isFile := path != "" && path != "journal"
	if isFile {
		info, err := os.Stat(path)
		isFile = !errors.Is(err, fs.ErrNotExist)
		switch {
		case isFile && err != nil:
			return fmt.Errorf("read nova-compute's log: %w", err)
		case isFile && (p.Log != "" || !info.ModTime().Before(found.state.started)):
			found.log = &fileLog{path: path}
			return nil
		case !isFile && p.Log != "":
			found.refusals = append(found.refusals, "there is no "+path+" (log), by which a restarted nova-compute is waited for")
			return nil
		}
	}
	journal := here.journal(found.unit)
	has, err := journal.hasEntries(ctx)
	switch {
	case err == nil && has:
		found.log = journal
		return nil
	case isFile:
		found.log = &fileLog{path: path}
		return nil
	}
	nowhere := "the journal has nothing of " + found.unit
	if p.Log == "" && path != "" {
		nowhere = "there is no " + path + ", and " + nowhere
	}
	if err != nil {
		nowhere += " (" + err.Error() + ")"
	}
	found.refusals = append(found.refusals, nowhere+
		": say where nova-compute's log is, by which it is waited for once it is restarted, or log: none if there is none (log)")
	return nil
}
