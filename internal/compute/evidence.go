package compute

import (
	"time"

	"github.com/tidwall/gjson"

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
	if s.IsRequest() {
		cell.Row = nil
		return orphan.Evidence{UUID: s.ID, Policy: policy, Cells: []orphan.Cell{cell}, BuildRequest: true, Now: s.At,
			RequestedAt: parsed(s.Created), Mapping: mapping(unmapped, false)}
	}
	if s.VMState == "" {
		cell.Failure = "the server is shown only in part (status " + s.Status + "), as when its cell does not answer"
	}
	for _, m := range migrations {
		cell.Migrations = append(cell.Migrations, m.evidence())
	}
	return orphan.Evidence{UUID: s.ID, Policy: policy, Cells: []orphan.Cell{cell}, Mapping: mapping(unmapped, true)}
}

func mapping(unmapped, hasCell bool) *orphan.Mapping {
	if unmapped {
		return nil
	}
	return &orphan.Mapping{HasCell: hasCell, CellKnown: hasCell}
}

// IsRequest says that it is shown from its build request, and that no cell has it: it has no id to name its domain by
// (nova/objects/instance.py name). Who is no administrator is told no such name of any. When it was updated proves nothing: of what never
// was, Nova tells the time of the question (oslo_utils, as nova/utils.py isotime).
func (s *Server) IsRequest() bool {
	name := gjson.GetBytes(s.Raw, "OS-EXT-SRV-ATTR:instance_name")
	return s.VMState == "building" && s.TaskState == "scheduling" && s.Host == "" && name.Exists() && name.String() == ""
}

// Dead says whether the migration is over, so that its allocation has no use.
func (m Migration) Dead() bool { return m.evidence().Dead() }

func (m Migration) evidence() orphan.Migration {
	return orphan.Migration{UUID: m.UUID, ID: m.ID, Status: m.Status, Type: m.Type, Source: m.Source, Destination: m.Dest,
		UpdatedAt: m.WrittenAt()}
}

// UpdatedAt is zero if the API gives no such time.
func (s *Server) UpdatedAt() time.Time { return parsed(s.Updated) }

func parsed(text string) time.Time {
	at, _ := time.Parse(time.RFC3339, text)
	return at
}
