package nova

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Saved is what a purge wrote down before it changed anything.
type Saved struct {
	// At is the time that the purge wrote, by the database's clock.
	At   time.Time `json:"at,omitzero"`
	Cell CellName  `json:"cell"`
	Rows Record    `json:"cell_tables"`
	API  Record    `json:"api_tables"`
	// ComputeNode is the uuid of the instance's compute node; "" if there was none.
	ComputeNode string `json:"compute_node"`
	// Left are, by the cells' uuids, the rows beside none in instances; there are no Rows then.
	Left map[string]Record `json:"left_in_cells,omitempty"`
}

// Saved is what a purge writes down of it.
func (f Finding) Saved(at time.Time) Saved {
	saved := Saved{At: at, API: f.API}
	if cell := f.Cell(); cell != nil {
		saved.Cell, saved.Rows, saved.ComputeNode = CellName{cell.UUID, cell.Name}, cell.Record, cell.ComputeNode.text("uuid")
		return saved
	}
	saved.Left = map[string]Record{}
	for _, cell := range f.Cells {
		if cell.Left != nil {
			saved.Left[cell.UUID] = cell.Left
		}
	}
	return saved
}

// GoingOn is what a purge writes down that goes on, at its time, with an earlier one of an instance without a row: what is gone since,
// or is as that left it, as it was before.
func (s Saved) GoingOn(earlier Saved) Saved {
	if s.Rows != nil || earlier.Rows != nil {
		return s
	}
	s.At, s.API = earlier.At, s.API.before(earlier.API, Record{})
	left := maps.Clone(s.Left)
	for cell, saved := range earlier.Left {
		left[cell] = s.Left[cell].before(saved, saved.softDeleted(earlier.At))
	}
	s.Left = left
	return s
}

// before is the record with the rows as they were saved that are gone since, or as a purge left them.
func (r Record) before(saved, left Record) Record {
	before := saved.emptied()
	maps.Copy(before, r)
	for name, table := range saved {
		was, now, purged, rows := byKey(table.Rows), byKey(r[name].Rows), byKey(left[name].Rows), []Row{}
		for _, row := range table.Rows {
			if current := now[row.key()]; current != nil && !maps.Equal(current, purged[row.key()]) {
				row = current
			}
			rows = append(rows, row)
		}
		for _, row := range r[name].Rows {
			if was[row.key()] == nil {
				rows = append(rows, row)
			}
		}
		before[name] = Table{before[name].Types, rows}
	}
	return before
}

// Held are the volumes and ports that the saved rows give to the instance.
func (s Saved) Held() (volumes, ports []string) {
	cell := Cell{Record: s.Rows}
	if len(s.Rows["instances"].Rows) == 0 {
		return nil, nil
	}
	for _, mapping := range cell.mappings() {
		if !mapping.Deleted && !slices.Contains(volumes, mapping.VolumeID) {
			volumes = append(volumes, mapping.VolumeID)
		}
	}
	for _, port := range cell.ports(cell.row().number("deleted") != 0) {
		ports = append(ports, port.ID)
	}
	return volumes, ports
}

// Elsewhere are volumes and ports, by id, that are somebody else's by now, with who has
// them. Their rows are not made live again.
type Elsewhere struct {
	Volumes, Ports map[string]string
}

// Restoration is what it takes to make an instance's rows again those that were saved.
type Restoration struct {
	// Conflicts are the changes since the purge that speak against it.
	Conflicts []string
	// Notes say what does not come back, or goes.
	Notes []string
	Changes
}

// Restoration compares each row with what it was and with what the purge left.
// A row that is neither is a conflict, but for what nova-compute itself does to a
// deleted instance when it reaps it, and for what is somebody else's by now.
func (f Finding) Restoration(saved Saved, elsewhere Elsewhere) Restoration {
	if saved.Rows == nil && !saved.At.IsZero() {
		return f.rowlessRestoration(saved)
	}
	r := Restoration{}
	var rows Record
	switch cell := f.Cell(); {
	case len(saved.Rows["instances"].Rows) != 1 || saved.At.IsZero():
		r.conflict("the backup does not have the instance's row and the time of its purge")
	case cell == nil:
		r.conflict("%s", f.missing(saved.Cell))
	case cell.UUID != saved.Cell.UUID:
		r.conflict("the instance's row is in %s, but it was saved from cell %s", cell, saved.Cell.UUID)
	default:
		rows = r.mergeCell(*cell, saved, elsewhere)
	}
	mapping, left := Record{}, saved.API.queuedForDelete(Value{})
	for _, table := range apiTables {
		mapping[table] = r.merge("nova_api", table, saved.API, left, f.API)
	}
	r.Changes = f.changes("restore", Value{}, becomesAsSaved, rows, mapping)
	return r
}

