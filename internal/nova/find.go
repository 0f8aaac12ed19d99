package nova

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"nova-orphan/internal/ansible"
)

// Databases are Nova's databases: the API database, and the cells' as its
// cell_mappings name them.
type Databases struct {
	access   Access
	readOnly bool
	api      *sql.DB

	once  sync.Mutex // guards what all instances have in common
	cells []Cell
}

// Open prepares the access; it does not connect yet. With readOnly no
// connection can write.
func Open(access Access, readOnly bool) (*Databases, error) {
	api, err := open(access.api, readOnly)
	if err != nil {
		return nil, fmt.Errorf("open the API database: %w", err)
	}
	return &Databases{access: access, readOnly: readOnly, api: api}, nil
}

// Close closes all connections.
func (d *Databases) Close() error {
	err := d.api.Close()
	for _, cell := range d.cells {
		if cell.db != nil {
			err = errors.Join(err, cell.db.Close())
		}
	}
	return err
}

// Finding is what all of Nova's databases say about one instance.
type Finding struct {
	UUID string
	// API has the rows of instance_mappings and build_requests, and where no cell has a row of the instance those of
	// request_specs and instance_group_member.
	API Record
	// MappedCell is the cell_id of the mapping, as text.
	MappedCell Value
	Cells      []Cell
	// RequestSpec says whether request_specs has a row, which only archiving removes.
	RequestSpec bool
	Now         time.Time // the API database's clock, UTC
}

// Cell is a cell, and what its database says about the instance.
type Cell struct {
	ID, UUID, Name string
	// Failure is why the cell could not be read.
	Failure error
	Now     time.Time // the database's clock, UTC
	// Record is nil where the cell does not know the instance.
	Record Record
	// Archived says that Record is from the shadow tables.
	Archived bool
	// Left are the rows that the cell has beside no row in instances: by SQL that did not heed foreign keys, or because
	// archiving takes only what has such a key (nova/db/main/api.py _archive_deleted_rows_for_table).
	Left Record
	// ComputeNode is the row of compute_nodes for the instance's host and node, nil
	// if there is none. A deleted one counts where no live one is left: Placement may
	// still have its resource provider.
	ComputeNode Row
	// Hosts are the instance's own host, and then those that its migrations name.
	Hosts []Host

	db *sql.DB
}

func (c Cell) String() string {
	if c.Name == "" {
		return "cell " + c.UUID
	}
	return c.Name
}

// Find reads everything about one instance; see FindAll.
func (d *Databases) Find(ctx context.Context, uuid string) (Finding, error) {
	findings, err := d.FindAll(ctx, []string{uuid})
	if err != nil {
		return Finding{UUID: uuid}, err
	}
	return findings[uuid], nil
}

