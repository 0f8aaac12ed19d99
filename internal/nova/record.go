package nova

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Value is a column's value as the database writes it.
type Value struct {
	Text string
	Null bool
}

// MarshalJSON writes null, the text, or {"hex": ...} where the text is no UTF-8.
func (v Value) MarshalJSON() ([]byte, error) {
	switch {
	case v.Null:
		return []byte("null"), nil
	case !utf8.ValidString(v.Text):
		return json.Marshal(map[string]string{"hex": hex.EncodeToString([]byte(v.Text))})
	}
	return json.Marshal(v.Text)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (v *Value) UnmarshalJSON(data []byte) error {
	var text *string
	if err := json.Unmarshal(data, &text); err == nil {
		if v.Null = text == nil; !v.Null {
			v.Text = *text
		}
		return nil
	}
	var encoded struct {
		Hex *string `json:"hex"`
	}
	if err := json.Unmarshal(data, &encoded); err != nil || encoded.Hex == nil {
		return errors.New("a column's value is neither null, nor a text, nor {\"hex\": ...}")
	}
	decoded, err := hex.DecodeString(*encoded.Hex)
	if err != nil {
		return fmt.Errorf("decode a column's value: %w", err)
	}
	v.Text = string(decoded)
	return nil
}

// Row is a row by column.
type Row map[string]Value

// Table is what a table says about an instance.
type Table struct {
	Types map[string]string `json:"types"` // the columns' types
	Rows  []Row             `json:"rows"`
}

// Record is an instance's rows by table.
type Record map[string]Table

func (r Row) text(column string) string { return r[column].Text }

func (r Row) flag(column string) bool { return r.number(column) != 0 }

func (r Row) number(column string) int64 {
	number, err := strconv.ParseInt(r[column].Text, 10, 64)
	if err != nil {
		return 0
	}
	return number
}

// time is zero for NULL and for what is no date, such as 0000-00-00.
func (r Row) time(column string) time.Time {
	at, err := time.Parse(time.DateTime, r[column].Text)
	if err != nil {
		return time.Time{}
	}
	return at
}

// onDelete is what a deletion makes of a table's rows.
type onDelete int

const (
	softDelete onDelete = iota // deleted = id
	remove                     // the table has no column "deleted"
	keep
)

type childTable struct {
	table, key string
	fate       onDelete
	// since is the release that brought the table, where not all supported ones have it.
	since string
}

// parts are the tables of an instance's record beside instances, in the order
// and with the fates of instance_destroy (nova/db/main/api.py). What is kept is read to
// notice a change. share_mapping is kept since nova-compute finds by it what it unmounts
// when it reaps the domain (nova/compute/manager.py _shutdown_instance, from 2025.1 on);
// see Deletion.ShareMappings.
func parts() []childTable {
	return []childTable{
		{table: "security_group_instance_association", key: "instance_uuid"},
		{table: "instance_info_caches", key: "instance_uuid"},
		{table: "instance_metadata", key: "instance_uuid"},
		{table: "instance_faults", key: "instance_uuid"},
		{table: "instance_extra", key: "instance_uuid"},
		{table: "instance_system_metadata", key: "instance_uuid"},
		{table: "block_device_mapping", key: "instance_uuid"},
		{table: "migrations", key: "instance_uuid"},
		{table: "virtual_interfaces", key: "instance_uuid"},
		{table: "instance_id_mappings", key: "uuid"},
		{table: "tags", key: "resource_id", fate: remove},
		{table: "console_auth_tokens", key: "instance_uuid", fate: remove},
		{table: "share_mapping", key: "instance_uuid", fate: keep, since: "2024.1"},
		{table: "instance_actions", key: "instance_uuid", fate: keep},
		{table: "pci_devices", key: "instance_uuid", fate: keep},
	}
}

// apiTables are those of the API database that a deletion changes, in its order; archivedTables are those that only
// archiving empties, with the mapping (nova/cmd/manage.py _do_archive).
var (
	apiTables      = []string{"instance_mappings", "build_requests"}
	archivedTables = []string{"request_specs", "instance_group_member"}
)

// readAPI reads the rows of instances in tables of the API database; with the suffix FOR UPDATE it locks them.
func readAPI(ctx context.Context, q querier, tables, uuids []string, suffix string) (map[string]Record, error) {
	records := map[string]Record{}
	for _, table := range tables {
		rows, err := amongst(ctx, q, "SELECT * FROM "+table+" WHERE instance_uuid", uuids, suffix)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", table, err)
		}
		for _, uuid := range uuids {
			if records[uuid] == nil {
				records[uuid] = Record{}
			}
			records[uuid][table] = rows.of("instance_uuid", uuid)
		}
	}
	return records, nil
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// readRecords reads all rows of those instances that have one in instances, with prefix
// "shadow_" the archived ones; with rowless also of those that have none.
func readRecords(ctx context.Context, q querier, prefix string, uuids []string, rowless bool) (map[string]Record, error) {
	records := map[string]Record{}
	for _, part := range append([]childTable{{table: "instances", key: "uuid"}}, parts()...) {
		// Archiving deletes what it has no shadow table for, or leaves it (manage.py archive_deleted_rows).
		optional := part.since != "" || prefix != "" && part.fate != softDelete
		table, err := amongst(ctx, q, "SELECT * FROM "+prefix+part.table+" WHERE "+part.key, uuids, "")
		if optional && hasNumber(err, errNoSuchTable) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", prefix+part.table, instances(uuids), err)
		}
		if part.table == "instances" && !rowless {
			uuids = slices.DeleteFunc(slices.Clone(uuids), func(uuid string) bool { return len(table.of(part.key, uuid).Rows) == 0 })
		}
		for _, uuid := range uuids {
			if records[uuid] == nil {
				records[uuid] = Record{}
			}
			records[uuid][part.table] = table.of(part.key, uuid)
		}
	}
	return records, nil
}

