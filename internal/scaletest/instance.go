package scaletest

import (
	"fmt"
	"maps"
	"time"
)

// instance is what the rows, allocations and domains of one are made from.
type instance struct {
	owner
	uuid, name, cell string
	id               int // of its row
	host             *host
	flavor           flavor
	volume           string
	created, updated time.Time
	// kept are the tables beside instances whose rows stay as they were when the instance is deleted.
	kept map[string]bool
}

// new is an instance of which there is nothing yet; nil is no host, in cell0.
func (g *generator) new(h *host) *instance {
	g.instances++
	i := &instance{owner: pick(g, g.projects), uuid: g.uuid(), host: h, cell: Cell0, flavor: flavors[g.rng.IntN(len(flavors)-1)],
		created: g.ago(30 + g.rng.IntN(300)), updated: g.ago(2 + g.rng.IntN(25))}
	if h != nil {
		i.cell = h.cell
	}
	if h != nil && h.pci != nil && g.rng.IntN(4) == 0 {
		i.flavor = flavors[len(flavors)-1]
	}
	if i.flavor.fromVolume {
		i.volume = g.uuid()
	}
	// An id beyond 1, so that deleted = 1 is not right by chance.
	i.id = g.id(i.cell+".instances") + 40
	i.name = fmt.Sprintf("vm-%s", i.uuid[:8])
	g.latest = i
	return i
}

// alive is an instance as it should be on a host, but for what the row says.
func (g *generator) alive(h *host, row Row) *instance {
	i := g.new(h)
	g.row(i, row)
	g.mapping(i, nil)
	g.spec(i)
	g.allocate(i.uuid, i.owner, i.flavor, h)
	g.domain(i, h, "running")
	return i
}

// deleted is an instance as Nova leaves it when it is deleted.
func (g *generator) deleted(h *host, at time.Time) *instance {
	i := g.new(h)
	g.row(i, i.deletedAt(at))
	g.mapping(i, Row{"queued_for_delete": 1})
	g.spec(i)
	return i
}

// deletedAt is what a deletion makes of the row (nova/compute/manager.py _delete_instance, nova/db/main/api.py
// instance_destroy).
func (i *instance) deletedAt(at time.Time) Row {
	return Row{"deleted": i.id, "deleted_at": at, "terminated_at": at, "updated_at": at, "vm_state": "deleted", "power_state": 0}
}

// archived is an instance that only the shadow tables have (nova-manage db archive_deleted_rows).
func (g *generator) archived(h *host) *instance {
	i := g.new(h)
	g.write(i.cell, "shadow_instances", i.columns(i.deletedAt(g.ago(20))))
	return i
}

// row makes the rows of the cell. Those beside instances are deleted with it, where deleted is its id.
func (g *generator) row(i *instance, row Row) {
	g.write(i.cell, "instances", i.columns(row))
	g.children(i, row)
}

func (i *instance) columns(row Row) Row {
	all := Row{"id": i.id, "uuid": i.uuid, "created_at": i.created, "updated_at": i.updated, "project_id": i.project, "user_id": i.user,
		"display_name": i.name, "hostname": i.name, "memory_mb": i.flavor.memoryMB, "vcpus": i.flavor.vcpus, "root_gb": i.flavor.rootGB,
		"instance_type_id": i.flavor.id, "launched_at": i.created}
	if i.host != nil {
		all["host"], all["launched_on"], all["node"] = i.host.name, i.host.name, i.host.node
	}
	maps.Copy(all, row)
	return all
}

