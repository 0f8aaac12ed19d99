package scaletest

import (
	"maps"
	"slices"
	"strconv"

	"nova-orphan/internal/orphan"
)

// orphanCase is one way to get orphaned. make returns the uuid that the finding has.
type orphanCase struct {
	kind orphan.Kind
	name string
	make func(g *generator) (uuid string)
}

// orphanCases are all of them. Where more than one kind holds, it is the row's own, if Nova does not take it for deleted;
// else that of what is left: a domain before an allocation, that before rows.
var orphanCases = []orphanCase{
	{orphan.KindError, "on a host, running", ofRow(Row{"vm_state": "error"})},
	{orphan.KindError, "no host was found for it, in cell0", func(g *generator) string {
		i := g.new(nil)
		g.row(i, Row{"vm_state": "error", "power_state": 0, "launched_at": nil})
		g.mapping(i, nil)
		g.spec(i)
		g.write(i.cell, "instance_faults", Row{"id": g.id(i.cell + ".instance_faults"), "instance_uuid": i.uuid, "created_at": i.updated,
			"message": "No valid host was found."})
		return i.uuid
	}},
	{orphan.KindError, "without a domain", func(g *generator) string {
		i := g.new(g.anywhere())
		g.row(i, Row{"vm_state": "error", "power_state": 0})
		g.mapping(i, nil)
		g.spec(i)
		g.allocate(i.uuid, i.owner, i.flavor, i.host)
		return i.uuid
	}},
	{orphan.KindDeleting, "active, task_state deleting", ofRow(Row{"task_state": "deleting"})},
	{orphan.KindDeleting, "vm_state deleted, deleted = 0", ofRow(Row{"vm_state": "deleted"})},
	{orphan.KindDeleting, "in error, task_state deleting", ofRow(Row{"vm_state": "error", "task_state": "deleting"})},
	{orphan.KindZombie, "deleted = 1, running", ofRow(Row{"vm_state": "deleted", "deleted": 1})},
	{orphan.KindZombie, "deleted = 1, only the row", func(g *generator) string {
		i := g.new(g.anywhere())
		g.row(i, Row{"vm_state": "deleted", "deleted": 1, "deleted_at": g.ago(10)})
		g.mapping(i, nil)
		g.spec(i)
		return i.uuid
	}},
	{orphan.KindZombie, "deleted = -1, in error", ofRow(Row{"vm_state": "error", "deleted": -1})},
	{orphan.KindHalfDeleted, "all beside the row is as it was", func(g *generator) string { return g.halfDeleted(0, "*").uuid }},
	{orphan.KindHalfDeleted, "its mapping is not queued_for_delete", func(g *generator) string { return g.halfDeleted(0).uuid }},
	{orphan.KindHalfDeleted, "its block device mappings are as they were", func(g *generator) string {
		return g.halfDeleted(1, "block_device_mapping").uuid
	}},
	{orphan.KindNoMapping, "running", func(g *generator) string {
		i := g.unmapped(nil)
		g.spec(i)
		return i.uuid
	}},
	{orphan.KindNoMapping, "stopped, without a request spec", func(g *generator) string {
		return g.unmapped(Row{"vm_state": "stopped"}).uuid
	}},
	{orphan.KindMapping, "to a cell", mappingOnly(nil)},
	{orphan.KindMapping, "to no cell", mappingOnly(Row{"cell_id": nil})},
	{orphan.KindMapping, "queued_for_delete", mappingOnly(Row{"queued_for_delete": 1})},
	{orphan.KindMapping, "its row is archived", func(g *generator) string {
		i := g.archived(g.anywhere())
		g.mapping(i, Row{"queued_for_delete": 1})
		return i.uuid
	}},
	{orphan.KindBuildRequest, "with a mapping to no cell", func(g *generator) string {
		i := g.new(g.anywhere())
		g.mapping(i, Row{"cell_id": nil})
		g.spec(i)
		g.buildRequest(i)
		return i.uuid
	}},
	{orphan.KindBuildRequest, "alone", func(g *generator) string {
		i := g.new(g.anywhere())
		g.buildRequest(i)
		return i.uuid
	}},
	{orphan.KindHostGone, "its provider is left", func(g *generator) string {
		return g.alive(pick(g, g.scrapped), nil).uuid
	}},
	{orphan.KindHostGone, "nothing of it is left", func(g *generator) string {
		return g.stranded(&host{cell: Cell2, name: "gone", node: "gone.scale.example"})
	}},
	{orphan.KindHostGone, "its compute node is deleted", func(g *generator) string {
		number := strconv.Itoa(g.id("removed hosts"))
		h := &host{cell: Cell1, name: "removed-" + number, node: "removed-" + number + ".scale.example", root: provider{uuid: g.uuid()}}
		g.hostRow(h, 1)
		return g.stranded(h)
	}},
	{orphan.KindAllocation, "nothing else knows it", func(g *generator) string {
		i := g.new(g.anywhere())
		g.allocate(i.uuid, i.owner, i.flavor, i.host)
		return i.uuid
	}},
	{orphan.KindAllocation, "deleted", func(g *generator) string {
		i := g.deleted(g.anywhere(), g.ago(12))
		g.allocate(i.uuid, i.owner, i.flavor, i.host)
		return i.uuid
	}},
	{orphan.KindAllocation, "archived", func(g *generator) string {
		i := g.archived(g.anywhere())
		g.allocate(i.uuid, i.owner, i.flavor, i.host)
		return i.uuid
	}},
	{orphan.KindAllocation, "on children of a host's provider", func(g *generator) string {
		i := g.new(g.where(func(h *host) bool { return len(h.numa) > 0 }))
		g.allocate(i.uuid, i.owner, i.flavor, i.host)
		return i.uuid
	}},
	{orphan.KindMigration, "confirmed", movedAway("migration", "confirmed")},
	{orphan.KindMigration, "completed", movedAway("live-migration", "completed")},
	{orphan.KindMigration, "in error", movedAway("migration", "error")},
	{orphan.KindMigration, "its instance is deleted", func(g *generator) string {
		i := g.deleted(g.anywhere(), g.ago(9))
		from := g.beside(i.host)
		migration := g.migration(i, from, i.host, "resize", "confirmed",
			Row{"deleted": g.ids[i.cell+".migrations"] + 1, "deleted_at": g.ago(9)})
		g.allocate(migration, i.owner, i.flavor, from)
		return i.uuid
	}},
	{orphan.KindOtherProvider, "of another host of the cell", func(g *generator) string {
		i := g.alive(g.anywhere(), nil)
		g.allocate(i.uuid, i.owner, i.flavor, g.beside(i.host))
		return i.uuid
	}},
	{orphan.KindOtherProvider, "of a host of another cell", func(g *generator) string {
		i := g.alive(g.inCell(Cell1), nil)
		g.allocate(i.uuid, i.owner, i.flavor, g.inCell(Cell2))
		return i.uuid
	}},
	{orphan.KindDomain, "nothing else knows it", func(g *generator) string {
		i := g.new(g.anywhere())
		g.domain(i, i.host, "running")
		return i.uuid
	}},
	{orphan.KindDomain, "deleted", func(g *generator) string {
		i := g.deleted(g.anywhere(), g.ago(7))
		g.domain(i, i.host, "running")
		return i.uuid
	}},
	{orphan.KindDomain, "archived", func(g *generator) string {
		i := g.archived(g.anywhere())
		g.domain(i, i.host, "shutoff")
		return i.uuid
	}},
	{orphan.KindDomain, "and an allocation, nothing else knows it", func(g *generator) string {
		i := g.new(g.anywhere())
		g.allocate(i.uuid, i.owner, i.flavor, i.host)
		g.domain(i, i.host, "running")
		return i.uuid
	}},
	{orphan.KindDomain, "deleted by half, and an allocation", func(g *generator) string {
		i := g.halfDeleted(0, "*")
		g.allocate(i.uuid, i.owner, i.flavor, i.host)
		g.domain(i, i.host, "running")
		return i.uuid
	}},
	{orphan.KindOtherHost, "shut off", domainElsewhere("shutoff")},
	{orphan.KindOtherHost, "running on both", domainElsewhere("running")},
	{orphan.KindFiles, "nothing else knows it", func(g *generator) string { return g.onlyFiles("instance") }},
	{orphan.KindFiles, "of a resize", func(g *generator) string { return g.onlyFiles("resize") }},
	{orphan.KindFiles, "deleted", func(g *generator) string {
		i := g.deleted(g.anywhere(), g.ago(8))
		g.folder(i.uuid, i.host, "deleted")
		return i.uuid
	}},
	{orphan.KindProviderWithout, "nothing else knows it", func(g *generator) string { return g.nextScrapped().root.uuid }},
	{orphan.KindProviderWithout, "its compute node is deleted", func(g *generator) string {
		h := g.nextScrapped()
		g.hostRow(h, 1)
		return h.root.uuid
	}},
}