// rowlessRestoration is of an instance of which no cell had a row.
func (f Finding) rowlessRestoration(saved Saved) (r Restoration) {
	if at := slices.IndexFunc(f.Cells, Cell.hasRow); at >= 0 {
		r.conflict("%s: instances has a row of the instance by now, and had none when it was purged (nova-manage cell_v2 map_instances "+
			"gives it a mapping)", f.Cells[at])
		return r
	}
	api, left := Record{}, map[string]Record{}
	for _, table := range slices.Sorted(maps.Keys(saved.API)) {
		api[table] = r.merge("nova_api", table, saved.API, Record{}, f.API)
	}
	for uuid, rows := range saved.Left {
		at := slices.IndexFunc(f.Cells, func(c Cell) bool { return c.UUID == uuid })
		if at < 0 {
			r.conflict("cell %s, which had rows of the instance, is gone since", uuid)
			continue
		}
		left[uuid] = r.mergeLeft(f.Cells[at], rows, saved.At)
	}
	r.Changes = f.rowlessChanges("restore", Value{}, becomesAsSaved, left, api)
	return r
}

func (r *Restoration) mergeLeft(cell Cell, saved Record, at time.Time) Record {
	left, rows := saved.softDeleted(at), Record{}
	current := saved.emptied()
	maps.Copy(current, cell.Left)
	for _, table := range slices.Sorted(maps.Keys(left)) {
		rows[table] = r.merge(cell.String(), table, saved, left, current)
	}
	if before := len(saved["share_mapping"].Rows); len(current["share_mapping"].Rows) < before {
		r.noteShares(cell, before-len(current["share_mapping"].Rows), before)
	}
	return rows
}

func becomesAsSaved(row rowChange) string {
	switch {
	case row.from == nil:
		return "insert N rows again"
	case row.to == nil:
		return "remove N rows that nova-compute added when it reaped the instance"
	}
	return "put back the values of N rows"
}

func (r *Restoration) conflict(format string, values ...any) {
	r.Conflicts = append(r.Conflicts, fmt.Sprintf(format, values...))
}

func (r *Restoration) note(format string, values ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, values...))
}

// missing says why there is not one cell with the instance's row.
func (f Finding) missing(saved CellName) string {
	for _, cell := range f.Cells {
		if cell.Archived {
			return fmt.Sprintf("%s: the instance was archived since: its rows are in the shadow tables", cell)
		}
		if cell.row() != nil {
			return "more than one cell has a row of the instance"
		}
	}
	return fmt.Sprintf("cell %s: the instance's row is gone: it was archived and purged since", saved.Name)
}

func (r *Restoration) mergeCell(cell Cell, saved Saved, elsewhere Elsewhere) Record {
	left, wanted := saved.Rows.softDeleted(saved.At), maps.Clone(saved.Rows)
	wanted.change("instance_info_caches", func(row Row) Row { return row.withoutPorts(slices.Sorted(maps.Keys(elsewhere.Ports))) })
	rows := Record{}
	for _, table := range slices.SortedFunc(maps.Keys(saved.Rows), instancesFirst) {
		current, found := cell.Record[table]
		_, written := left[table]
		before := len(saved.Rows[table].Rows)
		switch {
		case !found:
			r.conflict("%s: table %s is gone since", cell, table)
		case written:
			rows[table] = r.merge(cell.String(), table, wanted, left, cell.Record)
			rows.change(table, func(row Row) Row { return r.keepOff(cell, table, row, elsewhere) })
		case table == "share_mapping" && len(current.Rows) < before:
			r.noteShares(cell, before-len(current.Rows), before)
		case len(changes(Record{table: current}, Record{table: saved.Rows[table]})) > 0:
			// Neither a purge nor a restore writes these.
			r.note("%s: %s changed since; it stays as it is now", cell, table)
		}
	}
	r.noteHost(cell, saved)
	if cell.row().flag("cleaned") && !saved.Rows["instances"].Rows[0].flag("cleaned") {
		r.note("%s: instances.cleaned = 1: nova-compute has reaped the instance since: its domain and its "+
			"local disks are gone, and so are its ports and the volumes with delete_on_termination that Nova made; only its rows come back", cell)
	}
	return rows
}

func (r *Restoration) noteShares(cell Cell, gone, before int) {
	r.note("%s: share_mapping: %d of %d rows are gone since, with what they mounted: attach those shares again", cell, gone, before)
}

