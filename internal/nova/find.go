package nova

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
	// API has the rows of instance_mappings and build_requests.
	API Record
	// MappedCell is the cell_id of the mapping, as text.
	MappedCell Value
	Cells      []Cell
	// RequestSpec says whether request_specs has a row, which only archiving removes.
	RequestSpec bool
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
	// Migrations are the rows of migrations that the cell has without a row of the instance.
	Migrations []Row
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

// Find reads everything about an instance. A cell that cannot be read is part
// of the finding; an error means that the API database could not be read, or is a panic.
func (d *Databases) Find(ctx context.Context, uuid string) (Finding, error) {
	finding := Finding{UUID: uuid}
	err := reading(ctx, d.api, func(tx *sql.Tx) error {
		err := d.readCells(ctx, tx)
		if err == nil {
			finding.API, err = readAPI(ctx, tx, uuid, "")
		}
		if err != nil {
			return err
		}
		specs, err := readTable(ctx, tx, "SELECT id FROM request_specs WHERE instance_uuid = ?", uuid)
		finding.RequestSpec = len(specs.Rows) > 0
		return err
	})
	if err != nil {
		return finding, fmt.Errorf("read nova's API database about instance %s: %w", uuid, err)
	}
	finding.MappedCell = Value{Null: true}
	if rows := finding.API["instance_mappings"].Rows; len(rows) > 0 {
		finding.MappedCell = rows[0]["cell_id"]
	}
	finding.Cells, err = d.inAllCells(ctx, func(ctx context.Context, cell *Cell) error { return cell.read(ctx, uuid) })
	if err != nil {
		return finding, fmt.Errorf("read the cells about instance %s: %w", uuid, err)
	}
	if slices.ContainsFunc(finding.Cells, func(cell Cell) bool { return cell.Record != nil || cell.Failure != nil }) {
		return finding, nil
	}
	// Shadow tables and migrations have no index on the uuid, so that they are searched only when they must be.
	finding.Cells, err = d.inAllCells(ctx, func(ctx context.Context, cell *Cell) error { return cell.readArchive(ctx, uuid) })
	if err != nil {
		return finding, fmt.Errorf("read the cells' shadow tables about instance %s: %w", uuid, err)
	}
	return finding, nil
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

// inAllCells returns the cells as read leaves them. A cell has half of the time
// that is left: one that hangs must be told as such, by name, and not as a module
// that came to no end. The error is a panic of read.
func (d *Databases) inAllCells(ctx context.Context, read func(context.Context, *Cell) error) ([]Cell, error) {
	if deadline, ok := ctx.Deadline(); ok {
		limit := time.Until(deadline) / 2
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", limit.Round(100*time.Millisecond)))
		defer cancel()
	}
	cells := append([]Cell(nil), d.cells...)
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
			cell.Failure = read(ctx, cell)
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
	return cells, errors.Join(panics...)
}

func (c *Cell) read(ctx context.Context, uuid string) error {
	return reading(ctx, c.db, func(tx *sql.Tx) error {
		found, err := c.look(ctx, tx, "instances", uuid)
		if err != nil || !found {
			return err
		}
		if c.Record, err = readRecord(ctx, tx, "", uuid); err != nil {
			return err
		}
		return c.readHosts(ctx, tx)
	})
}

func (c *Cell) readArchive(ctx context.Context, uuid string) error {
	return reading(ctx, c.db, func(tx *sql.Tx) (err error) {
		if c.Archived, err = c.look(ctx, tx, "shadow_instances", uuid); err != nil {
			return err
		}
		if !c.Archived {
			migrations, err := readTable(ctx, tx, "SELECT id, uuid, status FROM migrations WHERE instance_uuid = ?", uuid)
			c.Migrations = migrations.Rows
			return err
		}
		if c.Record, err = readRecord(ctx, tx, "shadow_", uuid); err != nil {
			return err
		}
		return c.readHosts(ctx, tx)
	})
}

// look asks whether a table has the instance, and for the database's clock.
func (c *Cell) look(ctx context.Context, tx *sql.Tx, table, uuid string) (bool, error) {
	answer, err := readTable(ctx, tx, "SELECT UTC_TIMESTAMP() AS now, EXISTS(SELECT 1 FROM "+table+" WHERE uuid = ?) AS found", uuid)
	if err != nil {
		return false, fmt.Errorf("look for instance %s in %s: %w", uuid, table, err)
	}
	if len(answer.Rows) != 1 || answer.Rows[0].time("now").IsZero() {
		return false, errors.New("the database did not tell its time")
	}
	c.Now = answer.Rows[0].time("now")
	return answer.Rows[0].flag("found"), nil
}

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