// kindsOfOrphan is how many there are of each kind: they take turns.
func kindsOfOrphan(orphans int) map[string]int {
	counts, kinds := map[string]int{}, orphanKinds()
	for i := range orphans {
		counts[string(kinds[i%len(kinds)])]++
	}
	return counts
}

func orphanKinds() (kinds []orphan.Kind) {
	for _, c := range orphanCases {
		kinds = append(kinds, c.kind)
	}
	return slices.Compact(kinds)
}

func (g *generator) orphan(n int) {
	kinds := orphanKinds()
	kind := kinds[n%len(kinds)]
	cases := slices.DeleteFunc(slices.Clone(orphanCases), func(c orphanCase) bool { return c.kind != kind })
	c := cases[n/len(kinds)%len(cases)]
	g.latest = &instance{}
	uuid := c.make(g)
	g.Truth.Orphans[uuid] = Orphan{kind, c.name, g.latest.cell}
}

// ofRow is an instance of which only the row says that it is orphaned.
func ofRow(row Row) func(g *generator) string {
	return func(g *generator) string { return g.alive(g.anywhere(), row).uuid }
}

// halfDeleted has deleted = id; the rows of the tables that are kept ("*": all) are as they were.
func (g *generator) halfDeleted(queued int, kept ...string) *instance {
	i := g.new(g.anywhere())
	i.kept = map[string]bool{}
	for _, table := range kept {
		i.kept[table] = true
	}
	g.row(i, i.deletedAt(g.ago(15)))
	g.mapping(i, Row{"queued_for_delete": queued})
	g.spec(i)
	return i
}

