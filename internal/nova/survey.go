package nova

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unique"

	"nova-orphan/internal/orphan"
)

// answerWithin is how long a cell may take to say that it is there. One that hangs must be told soon.
const answerWithin = 5 * time.Second

// What nova-manage leaves to go on from: a mapping (nova/cmd/manage.py map_instances), and an instance that was none
// (nova/objects/virtual_interface.py _set_or_delete_marker_for_migrate_instances, since Stein).
const (
	mapMarker      = "INSTANCE_MIGRATION_MARKER"
	instanceMarker = "00000000-0000-0000-0000-000000000000"
)

// Survey reads of all instances, or of those named, as much as tells which of them need a
// closer look, into a picture. A cell that cannot be read is part of the picture, and is not
// asked again by FindAll; an error means that the API database could not be read.
func (d *Databases) Survey(ctx context.Context, picture *orphan.Picture, uuids []string) error {
	err := reading(ctx, d.api, func(tx *sql.Tx) error {
		err := d.readCells(ctx, tx)
		if err != nil {
			return err
		}
		if picture.Now, err = clock(ctx, tx); err != nil {
			return err
		}
		return surveyAPI(ctx, tx, picture, uuids)
	})
	if err != nil {
		return fmt.Errorf("survey nova's API database: %w", err)
	}
	mapped := map[string][]string{} // by cell
	for uuid, mapping := range picture.Mappings {
		mapped[mapping.Cell] = append(mapped[mapping.Cell], uuid)
	}
	ids := map[*sql.DB]string{}
	for _, cell := range d.cells {
		ids[cell.db] = cell.ID
	}
	parts, cells, err := inAllCells(ctx, d, func(ctx context.Context, db *sql.DB) (part surveyedCell, err error) {
		if err = isThere(ctx, db); err != nil {
			return part, err
		}
		err = reading(ctx, db, func(tx *sql.Tx) error {
			if failed := surveyCell(ctx, tx, &part, uuids, mapped[ids[db]]); failed != nil || uuids != nil {
				return failed
			}
			return surveyQueued(ctx, d.api, tx, &part, ids[db])
		})
		return part, err
	})
	for i, cell := range cells {
		part := parts[i]
		if cell.Failure != nil {
			d.cells[i].Failure, part = cell.Failure, surveyedCell{CellPicture: orphan.CellPicture{Failure: cell.Failure.Error()}}
		}
		part.ID, part.UUID, part.Name = cell.ID, cell.UUID, cell.String()
		picture.Cells = append(picture.Cells, part.CellPicture)
		for _, uuid := range part.queued {
			picture.Mappings[uuid] = orphan.MappedTo{Cell: cell.ID, QueuedForDelete: true}
		}
	}
	return err
}

// surveyedCell is a cell in the making.
type surveyedCell struct {
	orphan.CellPicture
	there map[string]bool // has a row that is not deleted as Nova does it
	// queued are mapped to it with queued_for_delete, and not deleted as Nova does it.
	queued []string
}

