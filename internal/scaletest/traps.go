package scaletest

import "time"

// trapCase is something that looks orphaned and is not.
type trapCase struct {
	name string
	make func(g *generator) (uuid string)
}

var trapCases = []trapCase{
	{"build request, not yet in a cell", func(g *generator) string {
		i := g.fresh(g.anywhere())
		g.mapping(i, Row{"cell_id": nil})
		g.spec(i)
		g.buildRequest(i)
		return i.uuid
	}},
	{"build, scheduled, not yet on a host", func(g *generator) string {
		i := g.fresh(g.anywhere())
		g.row(i, Row{"vm_state": "building", "task_state": "scheduling", "power_state": 0, "host": nil, "node": nil, "launched_on": nil,
			"launched_at": nil})
		g.mapping(i, nil)
		g.spec(i)
		g.buildRequest(i)
		g.allocate(i.uuid, i.owner, i.flavor, i.host)
		return i.uuid
	}},
	{"build, spawning", func(g *generator) string {
		i := g.fresh(g.anywhere())
		g.row(i, Row{"vm_state": "building", "task_state": "spawning", "power_state": 0, "launched_at": nil})
		g.mapping(i, nil)
		g.spec(i)
		g.allocate(i.uuid, i.owner, i.flavor, i.host)
		g.domain(i, i.host, "paused")
		return i.uuid
	}},
	{"being deleted", func(g *generator) string {
		return g.alive(g.anywhere(), Row{"task_state": "deleting", "updated_at": g.justNow()}).uuid
	}},
	{"just deleted, not yet reaped", func(g *generator) string {
		i := g.deleted(g.anywhere(), g.justNow())
		g.domain(i, i.host, "running")
		return i.uuid
	}},
	{"just deleted while its host was down", func(g *generator) string {
		i := g.deleted(g.anywhere(), g.justNow())
		g.allocate(i.uuid, i.owner, i.flavor, i.host)
		g.domain(i, i.host, "running")
		return i.uuid
	}},
	{"resize to confirm", func(g *generator) string {
		from := g.anywhere()
		i := g.moving(from, g.beside(from), "resize", "finished", true, Row{"vm_state": "resized"})
		g.domain(i, from, "shutoff")
		return i.uuid
	}},
	{"resize to confirm, only its folder is at the source", func(g *generator) string {
		from := g.anywhere()
		i := g.moving(from, g.beside(from), "resize", "finished", true, Row{"vm_state": "resized"})
		g.folder(i.uuid, from, "resize")
		return i.uuid
	}},
	{"resize to confirm on the same host", func(g *generator) string {
		h := g.anywhere()
		return g.moving(h, h, "resize", "finished", true, Row{"vm_state": "resized"}).uuid
	}},
	{"live migration in flight", func(g *generator) string {
		from := g.anywhere()
		to := g.beside(from)
		i := g.moving(from, to, "live-migration", "running", false, Row{"task_state": "migrating", "updated_at": g.justNow()})
		g.domain(i, to, "paused")
		return i.uuid
	}},
	{"cold migration in flight", func(g *generator) string {
		from := g.anywhere()
		i := g.moving(from, g.beside(from), "migration", "migrating", false, Row{"task_state": "resize_migrating", "updated_at": g.justNow()})
		return i.uuid
	}},
	{"resize being reverted", func(g *generator) string {
		from := g.anywhere()
		i := g.moving(from, g.beside(from), "resize", "reverting", true, Row{"vm_state": "resized", "task_state": "resize_reverting",
			"updated_at": g.justNow()})
		g.domain(i, from, "shutoff")
		return i.uuid
	}},
	{"in error with a resize to confirm", func(g *generator) string {
		from := g.anywhere()
		i := g.moving(from, g.beside(from), "resize", "finished", true, Row{"vm_state": "error"})
		return i.uuid
	}},
	{"migration confirmed", func(g *generator) string {
		i := g.alive(g.anywhere(), nil)
		g.migration(i, g.beside(i.host), i.host, "migration", "confirmed", nil)
		return i.uuid
	}},
	{"shelved and offloaded", func(g *generator) string { return g.offloaded(g.anywhere()).uuid }},
	{"deleted softly, can be restored", func(g *generator) string {
		return g.alive(g.anywhere(), Row{"vm_state": "soft-delete", "power_state": 4}).uuid
	}},
	{"its disk is on a sharing provider", func(g *generator) string {
		return g.alive(g.where(func(h *host) bool { return h.sharing != nil }), nil).uuid
	}},
	{"on the children of its host's provider", func(g *generator) string {
		return g.alive(g.where(func(h *host) bool { return len(h.numa) > 0 }), nil).uuid
	}},
	{"consumer of another service", func(g *generator) string {
		uuid, h := g.uuid(), g.anywhere()
		kind := 2 + g.rng.IntN(len(consumerTypes)-1)
		g.consumer(uuid, pick(g, g.projects), kind)
		g.hold(uuid, h.root, vcpu, 1)
		g.hold(uuid, h.root, memoryMB, 256)
		return uuid
	}},
	{"domain that is not Nova's", func(g *generator) string {
		h := g.anywhere()
		uuid := g.uuid()
		h.hypervisor.Domains = append(h.hypervisor.Domains, &Domain{UUID: uuid, Name: "gateway-" + uuid[:4], State: "running"})
		return uuid
	}},
	{"move between cells, copy hidden at the destination", func(g *generator) string { return g.crossCell(false) }},
	{"move between cells to confirm, copy hidden at the source", func(g *generator) string { return g.crossCell(true) }},
	{"evacuated, its old host has not been back", func(g *generator) string {
		i := g.alive(g.anywhere(), nil)
		from := g.beside(i.host)
		from.down = true
		g.migration(i, from, i.host, "evacuation", "done", nil)
		g.allocate(i.uuid, i.owner, i.flavor, from)
		g.domain(i, from, "running")
		return i.uuid
	}},
	{"task under way", func(g *generator) string {
		return g.alive(g.anywhere(), Row{"task_state": "rebuilding", "updated_at": g.justNow()}).uuid
	}},
}

