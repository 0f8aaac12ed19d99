package nova

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-sql-driver/mysql"
)

// The server's error numbers that decide anything here.
const (
	// innodb_snapshot_isolation, the default since MariaDB 11.6, tells by it that another
	// has written a row since the transaction's snapshot. Without it the row is not found.
	errRecordChanged   = 1020
	errNoSuchTable     = 1146
	errLockWaitTimeout = 1205
	errDeadlock        = 1213 // also what Galera answers when another node's commit won
	errUnknownVariable = 1193
)

// Retriable says whether nothing was written and the whole transaction may be
// tried again: the database asks for that, or the connection was lost before the commit.
func Retriable(err error) bool {
	return rolledBack(err) || errors.Is(err, mysql.ErrInvalidConn)
}

func rolledBack(err error) bool {
	return hasNumber(err, errDeadlock) || hasNumber(err, errLockWaitTimeout) || hasNumber(err, errRecordChanged)
}

// Advice says what to do about an error whose text does not, "" where it does.
func Advice(err error) string {
	var answer *mysql.MySQLError
	switch {
	case !errors.As(err, &answer):
		return ""
	case slices.Contains([]uint16{1290, 1792, 1836}, answer.Number):
		return "the server takes no writes, as a replica or a node in maintenance does: let the connection lead to the one that does, " +
			"and run the module again"
	case answer.Number == 1047:
		return "the Galera node is not part of its cluster: let the connection lead to one that is, and run the module again"
	case answer.Number == 1045:
		return "SECURITY.md lists the grants that the account needs; MariaDB says the same of a session without encryption where it requires one"
	case slices.Contains([]uint16{1044, 1142, 1143}, answer.Number):
		return "SECURITY.md lists the grants that the account needs"
	}
	return ""
}

func hasNumber(err error, number uint16) bool {
	var answer *mysql.MySQLError
	return errors.As(err, &answer) && answer.Number == number
}

// dialTimeout is short, since a cell that is down must be told within the
// module's own deadline.
const dialTimeout = 10 * time.Second

// sessions is how many a database gets at a time.
const sessions = 8

// open prepares the connections to a database, without connecting. A read-only
// one cannot write, whatever is asked of it.
func open(config *mysql.Config, readOnly bool) (*sql.DB, error) {
	config = config.Clone()
	config.Timeout = dialTimeout
	// The driver's own logger writes to standard error, which belongs to Ansible.
	config.Logger = &mysql.NopLogger{}
	// One round trip a query instead of three.
	config.InterpolateParams = true
	config.Params = map[string]string{
		"time_zone":                "'+00:00'",
		"innodb_lock_wait_timeout": "5",
		"sql_mode":                 "'" + exactDates + "'",
	}
	if err := config.Apply(mysql.Charset("utf8mb4", "")); err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(session{connector, readOnly})
	// As many instances at a time are read; each new session would cost several round trips.
	db.SetMaxOpenConns(sessions)
	db.SetMaxIdleConns(sessions)
	return db, nil
}

// exactDates lets a date that is none (0000-00-00), which hacks have left, be compared,
// and written again as it was, and refuses whatever else does not fit. oslo.db's
// TRADITIONAL refuses such a date, too.
const exactDates = "STRICT_ALL_TABLES,ALLOW_INVALID_DATES"

// session sets up every connection, a second one after a loss as well.
type session struct {
	driver.Connector
	readOnly bool
}

func (s session) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := s.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, conn.(driver.ExecerContext)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func (s session) prepare(ctx context.Context, conn driver.ExecerContext) error {
	// On a Galera cluster behind a balancer, see what was committed on the other nodes.
	if _, err := conn.ExecContext(ctx, "SET SESSION wsrep_sync_wait = 7", nil); err != nil && !hasNumber(err, errUnknownVariable) {
		return fmt.Errorf("set up the session: %w", err)
	}
	if !s.readOnly {
		return nil
	}
	if _, err := conn.ExecContext(ctx, "SET SESSION TRANSACTION READ ONLY", nil); err != nil {
		return fmt.Errorf("make the session read-only: %w", err)
	}
	return nil
}

// commit commits as a statement does, within the context's deadline, which
// sql.Tx.Commit does not know.
func commit(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "COMMIT")
	switch {
	case err == nil:
		return nil
	case rolledBack(err):
		return fmt.Errorf("commit: %w", err)
	}
	return fmt.Errorf("%w: commit: %w", ErrOutcome, err)
}

// reading runs read in one consistent, read-only transaction.
func reading(ctx context.Context, db *sql.DB, read func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	return read(tx)
}
