package compute_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/orphan"
)

func TestWhatTheAPIShowsIsEvidenceLikeTheRowOfACell(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	server := compute.Server{
		ID: "s", Status: "ERROR", VMState: "error", TaskState: "deleting", Host: "compute1", At: at,
		Created: "2026-01-02T01:04:05Z", Updated: "no date",
	}
	migrations := []compute.Migration{{UUID: "m", ID: 7, Status: "running", Type: "resize"}}
	row := &orphan.Row{ID: 1, VMState: "error", TaskState: "deleting", Host: "compute1", CreatedAt: at.Add(-2 * time.Hour)}
	want := orphan.Evidence{
		UUID: "s", Policy: orphan.Policy{MinAge: time.Hour}, Mapping: &orphan.Mapping{HasCell: true, CellKnown: true},
		Cells: []orphan.Cell{{Name: "API", Now: at, Row: row, Migrations: []orphan.Migration{{UUID: "m", ID: 7, Status: "running"}}}},
	}
	if diff := cmp.Diff(want, server.Evidence(false, migrations, orphan.Policy{MinAge: time.Hour})); diff != "" {
		t.Error(diff)
	}
	if unmapped := server.Evidence(true, nil, orphan.Policy{}); unmapped.Mapping != nil {
		t.Errorf("it is mapped: %+v", unmapped.Mapping)
	}
	server.VMState = ""
	if partial := server.Evidence(false, nil, orphan.Policy{}); partial.Cells[0].Failure == "" {
		t.Errorf("it counts as read in full: %+v", partial)
	}
}
