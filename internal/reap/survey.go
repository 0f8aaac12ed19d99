package reap

import (
	"context"
	"slices"

	"nova-orphan/internal/nova"
	"nova-orphan/internal/orphan"
)

// Outlook is what an orphan still has in Cinder and Neutron, and what becomes of it.
type Outlook struct {
	// Plan is what a purge, and nova-compute's reap by it, do with the volumes and ports that Nova's rows name;
	// Keeps is what of them is not, or not only, the instance's any more, so that they leave it alone.
	Plan, Keeps []string
	// Remains are the attachments, by their volume and with their status, and the ports that the instance has by
	// Cinder and Neutron, whether a row names them or not.
	Remains []orphan.Remnant
}

// Survey looks at the volumes and ports of many instances that a purge would take, all at once, and gives an Outlook of
// each, by its uuid. What it could not ask, "cinder" or "neutron", is in unread, with why, and of that no outlook says
// anything. An instance without a row in a cell is never reaped, so that it has no plan.
func (c *Cloud) Survey(ctx context.Context, findings []nova.Finding) (outlooks map[string]Outlook, unread map[string]error) {
	var uuids []string
	for _, f := range findings {
		uuids = append(uuids, f.UUID)
	}
	volumes, ports := byRows(findings...)
	held, noVolumes, noPorts := c.look(ctx, wanted{volumes: volumes, ports: ports, attachedTo: uuids, devices: uuids})
	outlooks, unread = map[string]Outlook{}, map[string]error{}
	for service, err := range map[string]error{"cinder": noVolumes, "neutron": noPorts} {
		if err != nil {
			unread[service] = err
		}
	}
	for _, f := range findings {
		mappings, cached := f.Mappings(), f.CachedPorts()
		if noVolumes != nil {
			mappings = nil
		}
		if noPorts != nil {
			cached = nil
		}
		outlook := Outlook{Remains: held.remains(f.UUID)}
		if cell := f.Cell(); cell != nil {
			r := foresee(f.UUID, mappings, cached, held, false)
			outlook.Plan, outlook.Keeps = append(r.Disarming(cell.String()), r.SideEffects()...), r.keeps()
		}
		outlooks[f.UUID] = outlook
	}
	return outlooks, unread
}

func (h holdings) remains(instance string) (remains []orphan.Remnant) {
	for _, a := range h.attached[instance] {
		remains = append(remains, orphan.Remnant{What: orphan.RemainsVolume, ID: a.VolumeID, State: a.Status})
	}
	for _, port := range h.own[instance] {
		remains = append(remains, orphan.Remnant{What: orphan.RemainsPort, ID: port.ID, Host: port.Host, State: port.Status})
	}
	return remains
}

// keeps says what of it is not, or not only, the instance's any more.
func (r *Reap) keeps() (texts []string) {
	for _, v := range r.Volumes {
		text := v.effect()
		switch {
		case v.Fate == fateLeft:
		case slices.ContainsFunc(v.AttachedTo, func(server string) bool { return server != r.instance }):
			text = "volume " + v.VolumeID + " is detached from the instance only: " + whoHas(v)
		default:
			continue
		}
		if !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	for _, p := range r.Ports {
		if p.Fate == fateLeft {
			texts = append(texts, p.effect())
		}
	}
	return texts
}
