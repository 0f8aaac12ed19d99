package nova

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Activity is what Nova's databases have of a host, and of some consumers of its
// resource providers, which may be instances or migrations.
type Activity struct {
	// BuildRequests are those of the consumers that have a row of build_requests.
	BuildRequests []string
	// Instances are the live rows of the host, and all rows of the consumers.
	Instances []Worked
	// Migrations are the live rows that name the host, and all rows of the consumers.
	Migrations []Move
	// Archived are those of the consumers that have a row of shadow_instances.
	Archived []string
	// Unreadable are the live rows of the host that nova-compute cannot read.
	Unreadable []Unreadable
}

// Unreadable is an instance of which What is gone or is no JSON.
type Unreadable struct{ UUID, What string }

// Worked is an instance's row, as far as it tells whether somebody works on it. What
// is NULL is empty.
type Worked struct {
	UUID, Host, VMState, TaskState string
	Deleted                        bool
	WrittenAt                      time.Time
	// UpdatedAt is the column, as Instance has it.
	UpdatedAt string
}

// Move is a row of migrations.
type Move struct {
	UUID, Instance, Type, Status string
	Source, Dest                 string
	// Over says that nothing is done for it: it is dead, deleted, or waits for a user.
	Over      bool
	WrittenAt time.Time
	// Age is by the database's clock.
	Age time.Duration
}

// Providers are the uuids of the host's compute nodes in all cells, which are those
// of their resource providers in Placement.
func (d *Databases) Providers(ctx context.Context, host string) ([]string, error) {
	if err := reading(ctx, d.api, func(tx *sql.Tx) error { return d.readCells(ctx, tx) }); err != nil {
		return nil, fmt.Errorf("read nova's API database: %w", err)
	}
	found, cells, err := inAllCells(ctx, d, func(ctx context.Context, db *sql.DB) ([]string, error) {
		var nodes Table
		err := reading(ctx, db, func(tx *sql.Tx) (err error) {
			nodes, err = readTable(ctx, tx, "SELECT id, uuid FROM compute_nodes WHERE host = ? AND deleted = 0 AND uuid IS NOT NULL", host)
			return err
		})
		if err != nil {
			err = fmt.Errorf("read compute_nodes of host %s: %w", host, err)
		}
		return nodes.texts("uuid"), err
	})
	return slices.Concat(found...), errors.Join(err, unread(cells))
}

// Activity reads the API database before the cells: a build has its build request or
// its row at any time, since conductor writes the row before it deletes the request
// (nova/conductor/manager.py schedule_and_build_instances).
func (d *Databases) Activity(ctx context.Context, host string, consumers []string) (Activity, error) {
	var activity Activity
	err := reading(ctx, d.api, func(tx *sql.Tx) error {
		if err := d.readCells(ctx, tx); err != nil {
			return err
		}
		requests, err := amongst(ctx, tx, "SELECT instance_uuid FROM build_requests WHERE instance_uuid", consumers, "")
		activity.BuildRequests = requests.texts("instance_uuid")
		return err
	})
	if err != nil {
		return activity, fmt.Errorf("read nova's API database about builds: %w", err)
	}
	parts, cells, err := inAllCells(ctx, d, func(ctx context.Context, db *sql.DB) (part Activity, err error) {
		err = reading(ctx, db, func(tx *sql.Tx) (err error) {
			part, err = readActivity(ctx, tx, host, consumers)
			return err
		})
		return part, err
	})
	for _, part := range parts {
		activity.Instances = append(activity.Instances, part.Instances...)
		activity.Migrations = append(activity.Migrations, part.Migrations...)
		activity.Archived = append(activity.Archived, part.Archived...)
		activity.Unreadable = append(activity.Unreadable, part.Unreadable...)
	}
	return activity, errors.Join(err, unread(cells))
}

func readActivity(ctx context.Context, tx *sql.Tx, host string, consumers []string) (activity Activity, err error) {
	const instances = "SELECT id, uuid, host, vm_state, task_state, deleted, created_at, updated_at FROM instances WHERE "
	const migrations = "SELECT id, uuid, instance_uuid, migration_type, status, source_compute, dest_compute, deleted, created_at, " +
		"updated_at, UTC_TIMESTAMP() AS now FROM migrations WHERE "
	onHost, err := readTable(ctx, tx, instances+"host = ? AND deleted = 0", host)
	if err != nil {
		return activity, fmt.Errorf("read instances of host %s: %w", host, err)
	}
	asked, err := amongst(ctx, tx, instances+"uuid", consumers, "")
	if err != nil {
		return activity, fmt.Errorf("read instances of consumers: %w", err)
	}
	for _, row := range once(onHost.Rows, asked.Rows) {
		activity.Instances = append(activity.Instances, row.worked())
	}
	if activity.Unreadable, err = readUnreadable(ctx, tx, host); err != nil {
		return activity, fmt.Errorf("read what nova-compute reads of host %s: %w", host, err)
	}
	ofHost, err := readTable(ctx, tx, migrations+"deleted = 0 AND (source_compute = ? OR dest_compute = ?)", host, host)
	if err != nil {
		return activity, fmt.Errorf("read migrations of host %s: %w", host, err)
	}
	if asked, err = amongst(ctx, tx, migrations+"uuid", consumers, ""); err != nil {
		return activity, fmt.Errorf("read migrations of consumers: %w", err)
	}
	for _, row := range once(ofHost.Rows, asked.Rows) {
		activity.Migrations = append(activity.Migrations, row.move())
	}
	// Shadow tables have no index on the uuid, so that they are searched only when they must be.
	archived, err := amongst(ctx, tx, "SELECT id, uuid FROM shadow_instances WHERE uuid", activity.strangers(consumers), "")
	activity.Archived = archived.texts("uuid")
	return activity, err
}

