package nova

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// ErrChanged says that an instance is not any more as it was judged.
var ErrChanged = errors.New("the instance changed since it was judged")

// ErrOutcome says that the connection was lost at the commit: whether it
// happened must be read back.
var ErrOutcome = errors.New("the outcome of the commit is not known")

// Cell returns the cell whose instances table has the instance, nil if there is
// none, or more than one.
func (f Finding) Cell() *Cell {
	var found *Cell
	for i := range f.Cells {
		switch {
		case f.Cells[i].row() == nil || f.Cells[i].Archived:
		case found != nil:
			return nil
		default:
			found = &f.Cells[i]
		}
	}
	return found
}

// SoftDelete finishes the instance's deletion in its cell as Nova does it, in
// one transaction, and returns the number of rows changed by table. Under the
// lock it compares the whole record with the finding; then it calls before,
// which is the last chance to stop it, and it reads back before it commits.
// The error is ErrChanged, ErrOutcome, Retriable, or fatal.
func (d *Databases) SoftDelete(ctx context.Context, finding Finding, before func() error) (map[string]int64, error) {
	cell := finding.Cell()
	if cell == nil {
		return nil, fmt.Errorf("delete instance %s: there is not one cell that has its row", finding.UUID)
	}
	return cell.softDelete(ctx, before)
}

func (c Cell) softDelete(ctx context.Context, before func() error) (map[string]int64, error) {
	uuid := c.row().text("uuid")
	tx, err := c.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return nil, fmt.Errorf("begin the deletion of instance %s in %s: %w", uuid, c, err)
	}
	defer func() { _ = tx.Rollback() }()
	// Whatever Nova does with an instance, it writes this row.
	if _, err = readTable(ctx, tx, "SELECT id FROM instances WHERE uuid = ? FOR UPDATE", uuid); err != nil {
		return nil, fmt.Errorf("lock instance %s in %s: %w", uuid, c, err)
	}
	current, err := readRecord(ctx, tx, "", uuid)
	if err != nil {
		return nil, err
	}
	if different := differences(c.Record, current); len(different) > 0 {
		return nil, fmt.Errorf("%w: %s: %s", ErrChanged, c, strings.Join(different, ", "))
	}
	if err = before(); err != nil {
		return nil, err
	}
	changed, err := c.write(ctx, tx)
	if err != nil {
		return nil, fmt.Errorf("delete instance %s in %s: %w", uuid, c, err)
	}
	if err := c.readBack(ctx, tx); err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		if Retriable(err) {
			return nil, fmt.Errorf("commit the deletion of instance %s in %s: %w", uuid, c, err)
		}
		return nil, fmt.Errorf("%w: commit the deletion of instance %s in %s: %w", ErrOutcome, uuid, c, err)
	}
	return changed, nil
}

// valid keeps a time that is one and is past, and gives the current time else.
// MariaDB compares 0000-00-00 as the smallest of dates.
func valid(column string) string {
	return column + " = IF(" + column + " > '1970-01-02' AND " + column + " <= UTC_TIMESTAMP(), " + column + ", UTC_TIMESTAMP())"
}

func (c Cell) write(ctx context.Context, tx *sql.Tx) (map[string]int64, error) {
	changed := map[string]int64{}
	exec := func(table, statement string, args ...any) error {
		result, err := tx.ExecContext(ctx, statement, args...)
		if err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
		count, err := result.RowsAffected()
		if err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
		if count > 0 {
			changed[table] += count
		}
		return nil
	}
	if err := c.writeInstance(exec); err != nil {
		return nil, err
	}
	uuid := c.row().text("uuid")
	unfinished := c.Record.unfinished()
	for _, part := range parts() {
		if unfinished[part.table] == 0 {
			continue
		}
		for _, statement := range part.statements() {
			if err := exec(part.table, statement, uuid); err != nil {
				return nil, err
			}
		}
		// A row that takes two steps is one row changed.
		changed[part.table] = int64(unfinished[part.table])
	}
	return changed, nil
}