func (g *generator) children(i *instance, row Row) {
	at, _ := row["deleted_at"].(time.Time)
	write := func(table string, more Row) {
		id := g.id(i.cell + "." + table)
		all := Row{"id": id, "instance_uuid": i.uuid, "created_at": i.created}
		if row["deleted"] == i.id && !i.kept[table] && !i.kept["*"] {
			all["deleted"], all["deleted_at"] = id, at
		}
		maps.Copy(all, more)
		g.write(i.cell, table, all)
	}
	write("instance_extra", Row{"flavor": `{"cur": ` + i.flavor.serialized() + `, "old": null, "new": null}`})
	port, mac := g.uuid(), g.rng.Uint64()
	address := fmt.Sprintf("fa:16:3e:%02x:%02x:%02x", byte(mac), byte(mac>>8), byte(mac>>16))
	write("instance_info_caches", Row{"network_info": fmt.Sprintf(`[{"id": "%s", "address": "%s", "type": "ovs", "details": {}, "active": true}]`, port, address)})
	write("virtual_interfaces", Row{"uuid": port, "address": address + "/" + port})
	for _, metadata := range [][2]string{{"boot_roles", "member,reader"}, {"image_min_disk", "1"}, {"image_disk_format", "qcow2"},
		{"image_container_format", "bare"}} {
		write("instance_system_metadata", Row{"key": metadata[0], "value": metadata[1]})
	}
	disk := Row{"uuid": g.uuid()}
	if i.volume != "" {
		maps.Copy(disk, Row{"source_type": "volume", "destination_type": "volume", "volume_id": i.volume, "attachment_id": g.uuid(),
			"volume_size": 20, "connection_info": `{"driver_volume_type": "rbd", "serial": "` + i.volume + `"}`})
	}
	write("block_device_mapping", disk)
	mapping := Row{"id": g.id(i.cell + ".instance_id_mappings"), "uuid": i.uuid, "created_at": i.created}
	if row["deleted"] == i.id && !i.kept["*"] {
		mapping["deleted"], mapping["deleted_at"] = mapping["id"], at
	}
	g.write(i.cell, "instance_id_mappings", mapping)
	// Nova keeps what was done.
	g.write(i.cell, "instance_actions", Row{"id": g.id(i.cell + ".instance_actions"), "instance_uuid": i.uuid, "created_at": i.created,
		"request_id": "req-" + g.uuid(), "project_id": i.project, "user_id": i.user})
}

func (g *generator) mapping(i *instance, row Row) {
	all := Row{"created_at": i.created, "instance_uuid": i.uuid, "cell_id": CellIDs()[i.cell], "project_id": i.project, "user_id": i.user}
	maps.Copy(all, row)
	g.write(API, "instance_mappings", all)
}

func (g *generator) spec(i *instance) {
	g.write(API, "request_specs", Row{"created_at": i.created, "instance_uuid": i.uuid, "spec": i.requestSpec()})
}

func (g *generator) buildRequest(i *instance) {
	g.write(API, "build_requests", Row{"created_at": i.created, "instance_uuid": i.uuid, "project_id": i.project, "instance": i.serialized()})
}

// migration makes the row of a move between hosts, and returns its uuid.
func (g *generator) migration(i *instance, from, to *host, kind, status string, more Row) string {
	uuid := g.uuid()
	row := Row{"id": g.id(i.cell + ".migrations"), "uuid": uuid, "instance_uuid": i.uuid, "created_at": i.updated, "updated_at": i.updated,
		"status": status, "migration_type": kind, "source_compute": from.name, "source_node": from.node, "dest_compute": to.name,
		"dest_node": to.node, "old_instance_type_id": i.flavor.id, "new_instance_type_id": i.flavor.id, "project_id": i.project,
		"user_id": i.user}
	maps.Copy(row, more)
	g.write(i.cell, "migrations", row)
	g.Truth.Migrations[uuid] = i.uuid
	return uuid
}

// ordinary is an instance that nothing is wrong with: a fifth of them are deleted.
func (g *generator) ordinary(n int) {
	h := g.hosts[n%len(g.hosts)]
	if n%5 == 4 {
		g.deleted(h, g.ago(2+g.rng.IntN(28)))
		return
	}
	switch roll := g.rng.IntN(100); {
	case roll < 2:
		i := g.archived(h)
		g.write(i.cell, "shadow_migrations", Row{"id": g.id("shadow_migrations"), "uuid": g.uuid(), "instance_uuid": i.uuid,
			"status": "confirmed", "migration_type": "migration", "deleted": 1})
	case roll < 5:
		g.offloaded(h)
	case roll < 20:
		g.in(h, "stopped", "shutoff", 4)
	case roll < 22:
		g.in(h, "paused", "paused", 3)
	case roll < 24:
		g.in(h, "suspended", "shutoff", 4)
	case roll < 25:
		g.in(h, "rescued", "running", 1)
	case roll < 26:
		g.in(h, "shelved", "shutoff", 4)
	case roll < 30: // moved once, and that is over
		i := g.alive(h, nil)
		g.migration(i, g.beside(h), h, "live-migration", "completed", nil)
	default:
		g.alive(h, nil)
	}
}

// in is an instance in a state, and its domain.
func (g *generator) in(h *host, vmState, domainState string, power int) {
	i := g.new(h)
	g.row(i, Row{"vm_state": vmState, "power_state": power})
	g.mapping(i, nil)
	g.spec(i)
	g.allocate(i.uuid, i.owner, i.flavor, h)
	g.domain(i, h, domainState)
}

// offloaded is shelved and on no host (nova/compute/manager.py shelve_offload_instance).
func (g *generator) offloaded(h *host) *instance {
	i := g.new(h)
	g.row(i, Row{"vm_state": "shelved_offloaded", "power_state": 4, "host": nil, "node": nil})
	g.mapping(i, nil)
	g.spec(i)
	return i
}
