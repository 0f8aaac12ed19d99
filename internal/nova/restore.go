package nova

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Saved is what a purge wrote down before it changed anything.
type Saved struct {
	// At is the time that the purge wrote, by the database's clock.
	At   time.Time `json:"at"`
	Cell CellName  `json:"cell"`
	Rows Record    `json:"cell_tables"`
	API  Record    `json:"api_tables"`
	// ComputeNode is the uuid of the instance's compute node; "" if there was none.
	ComputeNode string `json:"compute_node"`
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
	for _, port := range cell.ports() {
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
	// Cell and API are the steps in each database, empty where all is as it was saved.
	Cell, API []string
	// Notes say what does not come back, or goes.
	Notes []string
	// Before and After are the rows that are going to change, by table and key.
	Before, After map[string]any
	// CellRows and APIRows are how many rows change, by table.
	CellRows, APIRows map[string]int64

	rows, mapping Record // the rows to be
}

// Restoration compares each row with what it was and with what the purge left.
// A row that is neither is a conflict, but for what nova-compute itself does to a
// deleted instance when it reaps it, and for what is somebody else's by now.
func (f Finding) Restoration(saved Saved, elsewhere Elsewhere) Restoration {
	r := Restoration{Before: map[string]any{}, After: map[string]any{}, CellRows: map[string]int64{}, APIRows: map[string]int64{}}
	cell := f.Cell()
	switch {
	case len(saved.Rows["instances"].Rows) != 1 || saved.At.IsZero():
		r.Conflicts = append(r.Conflicts, "the backup does not have the instance's row and the time of its purge")
	case cell == nil:
		r.Conflicts = append(r.Conflicts, f.missing(saved.Cell))
	case cell.UUID != saved.Cell.UUID:
		r.Conflicts = append(r.Conflicts, fmt.Sprintf("the instance's row is in %s, but it was saved from cell %s", cell, saved.Cell.UUID))
	default:
		r.compareCell(*cell, saved, elsewhere)
	}
	r.compareMapping(f, saved)
	return r
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

func (r *Restoration) compareCell(cell Cell, saved Saved, elsewhere Elsewhere) {
	left := saved.Rows.softDeleted(saved.At)
	r.rows = Record{}
	for _, table := range slices.SortedFunc(maps.Keys(saved.Rows), instancesFirst) {
		current, found := cell.Record[table]
		_, written := left[table]
		switch {
		case !found:
			r.Conflicts = append(r.Conflicts, fmt.Sprintf("%s: table %s is gone since", cell, table))
		case written:
			r.compareTable(cell, table, saved.Rows[table], left[table], elsewhere)
		case table == "share_mapping" && len(current.Rows) < len(saved.Rows[table].Rows):
			before := len(saved.Rows[table].Rows)
			r.Notes = append(r.Notes, fmt.Sprintf("%s: share_mapping: %d of %d rows are gone since, with what they mounted: "+
				"attach those shares again", cell, before-len(current.Rows), before))
		case len(changes(Record{table: current}, Record{table: saved.Rows[table]})) > 0:
			// Neither a purge nor a restore writes these.
			r.Notes = append(r.Notes, fmt.Sprintf("%s: %s changed since; it stays as it is now", cell, table))
		}
	}
	r.compareHost(cell, saved)
	if cell.row().flag("cleaned") && !saved.Rows["instances"].Rows[0].flag("cleaned") {
		r.Notes = append(r.Notes, fmt.Sprintf("%s: instances.cleaned = 1: nova-compute has reaped the instance since: its domain and its "+
			"local disks are gone, and so are its ports and the volumes with delete_on_termination that Nova made; only its rows come back", cell))
	}
	r.buildPlan(cell.String(), cell.Record, r.rows, &r.Cell, r.CellRows)
}

// compareTable compares a table that a purge writes.
func (r *Restoration) compareTable(cell Cell, table string, saved, left Table, elsewhere Elsewhere) {
	c := comparison{
		name: fmt.Sprintf("%s: %s", cell, table), tolerated: reapColumns(table), foreign: cell.Record.isCleanAttempts,
		mayGo: goesWithTheReap(table),
	}
	if table == "instance_info_caches" {
		wanted := Record{table: saved}
		wanted.change(table, func(row Row) Row { return row.withoutPorts(slices.Sorted(maps.Keys(elsewhere.Ports))) })
		saved = wanted[table]
	}
	current := cell.Record[table]
	target := c.target(saved, left, current)
	r.rows[table] = r.keepOff(c.name, target, current, elsewhere)
	r.Conflicts, r.Notes = append(r.Conflicts, c.conflicts...), append(r.Notes, c.notes...)
}

// compareHost tells whether the host to which the instance comes back is still that one.
func (r *Restoration) compareHost(cell Cell, saved Saved) {
	host := saved.Rows["instances"].Rows[0].text("host")
	if host == "" {
		return
	}
	at := slices.IndexFunc(cell.Hosts, func(h Host) bool { return h.Name == host })
	if at < 0 || cell.Hosts[at].Service == nil {
		r.Notes = append(r.Notes, fmt.Sprintf("%s: services: host %s has no nova-compute (any more): nobody will look after the instance there",
			cell, host))
	}
	node := cell.ComputeNode
	switch {
	case node == nil || node.number("deleted") != 0:
		r.Notes = append(r.Notes, fmt.Sprintf("%s: compute_nodes: host %s has no such node (any more): "+
			"Placement has no provider for the instance's allocation", cell, host))
	case saved.ComputeNode != "" && node.text("uuid") != saved.ComputeNode:
		r.Notes = append(r.Notes, fmt.Sprintf("%s: compute_nodes: host %s is another compute node by now, %s instead of %s: "+
			"the saved allocation is of the old one", cell, host, node.text("uuid"), saved.ComputeNode))
	}
}

// keepOff leaves the rows as they are now that would give the instance what is somebody
// else's by now.
func (r *Restoration) keepOff(name string, target, current Table, elsewhere Elsewhere) Table {
	now := byKey(current.Rows)
	stays := func(row Row, what, has string) Row {
		if old := now[row.key()]; has != "" && old != nil && len(unequal(old, row)) > 0 && !row.deleted() {
			r.Notes = append(r.Notes, fmt.Sprintf("%s: row %s stays as it is now, deleted: %s: %s", name, row.key(), what, has))
			return old
		}
		return row
	}
	rows := Record{name: target}
	rows.change(name, func(row Row) Row {
		if volume := row.text("volume_id"); volume != "" {
			return stays(row, "volume "+volume, elsewhere.Volumes[volume])
		}
		if _, port, found := strings.Cut(row.text("address"), "/"); found {
			return stays(row, "port "+port, elsewhere.Ports[port])
		}
		return row
	})
	return rows[name]
}

func (r *Restoration) compareMapping(f Finding, saved Saved) {
	r.mapping = Record{}
	for _, table := range []string{"instance_mappings", "build_requests"} {
		rows := saved.API[table]
		left := Table{rows.Types, []Row{}}
		if table == "instance_mappings" {
			for _, row := range rows.Rows {
				left.Rows = append(left.Rows, row.with(Row{"queued_for_delete": {Text: "1"}}))
			}
		}
		c := comparison{name: "nova_api: " + table, tolerated: []string{"updated_at"}, foreign: func(Row) bool { return false }}
		r.mapping[table] = c.target(rows, left, f.API[table])
		r.Conflicts = append(r.Conflicts, c.conflicts...)
	}
	r.buildPlan("nova_api", f.API, r.mapping, &r.API, r.APIRows)
}

// reapColumns are what nova-compute writes into a deleted row when it reaps the
// instance (nova/compute/manager.py _run_pending_deletes, nova/virt/libvirt/driver.py cleanup).
func reapColumns(table string) []string {
	switch table {
	case "instances":
		return []string{"cleaned", "updated_at"}
	case "instance_extra":
		// Instance.save writes what it has there again, as it was (instance_extra_update_by_uuid).
		return []string{"updated_at"}
	case "block_device_mapping":
		// The first two are what a purge disarms (Disarm); the reaper forgets the third
		// (nova/virt/libvirt/driver.py _cleanup_ephemeral_encryption_secrets, from 2024.1 on).
		return []string{"destination_type", "delete_on_termination", "encryption_secret_uuid"}
	case "instance_info_caches":
		// A purge disarms it, and Nova heals it.
		return []string{"network_info", "updated_at"}
	}
	return nil
}

// goesWithTheReap says which rows nova-compute removes for good when it reaps the
// instance: up to 2025.1 the one that names the secret of the vTPM, with the secret
// (nova/virt/libvirt/driver.py _cleanup, nova/crypto.py delete_vtpm_secret).
func goesWithTheReap(table string) func(Row) string {
	return func(row Row) string {
		if table != "instance_system_metadata" || row.text("key") != vtpmSecret {
			return ""
		}
		return "the secret " + row.text("value") + " of its vTPM is gone since, with its row: what the vTPM held cannot be read any more"
	}
}

// buildPlan adds the steps from current to target to steps, and both sides of the diff.
func (r *Restoration) buildPlan(where string, current, target Record, steps *[]string, counts map[string]int64) {
	added, removed := map[string]int64{}, map[string]int64{}
	for _, step := range changes(current, target) {
		counts[step.table]++
		key := step.from.orElse(step.to).key()
		switch {
		case step.from == nil:
			added[step.table]++
			put(r.After, step.table, key, "as saved")
		case step.to == nil:
			removed[step.table]++
			put(r.Before, step.table, key, "added since")
		default:
			put(r.Before, step.table, key, step.from.only(step.columns))
			put(r.After, step.table, key, step.to.only(step.columns))
		}
	}
	for _, table := range slices.SortedFunc(maps.Keys(counts), instancesFirst) {
		for _, kind := range []struct {
			count int64
			what  string
		}{
			{counts[table] - added[table] - removed[table], "put back the values of %d rows"},
			{added[table], "insert %d rows again"},
			{removed[table], "remove %d rows that nova-compute added when it reaped the instance"},
		} {
			if kind.count > 0 {
				text := fmt.Sprintf(kind.what, kind.count)
				if kind.count == 1 {
					text = strings.Replace(text, "1 rows", "1 row", 1)
				}
				*steps = append(*steps, fmt.Sprintf("%s: %s: %s", where, table, text))
			}
		}
	}
}

func put(side map[string]any, table, key string, row any) {
	rows, _ := side[table].(map[string]any)
	if rows == nil {
		rows = map[string]any{}
		side[table] = rows
	}
	rows[key] = row
}

func (r Row) only(columns []string) Row {
	row := Row{}
	for _, column := range columns {
		row[column] = r[column]
	}
	return row
}

// Restore writes the cell's rows of the restoration in one transaction, with the
// guarantees and errors of SoftDelete.
func (d *Databases) Restore(ctx context.Context, finding Finding, r Restoration, before func() error) (map[string]int64, error) {
	cell := finding.Cell()
	if cell == nil {
		return nil, fmt.Errorf("restore instance %s: there is not one cell that has its row", finding.UUID)
	}
	return cell.applyChange(ctx, r.rows, "restore", before)
}

// RestoreMapping writes the API database's rows of the restoration in one
// transaction, with the guarantees and errors of SoftDelete.
func (d *Databases) RestoreMapping(ctx context.Context, finding Finding, r Restoration, before func() error) (map[string]int64, error) {
	fail := func(err error) (map[string]int64, error) {
		return nil, fmt.Errorf("restore instance %s in the API database: %w", finding.UUID, err)
	}
	tx, err := d.api.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return fail(err)
	}
	defer func() { _ = tx.Rollback() }()
	current := Record{}
	for table := range r.mapping {
		if current[table], err = readTable(ctx, tx, "SELECT * FROM "+table+" WHERE instance_uuid = ? FOR UPDATE", finding.UUID); err != nil {
			return fail(err)
		}
	}
	if different := differences(current, finding.API); len(different) > 0 {
		return fail(fmt.Errorf("%w: %s", ErrChanged, strings.Join(different, ", ")))
	}
	if err = before(); err != nil {
		return nil, err
	}
	changed, err := rewrite(ctx, tx, current, r.mapping)
	if err != nil {
		return fail(err)
	}
	if err := commit(ctx, tx); err != nil {
		return fail(err)
	}
	return changed, nil
}