// writeInstance sets what ComputeManager._delete_instance saves and
// instance_destroy sets (nova/compute/manager.py, nova/db/main/api.py): host,
// node and cleaned stay, since nova-compute finds by them what it cleans up.
func (c Cell) writeInstance(exec func(table, statement string, args ...any) error) error {
	row := c.row()
	set := "vm_state = 'deleted', task_state = NULL, power_state = 0, progress = 0, " +
		"updated_at = UTC_TIMESTAMP(), terminated_at = UTC_TIMESTAMP(), deleted = id, deleted_at = UTC_TIMESTAMP()"
	switch row.number("deleted") {
	case 0:
	case row.number("id"):
		if judged := c.evidence(); !judged.Row.Undated(c.Now) {
			return nil
		}
		set = "deleted_at = UTC_TIMESTAMP()"
	default:
		set = "vm_state = 'deleted', task_state = NULL, power_state = 0, progress = 0, " +
			"updated_at = UTC_TIMESTAMP(), " + valid("terminated_at") + ", deleted = id, " + valid("deleted_at")
	}
	changed := func(column string) any {
		if row[column].Null {
			return nil
		}
		return row.text(column)
	}
	// The row is locked and compared already; the statement says so again, for
	// whoever takes it out of here.
	return exec("instances", "UPDATE instances SET "+set+
		" WHERE uuid = ? AND id = ? AND deleted = ? AND host <=> ? AND vm_state <=> ? AND task_state <=> ?",
		row.text("uuid"), row.number("id"), row.number("deleted"), changed("host"), changed("vm_state"), changed("task_state"))
}

// statements delete what is left of a table's rows, each with the uuid as its argument.
func (p part) statements() []string {
	where := " WHERE " + p.key + " = ?"
	switch p.fate {
	case remove:
		return []string{"DELETE FROM " + p.table + where}
	case softDelete:
		// Rows that somebody deleted with a wrong value go out of the way first: with
		// them virtual_interfaces' UNIQUE (address, deleted) could refuse a right one.
		return []string{
			"UPDATE " + p.table + " SET deleted = -id" + where + " AND deleted NOT IN (0, id)",
			"UPDATE " + p.table + " SET deleted = id, " + valid("deleted_at") + where + " AND deleted < 0",
			"UPDATE " + p.table + " SET deleted = id, deleted_at = UTC_TIMESTAMP()" + where + " AND deleted = 0",
		}
	}
	return nil
}

// readBack makes sure that nothing is left to do, while it can still be undone.
func (c Cell) readBack(ctx context.Context, tx *sql.Tx) error {
	uuid := c.row().text("uuid")
	record, err := readRecord(ctx, tx, "", uuid)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	written := Cell{Record: record}.row()
	left := record.unfinished()
	if written.number("deleted") != c.row().number("id") || len(left) > 0 {
		return fmt.Errorf("read back instance %s in %s, so nothing was changed: deleted = %s, left over: %v", uuid, c, written.text("deleted"), left)
	}
	return nil
}

// FinishMapping does for the API database what Nova's API does at a deletion:
// queued_for_delete on the mapping (nova/compute/api.py _local_delete_cleanup),
// and no build request. The mapping and the request spec stay until db archive_deleted_rows.
func (d *Databases) FinishMapping(ctx context.Context, uuid string) (map[string]int64, error) {
	changed := map[string]int64{}
	tx, err := d.api.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("begin the deletion of instance %s in the API database: %w", uuid, err)
	}
	defer func() { _ = tx.Rollback() }()
	for _, step := range []struct{ table, statement string }{
		{"instance_mappings", "UPDATE instance_mappings SET queued_for_delete = 1, updated_at = UTC_TIMESTAMP()" +
			" WHERE instance_uuid = ? AND COALESCE(queued_for_delete, 0) = 0"},
		{"build_requests", "DELETE FROM build_requests WHERE instance_uuid = ?"},
	} {
		result, err := tx.ExecContext(ctx, step.statement, uuid)
		if err != nil {
			return nil, fmt.Errorf("delete instance %s in the API database: %s: %w", uuid, step.table, err)
		}
		count, err := result.RowsAffected()
		if err != nil {
			return nil, fmt.Errorf("delete instance %s in the API database: %s: %w", uuid, step.table, err)
		}
		if count > 0 {
			changed[step.table] = count
		}
	}
	if err := tx.Commit(); err != nil {
		if Retriable(err) {
			return nil, fmt.Errorf("commit the deletion of instance %s in the API database: %w", uuid, err)
		}
		return nil, fmt.Errorf("%w: commit the deletion of instance %s in the API database: %w", ErrOutcome, uuid, err)
	}
	return changed, nil
}