// FindAll reads everything about instances, in as many queries as for one. A cell that
// cannot be read is part of the findings; an error means that the API database could not
// be read, or is a panic.
func (d *Databases) FindAll(ctx context.Context, uuids []string) (map[string]Finding, error) {
	findings, about := map[string]Finding{}, instances(uuids)
	err := reading(ctx, d.api, func(tx *sql.Tx) error {
		if err := d.readCells(ctx, tx); err != nil {
			return err
		}
		records, err := readAPI(ctx, tx, apiTables, uuids, "")
		if err != nil {
			return err
		}
		now, err := clock(ctx, tx)
		if err != nil {
			return err
		}
		specs, err := amongst(ctx, tx, "SELECT id, instance_uuid FROM request_specs WHERE instance_uuid", uuids, "")
		for _, uuid := range uuids {
			finding := Finding{UUID: uuid, API: records[uuid], MappedCell: Value{Null: true}, Now: now,
				RequestSpec: len(specs.of("instance_uuid", uuid).Rows) > 0}
			if rows := finding.API["instance_mappings"].Rows; len(rows) > 0 {
				finding.MappedCell = rows[0]["cell_id"]
			}
			findings[uuid] = finding
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read nova's API database about %s: %w", about, err)
	}
	read := func(archived bool) error {
		parts, cells, err := inAllCells(ctx, d, func(ctx context.Context, db *sql.DB) (part cellPart, err error) {
			err = reading(ctx, db, func(tx *sql.Tx) error { return part.read(ctx, tx, archived, uuids) })
			return part, err
		})
		for _, uuid := range uuids {
			finding := findings[uuid]
			finding.Cells = make([]Cell, len(cells))
			for i, cell := range cells {
				cell.Now, cell.Left = parts[i].now, parts[i].left[uuid]
				if known := parts[i].known[uuid]; known != nil {
					cell.Record, cell.Archived, cell.ComputeNode, cell.Hosts = known.Record, known.Archived, known.ComputeNode, known.Hosts
				}
				finding.Cells[i] = cell
			}
			findings[uuid] = finding
		}
		return err
	}
	if err := read(false); err != nil {
		return nil, fmt.Errorf("read the cells about %s: %w", about, err)
	}
	// Shadow tables and migrations have no index on the uuid, so that they are searched only when they must be. What only
	// archiving removes is read as late.
	uuids = slices.DeleteFunc(slices.Clone(uuids), func(uuid string) bool {
		return slices.ContainsFunc(findings[uuid].Cells, func(cell Cell) bool { return cell.Record != nil || cell.Failure != nil })
	})
	if len(uuids) == 0 {
		return findings, nil
	}
	if err := read(true); err != nil {
		return nil, fmt.Errorf("read the cells' shadow tables about %s: %w", about, err)
	}
	if err := d.readArchived(ctx, uuids, findings); err != nil {
		return nil, fmt.Errorf("read nova's API database about %s: %w", about, err)
	}
	return findings, nil
}

// readArchived adds what only archiving takes from the API database.
func (d *Databases) readArchived(ctx context.Context, uuids []string, findings map[string]Finding) error {
	return reading(ctx, d.api, func(tx *sql.Tx) error {
		records, err := readAPI(ctx, tx, archivedTables, uuids, "")
		for uuid, record := range records {
			maps.Copy(findings[uuid].API, record)
		}
		return err
	})
}

// instances names one, or says how many.
func instances(uuids []string) string {
	if len(uuids) == 1 {
		return "instance " + uuids[0]
	}
	return fmt.Sprintf("%d instances", len(uuids))
}

// readCells reads the cell mappings, once.
func (d *Databases) readCells(ctx context.Context, tx *sql.Tx) error {
	d.once.Lock()
	defer d.once.Unlock()
	if d.cells != nil {
		return nil
	}
	mappings, err := readTable(ctx, tx, "SELECT id, uuid, name, database_connection FROM cell_mappings")
	if err != nil {
		return fmt.Errorf("cell_mappings: %w", err)
	}
	for _, row := range mappings.Rows {
		cell := Cell{UUID: row.text("uuid"), Name: row.text("name"), ID: row.text("id")}
		config, err := d.access.cell(row.text("database_connection"))
		if err == nil {
			cell.db, err = open(config, d.readOnly)
		}
		cell.Failure = err
		d.cells = append(d.cells, cell)
	}
	return nil
}

// maxCells bounds the cells that are read at the same time.
const maxCells = 8

// inAllCells gives what read answers of each cell, and the cells with its failures. A cell
// has half of the time that is left: one that hangs must be told as such, by name, and not
// as a module that came to no end. The error is a panic of read.
func inAllCells[T any](ctx context.Context, d *Databases, read func(context.Context, *sql.DB) (T, error)) ([]T, []Cell, error) {
	if deadline, ok := ctx.Deadline(); ok {
		limit := time.Until(deadline) / 2
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit.Round(100*time.Millisecond)))
		defer cancel()
	}
	cells, answers := slices.Clone(d.cells), make([]T, len(d.cells))
	var running []<-chan ansible.Outcome[struct{}]
	slots := make(chan struct{}, maxCells)
	for i := range cells {
		cell := &cells[i]
		if cell.Failure != nil {
			continue
		}
		running = append(running, ansible.Go(func() (done struct{}, _ error) {
			slots <- struct{}{}
			defer func() { <-slots }()
			answers[i], cell.Failure = read(ctx, cell.db)
			if cause := context.Cause(ctx); cell.Failure != nil && cause != nil {
				cell.Failure = fmt.Errorf("%w: %w", cause, cell.Failure)
			}
			return done, nil
		}))
	}
	var panics []error
	for _, outcome := range running {
		panics = append(panics, (<-outcome).Err)
	}
	return answers, cells, errors.Join(panics...)
}

// cellPart is what a cell has of some instances, by uuid.
type cellPart struct {
	now   time.Time
	known map[string]*Cell
	left  map[string]Record
}

// clock is the database's own, in UTC.
func clock(ctx context.Context, q querier) (time.Time, error) {
	answer, err := readTable(ctx, q, "SELECT UTC_TIMESTAMP() AS now")
	if err != nil {
		return time.Time{}, err
	}
	if len(answer.Rows) != 1 || answer.Rows[0].time("now").IsZero() {
		return time.Time{}, errors.New("the database did not tell its time")
	}
	return answer.Rows[0].time("now"), nil
}

func (p *cellPart) read(ctx context.Context, tx *sql.Tx, archived bool, uuids []string) error {
	var err error
	if p.now, err = clock(ctx, tx); err != nil {
		return fmt.Errorf("look for the instances: %w", err)
	}
	prefix := map[bool]string{true: "shadow_"}[archived]
	records, err := readRecords(ctx, tx, prefix, uuids, false)
	if err != nil {
		return err
	}
	p.known, p.left = map[string]*Cell{}, map[string]Record{}
	for uuid, record := range records {
		p.known[uuid] = &Cell{Record: record, Archived: archived}
	}
	if archived {
		left, err := readRecords(ctx, tx, "", uuids, true)
		if err != nil {
			return err
		}
		for uuid, record := range left {
			if len(record["instances"].Rows) > 0 { // it has come since the first look
				p.known[uuid] = &Cell{Record: record}
			} else if !record.empty() {
				p.left[uuid] = record
			}
		}
	}
	return readHosts(ctx, tx, p.known, archived)
}

// Cell returns the cell whose instances table has the instance, nil if there is
// none, or more than one.
func (f Finding) Cell() *Cell {
	var found *Cell
	for i := range f.Cells {
		switch {
		case !f.Cells[i].hasRow():
		case found != nil:
			return nil
		default:
			found = &f.Cells[i]
		}
	}
	return found
}

// hasRow says that the instance has a row in instances, and not only an archived one.
func (c Cell) hasRow() bool { return c.row() != nil && !c.Archived }

// record is nil where there is no cell.
func (c *Cell) record() Record {
	if c == nil {
		return nil
	}
	return c.Record
}

// row is the instance's own row, nil if the cell does not have it.
func (c Cell) row() Row {
	if rows := c.Record["instances"].Rows; len(rows) > 0 {
		return rows[0]
	}
	return nil
}