func (g *generator) unmapped(row Row) *instance {
	i := g.new(g.anywhere())
	g.row(i, row)
	g.allocate(i.uuid, i.owner, i.flavor, i.host)
	g.domain(i, i.host, "running")
	return i
}

func mappingOnly(row Row) func(g *generator) string {
	return func(g *generator) string {
		i := g.new(g.anywhere())
		g.mapping(i, row)
		g.spec(i)
		return i.uuid
	}
}

// stranded is active on a host that is gone, and holds nothing.
func (g *generator) stranded(h *host) string {
	i := g.new(h)
	g.row(i, nil)
	g.mapping(i, nil)
	g.spec(i)
	return i.uuid
}

// movedAway is live where it was moved to; what it held before is its migration's for ever.
func movedAway(kind, status string) func(g *generator) string {
	return func(g *generator) string {
		i := g.alive(g.anywhere(), nil)
		from := g.beside(i.host)
		migration := g.migration(i, from, i.host, kind, status, nil)
		g.allocate(migration, i.owner, i.flavor, from)
		return i.uuid
	}
}

func domainElsewhere(state string) func(g *generator) string {
	return func(g *generator) string {
		i := g.alive(g.anywhere(), nil)
		g.domain(i, g.beside(i.host), state)
		return i.uuid
	}
}

func (g *generator) onlyFiles(kind string) string {
	i := g.new(g.anywhere())
	g.folder(i.uuid, i.host, kind)
	return i.uuid
}

func (g *generator) nextScrapped() *host { return g.scrapped[g.id("scrapped hosts told")-1] }

// Kinds are those of the orphans, with how many there are of each, in the kinds' own order.
func (t Truth) Kinds() (kinds []orphan.Kind, counts map[orphan.Kind]int) {
	counts = map[orphan.Kind]int{}
	for _, o := range t.Orphans {
		counts[o.Kind]++
	}
	order := orphanKinds()
	kinds = slices.SortedFunc(maps.Keys(counts), func(a, b orphan.Kind) int {
		return slices.Index(order, a) - slices.Index(order, b)
	})
	return kinds, counts
}
