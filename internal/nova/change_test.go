package nova

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
)

// server is a database that answers every statement with the same.
type server struct {
	err        error
	rows       driver.RowsAffected
	statements []string
}

func (s *server) Connect(context.Context) (driver.Conn, error) { return s, nil }
func (s *server) Driver() driver.Driver                        { return nil }
func (s *server) Prepare(string) (driver.Stmt, error)          { return nil, errors.ErrUnsupported }
func (s *server) Close() error                                 { return nil }
func (s *server) Begin() (driver.Tx, error)                    { return s, nil }
func (s *server) Commit() error                                { return nil }
func (s *server) Rollback() error                              { return nil }

func (s *server) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) { return s, nil }

func (s *server) ExecContext(_ context.Context, statement string, _ []driver.NamedValue) (driver.Result, error) {
	s.statements = append(s.statements, statement)
	return s.rows, s.err
}

func (s *server) QueryContext(_ context.Context, statement string, _ []driver.NamedValue) (driver.Rows, error) {
	s.statements = append(s.statements, statement)
	return noRows{}, nil
}

// noRows is the answer to every question.
type noRows struct{}

func (noRows) Columns() []string         { return nil }
func (noRows) Close() error              { return nil }
func (noRows) Next([]driver.Value) error { return io.EOF }

func refuses(number uint16, message string) server {
	return server{err: &mysql.MySQLError{Number: number, Message: message}}
}

func TestARowThatIsNotAnyMoreAsItWasReadIsAChangeByAnother(t *testing.T) {
	from := Row{"id": {Text: "7"}, "deleted": {Text: "0"}}
	to := from.with(Row{"deleted": {Text: "7"}})
	for name, test := range map[string]struct {
		server             server
		changed, retriable bool
	}{
		"it is found":                                 {server{rows: 1}, false, false},
		"it is not found":                             {server{rows: 0}, true, false},
		"MariaDB with innodb_snapshot_isolation":      {refuses(1020, "Record has changed since last read in table 'tags'"), true, false},
		"a deadlock, which is no change of this row":  {refuses(1213, "Deadlock found"), false, true},
		"another error, after which nothing is tried": {refuses(1114, "The table 'tags' is full"), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			tx, err := sql.OpenDB(&test.server).Begin()
			if err != nil {
				t.Fatal(err)
			}
			err = changes(Record{"tags": {Rows: []Row{from}}}, Record{"tags": {Rows: []Row{to}}})[0].write(t.Context(), tx)
			if errors.Is(err, ErrChanged) != test.changed || Retriable(err) != test.retriable {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestARestoreLeavesTheSessionOfThePoolAsItWas(t *testing.T) {
	database := &server{}
	databases := Databases{api: sql.OpenDB(database)}
	if err := databases.Apply(t.Context(), Change{}, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(database.statements, func(s string) bool { return strings.HasPrefix(s, "SET") }) {
		t.Errorf("statements: %q", database.statements)
	}
}