// merge is a table as it was saved. What has become of it since the purge left it, and must
// not be made so, is a conflict.
func (r *Restoration) merge(where, table string, saved, left, current Record) Table {
	where += ": " + table
	for _, column := range slices.Sorted(maps.Keys(saved[table].Types)) {
		if _, found := current[table].Types[column]; !found {
			r.conflict("%s: column %s is gone since", where, column)
		}
	}
	was, purged, now := byKey(saved[table].Rows), byKey(left[table].Rows), byKey(current[table].Rows)
	rows := []Row{}
	for _, row := range saved[table].Rows {
		key := row.key()
		expected := purged[key]
		if expected == nil {
			expected = row
		}
		switch {
		case now[key] == nil && table == "instance_system_metadata" && row.text("key") == vtpmSecret:
			// Up to 2025.1 nova-compute removes it for good, with the secret that it names
			// (nova/virt/libvirt/driver.py _cleanup, nova/crypto.py delete_vtpm_secret).
			r.note("%s: the secret %s of its vTPM is gone since, with its row: what the vTPM held cannot be read any more",
				where, row.text("value"))
			continue
		case now[key] == nil && purged[key] != nil:
			r.conflict("%s: row %s is gone since", where, key)
		case now[key] != nil && len(unequal(now[key], row)) > 0:
			r.compare(where, table, expected, now[key])
		}
		rows = append(rows, row)
	}
	for _, row := range current[table].Rows {
		if was[row.key()] == nil && !current.isCleanAttempts(row) {
			r.conflict("%s: row %s was added since", where, row.key())
		}
	}
	return Table{current[table].Types, rows}
}

// compare finds what somebody else wrote into a row since the purge left it.
func (r *Restoration) compare(where, table string, left, now Row) {
	for _, column := range unequal(now, left) {
		switch {
		case slices.Contains(alsoWritten[table], column):
		case column == "deleted_at":
			r.conflict("%s: row %s: deleted_at = %s, the purge wrote %s: another run deleted it, or Nova: restore what that run saved",
				where, now.key(), now[column], left[column])
		case slices.Contains(loggable, column):
			r.conflict("%s: row %s: %s = %s, the purge left %s", where, now.key(), column, now[column], left[column])
		default:
			r.conflict("%s: row %s: %s changed since", where, now.key(), column)
		}
	}
}

// loggable columns are quoted; others may hold what is nobody's business, such as user_data.
var loggable = []string{"deleted", "vm_state", "task_state", "power_state", "host", "node", "hidden", "status", "cell_id",
	"queued_for_delete"}

// alsoWritten are, by table, the columns that nova-compute writes in a deleted row when it
// reaps the instance (nova/compute/manager.py _run_pending_deletes,
// nova/virt/libvirt/driver.py cleanup), and those that a purge may have disarmed.
var alsoWritten = map[string][]string{
	"instances": {"cleaned", "updated_at"},
	// Instance.save writes what it has there again, as it was (instance_extra_update_by_uuid).
	"instance_extra": {"updated_at"},
	// The first two are disarmed (Disarm); the reaper forgets the third
	// (nova/virt/libvirt/driver.py _cleanup_ephemeral_encryption_secrets, from 2024.1 on).
	"block_device_mapping": {"destination_type", "delete_on_termination", "encryption_secret_uuid"},
	// A purge disarms it, and Nova heals it.
	"instance_info_caches": {"network_info", "updated_at"},
	"instance_mappings":    {"updated_at"},
	"build_requests":       {"updated_at"},
}

// keepOff leaves a row as it is now that would give the instance what is somebody else's by now.
func (r *Restoration) keepOff(cell Cell, table string, row Row, elsewhere Elsewhere) Row {
	what, has := "volume "+row.text("volume_id"), elsewhere.Volumes[row.text("volume_id")]
	if _, port, found := strings.Cut(row.text("address"), "/"); found {
		what, has = "port "+port, elsewhere.Ports[port]
	}
	if has == "" || row.deleted() {
		return row
	}
	now := byKey(cell.Record[table].Rows)[row.key()]
	if now == nil || len(unequal(now, row)) == 0 {
		return row
	}
	r.note("%s: %s: row %s stays as it is now, deleted: %s: %s", cell, table, row.key(), what, has)
	return now
}

// noteHost tells whether the host to which the instance comes back is still that one.
func (r *Restoration) noteHost(cell Cell, saved Saved) {
	host := saved.Rows["instances"].Rows[0].text("host")
	if host == "" {
		return
	}
	at := slices.IndexFunc(cell.Hosts, func(h Host) bool { return h.Name == host })
	if at < 0 || cell.Hosts[at].Service == nil {
		r.note("%s: services: host %s has no nova-compute (any more): nobody will look after the instance there", cell, host)
	}
	node := cell.ComputeNode
	switch {
	case node == nil || node.number("deleted") != 0:
		r.note("%s: compute_nodes: host %s has no such node (any more): Placement has no provider for the instance's allocation", cell, host)
	case saved.ComputeNode != "" && node.text("uuid") != saved.ComputeNode:
		r.note("%s: compute_nodes: host %s is another compute node by now, %s instead of %s: the saved allocation is of the old one",
			cell, host, node.text("uuid"), saved.ComputeNode)
	}
}
