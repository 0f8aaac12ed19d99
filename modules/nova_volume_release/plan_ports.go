package main

import (
	"fmt"
	"strings"

	"nova-orphan/internal/orphan"
)

// releasePorts does with each what Nova's deallocate_for_instance does
// (nova/network/neutron.py), where it is known whose it is.
func (p *plan) releasePorts(e evidence, want parameters) {
	for _, port := range e.Ports {
		switch _, accelerated := port.Profile["arq_uuid"]; {
		case !e.owns(port): // it is gone, or another's by now
		case want.Ports == keep:
			p.addRemaining("port %s stays (ports: keep)", port)
		case port.DeviceOwner != "" && !strings.HasPrefix(port.DeviceOwner, "compute:"):
			p.addRemaining("port %s stays: its owner is %s, not nova", port, port.DeviceOwner)
		case accelerated:
			p.addRemaining("port %s stays: it has an accelerator of Cyborg's, which only nova gives back", port)
		case port.MadeByNova == nil && e.rowless(): // a port that Nova made stays then, and nobody loses one that he made
			p.add(unbind, port.ID, "", "unbind port %s, of which nothing tells any more who made it (if nova did: openstack port delete %s)",
				port, port.ID)
		case port.MadeByNova == nil:
			why := "does not have it"
			if e.made == nil {
				why = "was not read (nova_conf)"
			}
			p.addRemaining("port %s stays: whether nova made it is only in the info cache in nova's database, which %s: openstack port delete "+
				"%s, or openstack port set --device '' --device-owner '' --host '' %s if a user made it",
				port, why, port.ID, port.ID)
		case *port.MadeByNova:
			p.add(deletePort, port.ID, "", "delete port %s, which nova made", port)
		default:
			p.add(unbind, port.ID, "", "unbind port %s, which a user made", port)
		}
	}
}

// rowless says that no cell has a row of the instance, so that nothing of Nova's will ever look at its ports.
func (e evidence) rowless() bool {
	return e.judgement.Verdict == orphan.Archived || e.judgement.Verdict == orphan.Lost
}

func (p port) String() string {
	var addresses []string
	for _, ip := range p.FixedIPs {
		addresses = append(addresses, ip.Address)
	}
	if len(addresses) == 0 {
		return p.ID
	}
	return fmt.Sprintf("%s (%s)", p.ID, strings.Join(addresses, ", "))
}