func isThere(ctx context.Context, db *sql.DB) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerWithin, fmt.Errorf("no answer within %s", answerWithin))
	defer cancel()
	err := db.PingContext(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

func surveyAPI(ctx context.Context, tx *sql.Tx, picture *orphan.Picture, uuids []string) error {
	picture.Mappings, picture.BuildRequests = map[string]orphan.MappedTo{}, map[string]time.Time{}
	all := "SELECT instance_uuid, cell_id, queued_for_delete FROM instance_mappings WHERE NOT project_id <=> '" + mapMarker + "' AND "
	if uuids == nil {
		all += "NOT (" + queuedInCell + ") AND "
	}
	err := survey(ctx, tx, all, "instance_uuid", uuids,
		func(r surveyed) {
			picture.Mappings[r.uuid(0)] = orphan.MappedTo{Cell: r.word(1), QueuedForDelete: r.flag(2)}
		})
	if err != nil {
		return fmt.Errorf("instance_mappings: %w", err)
	}
	err = survey(ctx, tx, "SELECT instance_uuid, created_at FROM build_requests WHERE ", "instance_uuid", uuids,
		func(r surveyed) { picture.BuildRequests[r.uuid(0)] = r.time(1) })
	if err != nil {
		return fmt.Errorf("build_requests: %w", err)
	}
	return nil
}

// surveyCell reads one cell. mapped are the instances that the API database has in it.
func surveyCell(ctx context.Context, tx *sql.Tx, cell *surveyedCell, uuids, mapped []string) error {
	var err error
	if cell.Now, err = clock(ctx, tx); err != nil {
		return err
	}
	cell.there = map[string]bool{}
	if err = survey(ctx, tx, "SELECT uuid, id, deleted, host, node, vm_state, task_state, hidden, created_at, updated_at FROM instances"+
		" WHERE NOT deleted <=> id AND ", "uuid", uuids, func(r surveyed) {
		cell.Instances = append(cell.Instances, orphan.Instance{UUID: r.uuid(0), ID: r.number(1), Deleted: r.number(2), Host: r.word(3),
			Node: r.word(4), VMState: r.word(5), TaskState: r.word(6), Hidden: r.flag(7), Changed: later(r.time(8), r.time(9))})
		cell.there[cell.Instances[len(cell.Instances)-1].UUID] = true
	}); err != nil {
		return fmt.Errorf("instances: %w", err)
	}
	if err = surveyHosts(ctx, tx, &cell.CellPicture); err != nil {
		return err
	}
	if err = survey(ctx, tx, migrationColumns+" WHERE (deleted = 0 AND COALESCE(status, '') NOT IN ('"+
		strings.Join(orphan.DeadStatuses[:], "', '")+"') OR migration_type = 'evacuation' AND status IN ('"+
		strings.Join(leftByEvacuation, "', '")+"')) AND ", "instance_uuid", uuids, func(r surveyed) {
		cell.Migrations = append(cell.Migrations, r.migration())
	}); err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	if cell.HalfDeleted, err = halfDeleted(ctx, tx, uuids); err != nil {
		return err
	}
	cell.Gone, err = gone(ctx, tx, slices.DeleteFunc(mapped, func(uuid string) bool { return cell.there[uuid] }))
	return err
}

// gone are those that instances has no row of.
func gone(ctx context.Context, tx *sql.Tx, uuids []string) ([]string, error) {
	if len(uuids) == 0 { // nil would be all
		return nil, nil
	}
	there := map[string]bool{}
	if err := survey(ctx, tx, "SELECT uuid FROM instances WHERE ", "uuid", uuids, func(r surveyed) { there[r.uuid(0)] = true }); err != nil {
		return nil, fmt.Errorf("instances: %w", err)
	}
	return slices.DeleteFunc(uuids, func(uuid string) bool { return there[uuid] }), nil
}

// queuedInCell are the mappings of what is deleted and not archived, of which there may be many times as many as of instances.
const queuedInCell = "queued_for_delete <=> 1 AND cell_id IS NOT NULL"

// surveyQueued looks for those among them whose instance is not deleted as Nova does it, or has no row, as it reads them.
func surveyQueued(ctx context.Context, api querier, tx *sql.Tx, cell *surveyedCell, id string) error {
	var some []string
	var failed error
	look := func() {
		for _, uuid := range some {
			if cell.there[uuid] {
				cell.queued = append(cell.queued, uuid)
			}
		}
		missing, err := gone(ctx, tx, slices.DeleteFunc(some, func(uuid string) bool { return cell.there[uuid] }))
		cell.Gone, cell.queued = append(cell.Gone, missing...), append(cell.queued, missing...)
		some, failed = nil, cmp.Or(failed, err)
	}
	err := surveySome(ctx, api, "SELECT instance_uuid FROM instance_mappings WHERE "+queuedInCell+" AND NOT project_id <=> '"+mapMarker+
		"' AND cell_id = ?", []any{id}, func(r surveyed) {
		if some = append(some, r.uuid(0)); len(some) == maxNames && failed == nil {
			look()
		}
	})
	if err != nil {
		return fmt.Errorf("nova_api.instance_mappings: %w", err)
	}
	look()
	return failed
}

// nodeIdentity is the version of the compute service, of 2023.1, from which on it keeps its compute node's uuid in a file, without which it
// does not start (nova/objects/service.py NODE_IDENTITY_VERSION, nova/compute/manager.py _ensure_existing_node_identity).
const nodeIdentity = 65

func surveyHosts(ctx context.Context, tx *sql.Tx, cell *orphan.CellPicture) error {
	if err := survey(ctx, tx, "SELECT uuid, host, hypervisor_hostname, vcpus, memory_mb, local_gb, hypervisor_type FROM compute_nodes"+
		" WHERE deleted = 0 AND ", "uuid", nil, func(r surveyed) {
		cell.Nodes = append(cell.Nodes, orphan.ComputeNode{UUID: r.uuid(0), Host: r.word(1), Hypervisor: r.text(2), VCPUs: r.number(3),
			MemoryMB: r.number(4), DiskGB: r.number(5), Ironic: strings.EqualFold(r.text(6), "ironic")})
	}); err != nil {
		return fmt.Errorf("compute_nodes: %w", err)
	}
	if err := survey(ctx, tx, fmt.Sprintf("SELECT host, disabled, forced_down, last_seen_up, version >= %d FROM services", nodeIdentity)+
		" WHERE deleted = 0 AND `binary` = 'nova-compute' AND ", "uuid", nil, func(r surveyed) {
		cell.Services = append(cell.Services, orphan.ComputeService{Host: r.word(0), Disabled: r.flag(1), ForcedDown: r.flag(2),
			SeenAt: r.time(3), Identified: r.flag(4)})
	}); err != nil {
		return fmt.Errorf("services: %w", err)
	}
	return nil
}

// halfDeleted are instances with deleted = id that Nova's own deletion would have left otherwise; see Record.unfinished.
func halfDeleted(ctx context.Context, tx *sql.Tx, uuids []string) ([]string, error) {
	found := map[string]bool{}
	add := func(r surveyed) { found[r.uuid(0)] = true }
	// The time is Row.NeedsDeletedAt's.
	if err := survey(ctx, tx, "SELECT uuid FROM instances WHERE deleted = id AND (deleted_at IS NULL OR"+
		" deleted_at NOT BETWEEN '1000-01-01' AND UTC_TIMESTAMP() + INTERVAL 1 MINUTE) AND ", "uuid", uuids, add); err != nil {
		return nil, fmt.Errorf("instances: %w", err)
	}
	for _, part := range parts() {
		left := "NOT part.deleted <=> part.id"
		switch {
		case part.fate == keep:
			continue
		case part.fate == remove:
			left = "TRUE"
		case part.table == "instance_system_metadata":
			left += " AND NOT part.`key` <=> 'clean_attempts'"
		}
		if err := survey(ctx, tx, "SELECT DISTINCT i.uuid FROM "+part.table+" part JOIN instances i ON i.uuid = part."+part.key+
			" WHERE i.deleted = i.id AND "+left+" AND ", "i.uuid", uuids, add); err != nil {
			return nil, fmt.Errorf("%s: %w", part.table, err)
		}
	}
	delete(found, instanceMarker)
	return slices.Collect(maps.Keys(found)), nil
}

const migrationColumns = "SELECT uuid, id, deleted, status, instance_uuid, migration_type, source_compute, dest_compute, updated_at," +
	" created_at FROM migrations"

func (r surveyed) migration() orphan.MigrationPicture {
	m := orphan.MigrationPicture{Migration: orphan.Migration{UUID: r.uuid(0), ID: r.number(1), Deleted: r.number(2), Status: r.word(3),
		Type: r.word(5), Source: r.word(6), Destination: r.word(7), UpdatedAt: later(r.time(8), r.time(9))}, Instance: r.uuid(4)}
	if m.Type == "evacuation" && slices.Contains(leftByEvacuation, m.Status) {
		m.EvacuatedFrom = m.Source
	}
	return m
}

// MigrationsOf finds the migrations among consumers: a migration holds what its instance does not (nova/conductor/tasks/migrate.py).
func (d *Databases) MigrationsOf(ctx context.Context, consumers []string) (map[string]orphan.MigrationPicture, error) {
	return d.migrationsBy(ctx, "uuid", consumers)
}

// MigrationsOfInstances finds all migrations of instances, by the migration's uuid, also where no row of the instance is left.
func (d *Databases) MigrationsOfInstances(ctx context.Context, uuids []string) (map[string]orphan.MigrationPicture, error) {
	return d.migrationsBy(ctx, "instance_uuid", uuids)
}

func (d *Databases) migrationsBy(ctx context.Context, column string, values []string) (map[string]orphan.MigrationPicture, error) {
	if err := reading(ctx, d.api, func(tx *sql.Tx) error { return d.readCells(ctx, tx) }); err != nil {
		return nil, fmt.Errorf("read nova's cells: %w", err)
	}
	found := map[string]orphan.MigrationPicture{}
	parts, _, err := inAllCells(ctx, d, func(ctx context.Context, db *sql.DB) (part []orphan.MigrationPicture, err error) {
		err = reading(ctx, db, func(tx *sql.Tx) error {
			return survey(ctx, tx, migrationColumns+" WHERE ", column, values, func(r surveyed) { part = append(part, r.migration()) })
		})
		return part, err
	})
	for _, part := range parts {
		for _, migration := range part {
			found[migration.UUID] = migration
		}
	}
	return found, err
}

// survey reads rows, of all or of those whose column has one of the values; query ends in WHERE or AND.
func survey(ctx context.Context, q querier, query, column string, values []string, take func(surveyed)) error {
	if values == nil {
		return surveySome(ctx, q, query+"TRUE", nil, take)
	}
	for some := range slices.Chunk(values, maxNames) {
		args := make([]any, len(some))
		for i, value := range some {
			args[i] = value
		}
		if err := surveySome(ctx, q, query+column+" IN (?"+strings.Repeat(", ?", len(some)-1)+")", args, take); err != nil {
			return err
		}
	}
	return nil
}

func surveySome(ctx context.Context, q querier, query string, args []any, take func(surveyed)) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	row, into := make(surveyed, len(columns)), make([]any, len(columns))
	for i := range row {
		into[i] = &row[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		take(row)
	}
	return rows.Err()
}

// surveyed is a row that is read over the next: whatever is kept of it is copied.
type surveyed []sql.RawBytes

func (r surveyed) text(column int) string { return string(r[column]) }

// uuid is as Nova writes them, whatever the row has: the database compares without regard to case.
func (r surveyed) uuid(column int) string { return strings.ToLower(r.text(column)) }

// word is a text that many rows have: a host, a state.
func (r surveyed) word(column int) string { return unique.Make(string(r[column])).Value() }

func (r surveyed) flag(column int) bool { return r.number(column) != 0 }

func (r surveyed) number(column int) int64 { return Row{"": {Text: r.text(column)}}.number("") }

func (r surveyed) time(column int) time.Time { return Row{"": {Text: r.text(column)}}.time("") }

// Name is what its owner calls the instance, "" where no row tells.
func (f Finding) Name() string { return f.column("display_name") }

// Project is the id of the project that owns the instance, "" where no row tells.
func (f Finding) Project() string { return f.column("project_id") }

func (f Finding) column(name string) string {
	for _, cell := range f.Cells {
		if text := cell.row().text(name); text != "" {
			return text
		}
	}
	for _, table := range apiTables {
		for _, row := range f.API[table].Rows {
			if text := row.text(name); text != "" {
				return text
			}
		}
	}
	return ""
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