func (r Record) empty() bool {
	for _, table := range r {
		if len(table.Rows) > 0 {
			return false
		}
	}
	return true
}

// emptied is the record without a row.
func (r Record) emptied() Record {
	target := Record{}
	for name, table := range r {
		target[name] = Table{table.Types, []Row{}}
	}
	return target
}

// maxNames bounds the values of one IN.
const maxNames = 1000

// amongst reads the rows in which the column at the end of the query has one of the values.
func amongst(ctx context.Context, q querier, query string, values []string, suffix string) (all Table, _ error) {
	for some := range slices.Chunk(values, maxNames) {
		args := make([]any, len(some))
		for i, value := range some {
			args[i] = value
		}
		table, err := readTable(ctx, q, query+" IN (?"+strings.Repeat(", ?", len(some)-1)+")"+suffix, args...)
		if err != nil {
			return Table{}, err
		}
		all = Table{table.Types, append(all.Rows, table.Rows...)}
	}
	return all, nil
}

// of are the rows in which a column has this value, as the columns' collation compares; NULL is none.
func (t Table) of(column, value string) Table {
	rows := []Row{}
	for _, row := range t.Rows {
		if !row[column].Null && strings.EqualFold(strings.TrimRight(row.text(column), " "), value) {
			rows = append(rows, row)
		}
	}
	return Table{t.Types, rows}
}

func readTable(ctx context.Context, q querier, query string, args ...any) (Table, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return Table{}, err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return Table{}, err
	}
	table := Table{Types: map[string]string{}, Rows: []Row{}}
	for _, column := range types {
		table.Types[column.Name()] = column.DatabaseTypeName()
	}
	for rows.Next() {
		values := make([]sql.NullString, len(types))
		into := make([]any, len(types))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return Table{}, err
		}
		row := Row{}
		for i, value := range values {
			row[types[i].Name()] = Value{Text: value.String, Null: !value.Valid}
		}
		table.Rows = append(table.Rows, row)
	}
	// One order for every reading, so that two of them can be compared.
	slices.SortStableFunc(table.Rows, func(a, b Row) int { return cmp.Compare(a.number("id"), b.number("id")) })
	return table, rows.Err()
}

// differences names what is not the same in two records of an instance, as
// table.column where one row can be compared with the other.
func differences(before, after Record) (different []string) {
	for _, table := range slices.Sorted(maps.Keys(before)) {
		old, current := before[table].Rows, after[table].Rows
		if len(old) != len(current) {
			different = append(different, fmt.Sprintf("%s has %d rows instead of %d", table, len(current), len(old)))
			continue
		}
		for i := range old {
			for _, column := range slices.Sorted(maps.Keys(old[i])) {
				if was, is := old[i][column], current[i][column]; was != is {
					different = append(different, fmt.Sprintf("%s.%s", table, column))
				}
			}
		}
	}
	return different
}

// deleted says that the row is soft-deleted as Nova does it.
func (r Row) deleted() bool { return r.number("deleted") == r.number("id") }

// isCleanAttempts says that a row of the record is a live one that nova-compute itself
// adds to a deleted instance: when it reaps the domain it notes in
// instance_system_metadata how often it tried to remove the files
// (nova/virt/libvirt/driver.py cleanup). It stays live until the instance is archived.
func (r Record) isCleanAttempts(row Row) bool {
	instances := r["instances"].Rows
	return row.text("key") == "clean_attempts" && len(instances) == 1 && instances[0].deleted()
}

// unfinished counts the rows that a deletion still has to change, by table; the
// instance's own row is not among them.
func (r Record) unfinished() map[string]int {
	counts := Change{Current: r, Target: r.softDeleted(time.Time{})}.Rows()
	delete(counts, "instances")
	return counts
}

// with is the row with other values in some columns.
func (r Row) with(values Row) Row {
	row := maps.Clone(r)
	maps.Copy(row, values)
	return row
}

// String is the value in a message.
func (v Value) String() string {
	if v.Null {
		return "NULL"
	}
	return fmt.Sprintf("%q", v.Text)
}
