package compute

import (
	"time"

	"nova-orphan/internal/orphan"
)

// Evidence puts what Find and Migrations have told of a server into the form that
// package orphan judges: the API is a cell that has the instance's row, which is not
// deleted, or else it would not show it.
func (s *Server) Evidence(unmapped bool, migrations []Migration, policy orphan.Policy) orphan.Evidence {
	cell := orphan.Cell{Name: "API", Now: s.At, Row: &orphan.Row{
		ID: 1, Host: s.Host, VMState: s.VMState, TaskState: s.TaskState, CreatedAt: parsed(s.Created), UpdatedAt: s.UpdatedAt(), Locked: s.Locked,
		LockedReason: s.LockedReason,
	}}
	if s.VMState == "" {
		cell.Failure = "the server is shown only in part (status " + s.Status + "), as when its cell does not answer"
	}
	for _, m := range migrations {
		cell.Migrations = append(cell.Migrations, m.evidence())
	}
	e := orphan.Evidence{UUID: s.ID, Policy: policy, Cells: []orphan.Cell{cell}}
	if !unmapped {
		e.Mapping = &orphan.Mapping{HasCell: true, CellKnown: true}
	}
	return e
}

// Dead says whether the migration is over, so that its allocation has no use.
func (m Migration) Dead() bool { return m.evidence().Dead() }

func (m Migration) evidence() orphan.Migration {
	return orphan.Migration{UUID: m.UUID, ID: m.ID, Status: m.Status}
}

// UpdatedAt is zero if the API gives no such time.
func (s *Server) UpdatedAt() time.Time { return parsed(s.Updated) }

func parsed(text string) time.Time {
	at, _ := time.Parse(time.RFC3339, text)
	return at
}
