package main

import (
	"fmt"
	"strings"

	"nova-orphan/internal/neutron"
)

// releasePorts does with each what Nova's deallocate_for_instance does
// (nova/network/neutron.py), where it is known whose it is.
func (p *plan) releasePorts(e evidence, want parameters) {
	for _, port := range e.ports {
		byNova, known := e.made[port.ID]
		switch _, accelerated := port.Profile["arq_uuid"]; {
		case want.Ports == keep:
			p.addRemaining("port %s stays (ports: keep)", describePort(port))
		case port.DeviceOwner != "" && !strings.HasPrefix(port.DeviceOwner, "compute:"):
			p.addRemaining("port %s stays: its owner is %s, not nova", describePort(port), port.DeviceOwner)
		case accelerated:
			p.addRemaining("port %s stays: it has an accelerator of Cyborg's, which only nova gives back", describePort(port))
		case !known:
			p.addRemaining("port %s stays: whether nova made it is only in the info cache in nova's database, which %s: openstack port delete "+
				"%s, or openstack port set --device '' --device-owner '' --host '' %s if a user made it",
				describePort(port), unread(e), port.ID, port.ID)
		case byNova:
			p.add(deletePort, port.ID, "", "delete port %s, which nova made", describePort(port))
		default:
			p.add(unbind, port.ID, "", "unbind port %s, which a user made", describePort(port))
		}
	}
}

// unread says why the info cache does not tell.
func unread(e evidence) string {
	if e.made == nil {
		return "was not read (nova_conf)"
	}
	return "does not have it"
}

func describePort(port neutron.Port) string {
	var addresses []string
	for _, ip := range port.FixedIPs {
		addresses = append(addresses, ip.Address)
	}
	if len(addresses) == 0 {
		return port.ID
	}
	return fmt.Sprintf("%s (%s)", port.ID, strings.Join(addresses, ", "))
}
