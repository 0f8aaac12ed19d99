package nova

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"nova-orphan/internal/orphan"
)

// ErrChanged says that an instance is not any more as it was judged.
var ErrChanged = errors.New("the instance changed since it was judged")

// ErrOutcome says that a commit was not answered, or not with a clear no: whether
// it happened must be read back.
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
// one transaction, and returns the number of rows changed by table. Under the lock it
// compares the whole record with the finding; then it calls before, which is the last
// chance to stop it, and it reads back before it commits.
// The error is ErrChanged, ErrOutcome, Retriable, or fatal.
func (d *Databases) SoftDelete(ctx context.Context, finding Finding, deletion Deletion, before func() error) (map[string]int64, error) {
	cell := finding.Cell()
	if cell == nil {
		return nil, fmt.Errorf("delete instance %s: there is not one cell that has its row", finding.UUID)
	}
	return cell.applyChange(ctx, cell.Record.left(deletion), "delete", before)
}

// applyChange makes the instance's rows those of target if they are still those that
// were found. verb is what that is called.
func (c Cell) applyChange(ctx context.Context, target Record, verb string, before func() error) (map[string]int64, error) {
	uuid := c.row().text("uuid")
	tx, err := c.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return nil, fmt.Errorf("begin to %s instance %s in %s: %w", verb, uuid, c, err)
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
	changed, err := rewrite(ctx, tx, current, target)
	if err != nil {
		return nil, fmt.Errorf("%s instance %s in %s: %w", verb, uuid, c, err)
	}
	if current, err = readRecord(ctx, tx, "", uuid); err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	if left := changes(current, target); len(left) > 0 {
		return nil, fmt.Errorf("read back instance %s in %s, so nothing was changed: %d rows are not as written, the first in %s: %v",
			uuid, c, len(left), left[0].table, left[0].columns)
	}
	if err := commit(ctx, tx); err != nil {
		return nil, fmt.Errorf("%s instance %s in %s: %w", verb, uuid, c, err)
	}
	return changed, nil
}

// softDeleted is the record as a deletion leaves it, which is how
// ComputeManager._delete_instance and instance_destroy leave it
// (nova/compute/manager.py, nova/db/main/api.py): host, node and cleaned stay,
// since nova-compute finds by them what it cleans up.
func (r Record) softDeleted(at time.Time) Record {
	now := Value{Text: at.UTC().Format(time.DateTime)}
	target := Record{"instances": {Types: r["instances"].Types, Rows: []Row{}}}
	for _, row := range r["instances"].Rows {
		target["instances"] = Table{target["instances"].Types, append(target["instances"].Rows, row.softDeleted(now))}
	}
	for _, part := range parts() {
		table, found := r[part.table]
		if !found || part.fate == keep {
			continue
		}
		rows := []Row{}
		for _, row := range table.Rows {
			switch {
			case part.fate == remove:
			case r.isCleanAttempts(row) || row.deleted():
				rows = append(rows, row)
			default:
				deletedAt := now
				if row.number("deleted") != 0 {
					deletedAt = row["deleted_at"].validPastOr(now)
				}
				rows = append(rows, row.with(Row{"deleted": row["id"], "deleted_at": deletedAt}))
			}
		}
		target[part.table] = Table{table.Types, rows}
	}
	return target
}

// softDeleted is the row of instances as a deletion leaves it.
func (r Row) softDeleted(now Value) Row {
	if r.deleted() {
		judged := orphan.Row{DeletedAt: r.time("deleted_at")}
		if !judged.NeedsDeletedAt(Row{"now": now}.time("now")) {
			return r
		}
		return r.with(Row{"deleted_at": now})
	}
	after := r.with(Row{
		"vm_state": {Text: "deleted"}, "task_state": {Null: true}, "power_state": {Text: "0"}, "progress": {Text: "0"},
		"updated_at": now, "terminated_at": now, "deleted": r["id"], "deleted_at": now,
	})
	if r.number("deleted") != 0 {
		after["terminated_at"], after["deleted_at"] = r["terminated_at"].validPastOr(now), r["deleted_at"].validPastOr(now)
	}
	return after
}

// with is the row with other values in some columns.
func (r Row) with(values Row) Row {
	row := maps.Clone(r)
	maps.Copy(row, values)
	return row
}

// validPastOr is a time as it is if it is one and validPastOr, and now else.
func (v Value) validPastOr(now Value) Value {
	if at := (Row{"at": v}).time("at"); at.Year() < 1970 || v.Text > now.Text {
		return now
	}
	return v
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
	if err := commit(ctx, tx); err != nil {
		return nil, fmt.Errorf("delete instance %s in the API database: %w", uuid, err)
	}
	return changed, nil
}