// readUnreadable reads what nova-compute's start reads of each instance of its host, and ends by where it cannot (nova/compute/manager.py
// init_host, _validate_vtpm_configuration; nova/objects/instance.py _from_db_object).
func readUnreadable(ctx context.Context, tx *sql.Tx, host string) (found []Unreadable, err error) {
	rows, err := readTable(ctx, tx, "SELECT i.id, i.uuid, CASE WHEN e.id IS NULL THEN 'instance_extra' "+
		"WHEN COALESCE(JSON_VALID(e.flavor), 0) = 0 OR JSON_EXTRACT(e.flavor, '$.cur') IS NULL THEN 'instance_extra.flavor' "+
		"WHEN e.numa_topology <> '' AND NOT JSON_VALID(e.numa_topology) THEN 'instance_extra.numa_topology' "+
		"WHEN c.network_info <> '' AND NOT JSON_VALID(c.network_info) THEN 'instance_info_caches.network_info' END AS what "+
		"FROM instances i LEFT JOIN instance_extra e ON e.instance_uuid = i.uuid AND e.deleted = 0 "+
		"LEFT JOIN instance_info_caches c ON c.instance_uuid = i.uuid AND c.deleted = 0 "+
		"WHERE i.host = ? AND i.deleted = 0 HAVING what IS NOT NULL", host)
	for _, row := range rows.Rows {
		found = append(found, Unreadable{row.text("uuid"), row.text("what")})
	}
	return found, err
}

// strangers are the consumers of which the cell has neither an instance nor a migration.
func (a Activity) strangers(consumers []string) []string {
	return slices.DeleteFunc(slices.Clone(consumers), func(uuid string) bool {
		return slices.ContainsFunc(a.Instances, func(w Worked) bool { return w.UUID == uuid }) ||
			slices.ContainsFunc(a.Migrations, func(m Move) bool { return m.UUID == uuid })
	})
}

func (r Row) worked() Worked {
	return Worked{
		UUID: r.text("uuid"), Host: r.text("host"), VMState: r.text("vm_state"), TaskState: r.text("task_state"),
		Deleted: r.number("deleted") != 0, WrittenAt: r.written(), UpdatedAt: r.iso("updated_at"),
	}
}

func (r Row) move() Move {
	state := judged(r)
	return Move{
		UUID: state.UUID, Instance: r.text("instance_uuid"), Type: r.text("migration_type"), Status: state.Status,
		Source: r.text("source_compute"), Dest: r.text("dest_compute"),
		// A resize that is "finished" waits for its confirmation, which no restart harms.
		Over:      state.Dead() || state.Deleted != 0 || state.Status == "finished",
		WrittenAt: r.written(), Age: r.time("now").Sub(r.written()),
	}
}

// written is the row's last time, zero if it has none.
func (r Row) written() time.Time {
	if at := r.time("updated_at"); !at.IsZero() {
		return at
	}
	return r.time("created_at")
}

// once leaves out the rows of more that are in rows, by their id.
func once(rows, more []Row) []Row {
	known := byKey(rows)
	return append(rows, slices.DeleteFunc(more, func(row Row) bool { return known[row.key()] != nil })...)
}

// texts are the values of a column.
func (t Table) texts(column string) (values []string) {
	for _, row := range t.Rows {
		values = append(values, row.text(column))
	}
	return values
}

// unread is an error that names every cell that could not be read.
func unread(cells []Cell) error {
	if len(cells) == 0 {
		return errors.New("cell_mappings has no rows: without a cell there is nothing to read")
	}
	var err error
	for _, cell := range cells {
		switch {
		case cell.Failure == nil:
		case err == nil:
			err = fmt.Errorf("%s could not be read: %w", cell, cell.Failure)
		default:
			err = fmt.Errorf("%w; %s could not be read: %w", err, cell, cell.Failure)
		}
	}
	return err
}
