package nova

import (
	"fmt"
	"maps"
	"slices"
)

// comparison is of one table.
type comparison struct {
	name      string
	tolerated []string
	// foreign says that a row which was not saved may go again.
	foreign func(Row) bool
	// mayGo says what it means that a row is gone, "" if that is a conflict; nil is always one.
	mayGo     func(Row) string
	conflicts []string
	notes     []string
}

// target is the table as it was saved; what must not be made so is a conflict.
func (c *comparison) target(saved, left, current Table) Table {
	now, purged := byKey(current.Rows), byKey(left.Rows)
	for _, column := range slices.Sorted(maps.Keys(saved.Types)) {
		if _, found := current.Types[column]; !found {
			c.add("column %s is gone since", column)
		}
	}
	known := map[string]bool{}
	rows := []Row{}
	for _, row := range saved.Rows {
		known[row.key()] = true
		if meaning := c.meaning(row); meaning != "" && now[row.key()] == nil {
			c.notes = append(c.notes, c.name+": "+meaning)
			continue
		}
		rows = append(rows, row)
		c.compare(row, purged[row.key()], now[row.key()])
	}
	for _, row := range current.Rows {
		if !known[row.key()] && !c.foreign(row) {
			c.add("row %s was added since", row.key())
		}
	}
	return Table{current.Types, rows}
}

func (c *comparison) meaning(row Row) string {
	if c.mayGo == nil {
		return ""
	}
	return c.mayGo(row)
}

func (c *comparison) compare(saved, left, current Row) {
	if current == nil {
		if left != nil {
			c.add("row %s is gone since", saved.key())
		}
		return
	}
	if len(unequal(current, saved)) == 0 {
		return
	}
	for _, column := range unequal(current, left.orElse(saved)) {
		switch {
		case slices.Contains(c.tolerated, column):
		case column == "deleted_at":
			c.add("row %s: deleted_at = %s, the purge wrote %s: another run deleted it, or Nova: restore what that run saved",
				saved.key(), current[column], left.orElse(saved)[column])
		case loggable(column):
			c.add("row %s: %s = %s, the purge left %s", saved.key(), column, current[column], left.orElse(saved)[column])
		default:
			c.add("row %s: %s changed since", saved.key(), column)
		}
	}
}

// loggable columns are quoted; others may hold what is nobody's business, such as user_data.
func loggable(column string) bool {
	switch column {
	case "deleted", "vm_state", "task_state", "power_state", "host", "node", "hidden", "status", "cell_id", "queued_for_delete":
		return true
	}
	return false
}

func (c *comparison) add(format string, values ...any) {
	c.conflicts = append(c.conflicts, c.name+": "+fmt.Sprintf(format, values...))
}

func (r Row) orElse(other Row) Row {
	if r == nil {
		return other
	}
	return r
}

// String is the value in a message.
func (v Value) String() string {
	if v.Null {
		return "NULL"
	}
	return fmt.Sprintf("%q", v.Text)
}
