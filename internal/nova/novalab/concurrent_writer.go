//go:build lab

package novalab

import (
	"context"
	"database/sql"
	"testing"
	"time"
)

// Rival is a transaction that holds what a deletion needs, and wants what it holds.
type Rival struct {
	lab  *Databases
	tx   *sql.Tx
	uuid string
}

// Rival begins a transaction that has locked the instance's tags. It has
// written much, so that the other one is rolled back at a deadlock.
func (d *Databases) Rival(ctx context.Context, t *testing.T, uuid string) *Rival {
	t.Helper()
	tx, err := d.Cell1.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	if _, err := tx.ExecContext(ctx, "INSERT INTO tags (resource_id, tag) SELECT UUID(), seq FROM seq_1_to_500"); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(ctx, "UPDATE tags SET tag = 'rival' WHERE resource_id = ?", uuid); err != nil {
		t.Fatal(err)
	}
	return &Rival{d, tx, uuid}
}

// Collide waits until the deletion waits for the tags, then asks for the
// instance, which makes the deadlock.
func (r *Rival) Collide(ctx context.Context, t *testing.T) {
	t.Helper()
	// InnoDB refreshes this table only if nobody read it for a tenth of a second.
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for Text(t, r.lab.API, "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'") == "0" {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("nobody waits for the rival's lock")
		}
	}
	if _, err := r.tx.ExecContext(ctx, "SELECT id FROM instances WHERE uuid = ? FOR UPDATE", r.uuid); err != nil {
		t.Fatalf("the rival lost: %v", err)
	}
}

// GiveUp rolls back.
func (r *Rival) GiveUp(t *testing.T) {
	t.Helper()
	if err := r.tx.Rollback(); err != nil {
		t.Fatal(err)
	}
}
