package nova

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// change is one row that is not yet as it is to be.
type change struct {
	table    string
	from, to Row      // from is nil for a row to insert, to is nil for one to delete
	columns  []string // that differ, where there are both
}

// changes lists what makes the rows of current those of target, instances first.
// It looks only at the tables of target and the columns that its rows have.
func changes(current, target Record) (list []change) {
	for _, table := range slices.SortedFunc(maps.Keys(target), instancesFirst) {
		before := byKey(current[table].Rows)
		after := byKey(target[table].Rows)
		for _, row := range current[table].Rows {
			if after[row.key()] == nil {
				list = append(list, change{table: table, from: row})
			}
		}
		for _, row := range target[table].Rows {
			old := before[row.key()]
			if old == nil {
				list = append(list, change{table: table, to: row})
			} else if columns := unequal(old, row); len(columns) > 0 {
				list = append(list, change{table: table, from: old, to: row, columns: columns})
			}
		}
	}
	return list
}

// instancesFirst is the order in which Nova itself writes and locks.
func instancesFirst(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == "instances":
		return -1
	case b == "instances":
		return 1
	}
	return strings.Compare(a, b)
}

func byKey(rows []Row) map[string]Row {
	keyed := map[string]Row{}
	for _, row := range rows {
		keyed[row.key()] = row
	}
	return keyed
}

// key tells a row from the others of its table; tags have no id, all of the row is their key.
func (r Row) key() string {
	if id, found := r["id"]; found {
		return id.Text
	}
	var key strings.Builder
	for _, column := range slices.Sorted(maps.Keys(r)) {
		fmt.Fprintf(&key, "%s=%q ", column, r[column].Text)
	}
	return strings.TrimSuffix(key.String(), " ")
}

// unequal names the columns of to that have another value in from.
func unequal(from, to Row) (columns []string) {
	for column, value := range to {
		if from[column] != value {
			columns = append(columns, column)
		}
	}
	slices.Sort(columns)
	return columns
}

// rewrite makes the rows of current those of target and returns the number of
// rows changed by table. Rows are written by their own key, so that no other
// instance's are locked (migrations has no index that begins with the uuid).
// A row that is not any more as in current makes it ErrChanged.
func rewrite(ctx context.Context, tx *sql.Tx, current, target Record) (map[string]int64, error) {
	changed := map[string]int64{}
	list := changes(current, target)
	crossed := map[string]bool{}
	for _, step := range list {
		crossed[step.table] = crossed[step.table] || step.crosses()
	}
	for i, step := range list {
		if !crossed[step.table] || !slices.Contains(step.columns, "deleted") {
			continue
		}
		parked := Value{Text: "-" + step.from.text("id")}
		to := Row{"id": step.from["id"], "deleted": parked}
		if err := (change{step.table, step.from, to, []string{"deleted"}}).write(ctx, tx); err != nil {
			return nil, err
		}
		list[i].from = step.from.with(Row{"deleted": parked})
	}
	for _, step := range list {
		if err := step.write(ctx, tx); err != nil {
			return nil, err
		}
		changed[step.table]++
	}
	return changed, nil
}

// crosses says whether "deleted" takes or leaves a value that may be another
// row's, so that all of the table have to make way first: virtual_interfaces is
// UNIQUE (address, deleted).
func (c change) crosses() bool {
	own := func(row Row) bool { return row.number("deleted") == 0 || row.deleted() }
	return slices.Contains(c.columns, "deleted") && (!own(c.from) || !own(c.to))
}

func (c change) write(ctx context.Context, tx *sql.Tx) error {
	statement, args := c.statement()
	count := int64(0)
	result, err := tx.ExecContext(ctx, statement, args...)
	if err == nil {
		count, err = result.RowsAffected()
	}
	if err != nil && !hasNumber(err, errRecordChanged) {
		return fmt.Errorf("%s: %w", c.table, err)
	}
	if count != 1 {
		return fmt.Errorf("%w: %s: row %s", ErrChanged, c.table, c.from.key())
	}
	return nil
}

func (c change) statement() (string, []any) {
	var args []any
	list := func(row Row, columns []string, operator, separator string) string {
		terms := make([]string, len(columns))
		for i, column := range columns {
			terms[i] = "`" + column + "`" + operator
			args = append(args, row[column].argument())
		}
		return strings.Join(terms, separator)
	}
	switch {
	case c.from == nil:
		columns := slices.Sorted(maps.Keys(c.to))
		names := list(c.to, columns, "", ", ")
		return "INSERT INTO " + c.table + " (" + names + ") VALUES (" + strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ") + ")", args
	case c.to == nil:
		columns := []string{"id"}
		if _, found := c.from["id"]; !found {
			columns = slices.Sorted(maps.Keys(c.from))
		}
		return "DELETE FROM " + c.table + " WHERE " + list(c.from, columns, " <=> ?", " AND "), args
	}
	set := list(c.to, c.columns, " = ?", ", ")
	return "UPDATE " + c.table + " SET " + set + " WHERE " + list(c.from, append([]string{"id"}, c.columns...), " <=> ?", " AND "), args
}

// argument is the value for a statement, byte by byte.
func (v Value) argument() any {
	if v.Null {
		return nil
	}
	return v.Text
}