func (g *generator) trap(n int) {
	c := trapCases[n%len(trapCases)]
	g.Truth.Traps[c.make(g)] = c.name
}

// fresh is an instance that was asked for a moment ago.
func (g *generator) fresh(h *host) *instance {
	i := g.new(h)
	i.created = g.justNow()
	i.updated = i.created
	return i
}

// moving is an instance on its way, whose migration holds what it has at the source, and itself what it has at the
// destination (nova/conductor/tasks/migrate.py replace_allocation_with_migration). At its end the row is the destination's.
func (g *generator) moving(from, to *host, kind, status string, arrived bool, row Row) *instance {
	i := g.new(from)
	if arrived {
		i.host = to
	}
	if at, given := row["updated_at"].(time.Time); given {
		i.updated = at
	}
	g.row(i, row)
	g.mapping(i, nil)
	g.spec(i)
	migration := g.migration(i, from, to, kind, status, nil)
	g.allocate(migration, i.owner, i.flavor, from)
	g.allocate(i.uuid, i.owner, i.flavor, to)
	g.domain(i, i.host, "running")
	return i
}

// crossCell is a resize into another cell: both have the row, and the one that the mapping does not lead to is hidden
// (nova/conductor/tasks/cross_cell_migrate.py).
func (g *generator) crossCell(arrived bool) string {
	from, to := g.inCell(Cell1), g.inCell(Cell2)
	i := g.new(from)
	copied := *i
	copied.cell, copied.host, copied.id = to.cell, to, g.id(to.cell+".instances")+40
	status, source, target := "migrating", Row{"task_state": "resize_migrating", "updated_at": g.justNow()}, Row{"hidden": 1}
	current := i
	if arrived {
		status, source, target = "finished", Row{"hidden": 1}, Row{"vm_state": "resized"}
		current = &copied
	}
	g.row(i, source)
	g.row(&copied, target)
	g.mapping(current, nil)
	g.spec(i)
	migration := g.migration(i, from, to, "resize", status, Row{"cross_cell_move": 1})
	g.migration(&copied, from, to, "resize", status, Row{"cross_cell_move": 1, "uuid": migration})
	g.allocate(migration, i.owner, i.flavor, from)
	g.allocate(i.uuid, i.owner, i.flavor, to)
	g.domain(i, from, "shutoff")
	if arrived {
		g.domain(&copied, to, "running")
	}
	return i.uuid
}
