package nova

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrChanged says that an instance is not any more as it was judged.
var ErrChanged = errors.New("the instance changed since it was judged")

// ErrOutcome says that a commit was not answered, or not with a clear no: whether
// it happened must be read back.
var ErrOutcome = errors.New("the outcome of the commit is not known")

// Change makes an instance's rows in one database those of Target, as long as they are
// those of Current. A deletion and a restore alike are such changes, and what one tells
// is what it writes.
type Change struct {
	Current, Target Record

	uuid string
	cell *Cell  // nil is the API database
	verb string // what it is called: delete, restore
	// says tells what becomes of a row, of which there may be "N rows"; "" leaves that to others.
	says func(rowChange) string
	// now is the time that is written, which is called so in the diff: it is another one in check mode.
	now Value
	// rowless says that it holds only as long as no cell has a row of the instance.
	rowless bool
}

// Changes are those of one instance, in the order in which they are to be applied. Left are of rows in cells that have
// none in instances.
type Changes struct {
	Cell Change
	Left []Change
	API  Change
}

// All are those of them that change anything.
func (c Changes) All() []Change {
	return slices.DeleteFunc(slices.Concat([]Change{c.Cell}, c.Left, []Change{c.API}), Change.Empty)
}

// changes are the finding's; what a target does not have stays as it is.
func (f Finding) changes(verb string, now Value, says func(rowChange) string, cell, api Record) Changes {
	return Changes{
		Cell: Change{f.Cell().record(), cell, f.UUID, f.Cell(), verb, says, now, false},
		API:  Change{f.API, api, f.UUID, nil, verb, says, now, false},
	}
}

// rowlessChanges are those of an instance of which no cell has a row; left are the targets of what the cells have
// beside it, by the cells' uuids.
func (f Finding) rowlessChanges(verb string, now Value, says func(rowChange) string, left map[string]Record, api Record) (c Changes) {
	for _, cell := range f.Cells {
		if target, found := left[cell.UUID]; found {
			current := target.emptied() // what a cell had, it may have no more
			maps.Copy(current, cell.Left)
			c.Left = append(c.Left, Change{current, target, f.UUID, &cell, verb, says, now, true})
		}
	}
	c.API = Change{f.API, api, f.UUID, nil, verb, says, now, true}
	return c
}

// InCell says whether it is in the cell, and not in the API database.
func (c Change) InCell() bool { return c.cell != nil }

// Where names the database.
func (c Change) Where() string {
	if c.cell == nil {
		return "nova_api"
	}
	return c.cell.String()
}

// String says in short what it is.
func (c Change) String() string { return fmt.Sprintf("%s: %s rows %v", c.Where(), c.verb, c.Rows()) }

// Empty says that all rows are those of the target already.
func (c Change) Empty() bool { return len(changes(c.Current, c.Target)) == 0 }

// Rows are how many rows change, by table.
func (c Change) Rows() map[string]int {
	counts := map[string]int{}
	for _, row := range changes(c.Current, c.Target) {
		counts[row.table]++
	}
	return counts
}

// Steps tell it, a step a line.
func (c Change) Steps() (steps []string) {
	counts := map[string]int{}
	for _, row := range changes(c.Current, c.Target) {
		if text := c.says(row); text != "" {
			step := c.Where() + ": " + row.table + ": " + text
			if counts[step]++; counts[step] == 1 {
				steps = append(steps, step)
			}
		}
	}
	for i, step := range steps {
		steps[i] = strings.Replace(step, "N rows", rowCount(counts[step]), 1)
	}
	return steps
}

func rowCount(count int) string {
	if count == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", count)
}

// AddTo puts what changes into the two sides of a diff, by table and key.
func (c Change) AddTo(before, after map[string]any) {
	put := func(side map[string]any, table, key string, row any) {
		rows, _ := side[table].(map[string]any)
		if rows == nil {
			rows = map[string]any{}
			side[table] = rows
		}
		rows[key] = row
	}
	for _, row := range changes(c.Current, c.Target) {
		switch {
		case row.from == nil:
			put(after, row.table, row.to.key(), "a row")
		case row.to == nil:
			put(before, row.table, row.from.key(), "a row")
		default:
			was, is := Row{}, Row{}
			for _, column := range row.columns {
				if was[column], is[column] = row.from[column], row.to[column]; c.now.Text != "" && is[column] == c.now {
					is[column] = Value{Text: "now"}
				}
			}
			put(before, row.table, row.from.key(), was)
			put(after, row.table, row.from.key(), is)
		}
	}
}

