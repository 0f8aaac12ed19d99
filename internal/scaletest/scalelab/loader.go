package scalelab

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"nova-orphan/internal/scaletest"
)

// loader writes rows with many to a statement.
type loader struct {
	ctx    context.Context
	db     map[string]*sql.DB
	tables map[string]*table
}

// table is what is not written yet of one.
type table struct {
	db      *sql.DB
	head    string
	columns []string
	values  []any
	rows    int
}

// perStatement bounds the rows of a statement; a row is 4 KB at most, and max_allowed_packet 16 MB.
const perStatement = 1000

func newLoader(ctx context.Context) (*loader, error) {
	l := &loader{ctx: ctx, db: map[string]*sql.DB{}, tables: map[string]*table{}}
	for name := range schemas {
		db, err := open(database(name))
		if err != nil {
			return nil, err
		}
		l.db[name] = db
	}
	return l, nil
}

func open(name string) (*sql.DB, error) {
	config := mysql.NewConfig()
	config.User, config.Net, config.Addr, config.DBName, config.InterpolateParams = "root", "unix", socket, name, true
	// A loaded cloud is whole at its end only, and has the id 0.
	config.Params = map[string]string{"foreign_key_checks": "0", "unique_checks": "0", "sql_mode": "'NO_AUTO_VALUE_ON_ZERO'"}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return sql.OpenDB(connector), nil
}

// Write takes a row, and sends it with others.
func (l *loader) Write(db, name string, row scaletest.Row) error {
	t := l.tables[db+"."+name]
	if t == nil {
		t = &table{db: l.db[db], columns: slices.Sorted(maps.Keys(row))}
		t.head = "INSERT INTO " + name + " (`" + strings.Join(t.columns, "`, `") + "`) VALUES "
		l.tables[db+"."+name] = t
	}
	for _, column := range t.columns {
		t.values = append(t.values, row[column])
	}
	if t.rows++; t.rows < perStatement {
		return nil
	}
	return t.send(l.ctx)
}

func (t *table) send(ctx context.Context) error {
	if t.rows == 0 {
		return nil
	}
	row := "(?" + strings.Repeat(", ?", len(t.columns)-1) + ")"
	_, err := t.db.ExecContext(ctx, t.head+row+strings.Repeat(", "+row, t.rows-1), t.values...)
	t.values, t.rows = t.values[:0], 0
	if err != nil {
		return fmt.Errorf("%s...: %w", t.head, err)
	}
	return nil
}

// finish sends what is left, and has the databases count it: without that, a query that is quick on a
// grown database is ten times slower.
func (l *loader) finish() error {
	for _, t := range l.tables {
		if err := t.send(l.ctx); err != nil {
			return err
		}
	}
	for name := range l.tables {
		db, table, _ := strings.Cut(name, ".")
		if _, err := l.db[db].ExecContext(l.ctx, "ANALYZE TABLE "+table); err != nil {
			return fmt.Errorf("analyze %s: %w", name, err)
		}
	}
	return nil
}

func (l *loader) close() {
	for _, db := range l.db {
		db.Close()
	}
}