// Apply writes a change in one transaction. Under the locks it compares all rows with
// Current; then it calls before, which is the last chance to stop it, and it reads back
// before it commits. The error is ErrChanged, ErrOutcome, Retriable, or fatal.
func (d *Databases) Apply(ctx context.Context, c Change, before func() error) error {
	db := d.api
	if c.cell != nil {
		db = c.cell.db
	}
	fail := func(err error) error { return fmt.Errorf("%s instance %s in %s: %w", c.verb, c.uuid, c.Where(), err) }
	conn, err := db.Conn(ctx)
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	if c.rowless && c.cell != nil {
		// Their foreign key leads nowhere, which InnoDB minds whenever an index that begins with it is written.
		if _, err = conn.ExecContext(ctx, "SET foreign_key_checks = 0"); err != nil {
			return fail(err)
		}
		// The setting goes with the connection.
		defer func() { _ = conn.Raw(func(any) error { return driver.ErrBadConn }) }()
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return fail(err)
	}
	defer func() { _ = tx.Rollback() }()
	if c.cell != nil {
		// Whatever Nova does with an instance, it writes this row.
		if _, err = readTable(ctx, tx, "SELECT id FROM instances WHERE uuid = ? FOR UPDATE", c.uuid); err != nil {
			return fail(fmt.Errorf("lock it: %w", err))
		}
	}
	current, err := c.read(ctx, tx)
	if err != nil {
		return fail(err)
	}
	if different := differences(c.Current, current); len(different) > 0 {
		return fail(fmt.Errorf("%w: %s: %s", ErrChanged, c.Where(), strings.Join(different, ", ")))
	}
	if c.rowless && c.cell == nil { // in a cell the lock is on the gap where the row would be
		if err = d.nowhere(ctx, c.uuid); err != nil {
			return fail(err)
		}
	}
	if err = before(); err != nil {
		return err
	}
	for _, row := range inOrder(changes(current, c.Target)) {
		if err = row.write(ctx, tx); err != nil {
			return fail(err)
		}
	}
	if current, err = c.read(ctx, tx); err != nil {
		return fail(fmt.Errorf("read back: %w", err))
	}
	if left := changes(current, c.Target); len(left) > 0 {
		return fail(fmt.Errorf("read back, so nothing was changed: %d rows are not as written, the first in %s: %v",
			len(left), left[0].table, left[0].columns))
	}
	if err = commit(ctx, tx); err != nil {
		return fail(err)
	}
	return nil
}

// nowhere looks once more whether a cell has a row of the instance. Nova writes one only beside a mapping or a build
// request, which are locked; somebody who puts back a dump does not ask.
func (d *Databases) nowhere(ctx context.Context, uuid string) error {
	found, cells, err := inAllCells(ctx, d, func(ctx context.Context, db *sql.DB) (Table, error) {
		return readTable(ctx, db, "SELECT id FROM instances WHERE uuid = ?", uuid)
	})
	for i, cell := range cells {
		switch {
		case cell.Failure != nil:
			err = errors.Join(err, fmt.Errorf("look whether %s has a row of it: %w", cell, cell.Failure))
		case len(found[i].Rows) > 0:
			err = errors.Join(err, fmt.Errorf("%w: %s: instances has a row of it", ErrChanged, cell))
		}
	}
	return err
}

func (c Change) read(ctx context.Context, tx *sql.Tx) (Record, error) {
	uuids := []string{c.uuid}
	tables := slices.DeleteFunc(slices.Concat(apiTables, archivedTables), func(table string) bool {
		_, found := c.Current[table]
		return !found
	})
	read := func() (map[string]Record, error) { return readAPI(ctx, tx, tables, uuids, " FOR UPDATE") }
	if c.cell != nil {
		read = func() (map[string]Record, error) { return readRecords(ctx, tx, "", uuids, true) }
	}
	records, err := read()
	return records[c.uuid], err
}

// rowChange is one row that is not yet as it is to be.
type rowChange struct {
	table    string
	from, to Row      // from is nil for a row to insert, to is nil for one to delete
	columns  []string // that differ, where there are both
}

// changes lists what makes the rows of current those of target, instances first.
// It looks only at the tables of target and the columns that its rows have.
func changes(current, target Record) (list []rowChange) {
	for _, table := range slices.SortedFunc(maps.Keys(target), instancesFirst) {
		before := byKey(current[table].Rows)
		after := byKey(target[table].Rows)
		for _, row := range current[table].Rows {
			if after[row.key()] == nil {
				list = append(list, rowChange{table: table, from: row})
			}
		}
		for _, row := range target[table].Rows {
			old := before[row.key()]
			if old == nil {
				list = append(list, rowChange{table: table, to: row})
			} else if columns := unequal(old, row); len(columns) > 0 {
				list = append(list, rowChange{table: table, from: old, to: row, columns: columns})
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

// inOrder is the list as it is to be written. virtual_interfaces is UNIQUE (address,
// deleted): where a row of a table takes or leaves a "deleted" that may be another row's,
// all of them first make way, to the negative of their id.
func inOrder(list []rowChange) (all []rowChange) {
	crossed := map[string]bool{}
	for _, row := range list {
		crossed[row.table] = crossed[row.table] || row.crosses()
	}
	for i, row := range list {
		if crossed[row.table] && slices.Contains(row.columns, "deleted") {
			list[i].from = row.from.with(Row{"deleted": {Text: "-" + row.from.text("id")}})
			all = append(all, rowChange{row.table, row.from, list[i].from, []string{"deleted"}})
		}
	}
	return append(all, list...)
}

// crosses says whether "deleted" takes or leaves a value that is neither 0 nor the row's id.
func (c rowChange) crosses() bool {
	own := func(row Row) bool { return row.number("deleted") == 0 || row.deleted() }
	return slices.Contains(c.columns, "deleted") && (!own(c.from) || !own(c.to))
}

// write writes the row by its own key, so that no other instance's is locked (migrations
// has no index that begins with the uuid). One that is not any more as in from makes it ErrChanged.
func (c rowChange) write(ctx context.Context, tx *sql.Tx) error {
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

func (c rowChange) statement() (string, []any) {
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
