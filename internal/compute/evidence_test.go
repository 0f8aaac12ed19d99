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
	migrations := []compute.Migration{{UUID: "m", ID: 7, Status: "running", Type: "resize", Source: "compute1", Dest: "compute2",
		CreatedAt: "2026-01-02T01:04:05.000000"}}
	row := &orphan.Row{ID: 1, VMState: "error", TaskState: "deleting", Host: "compute1", CreatedAt: at.Add(-2 * time.Hour)}
	want := orphan.Evidence{
		UUID: "s", Policy: orphan.Policy{MinAge: time.Hour}, Mapping: &orphan.Mapping{HasCell: true, CellKnown: true},
		Cells: []orphan.Cell{{Name: "API", Now: at, Row: row, Migrations: []orphan.Migration{{UUID: "m", ID: 7, Status: "running",
			Type: "resize", Source: "compute1", Destination: "compute2", UpdatedAt: at.Add(-2 * time.Hour)}}}},
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

func TestAServerThatNoCellHasYetIsItsBuildRequest(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		name, raw string
		change    func(*compute.Server)
		request   bool
	}{
		{"it has no name of a domain", `{"OS-EXT-SRV-ATTR:instance_name": ""}`, func(*compute.Server) {}, true},
		{"it has one, so that a cell has it", `{"OS-EXT-SRV-ATTR:instance_name": "instance-00000001"}`, func(*compute.Server) {}, false},
		{"this user is not told", `{}`, func(*compute.Server) {}, false},
		{"it has a host", `{"OS-EXT-SRV-ATTR:instance_name": ""}`, func(s *compute.Server) { s.Host = "compute1" }, false},
		{"it is in another task", `{"OS-EXT-SRV-ATTR:instance_name": ""}`, func(s *compute.Server) { s.TaskState = "spawning" }, false},
		{"its build failed", `{"OS-EXT-SRV-ATTR:instance_name": ""}`, func(s *compute.Server) { s.VMState = "error" }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			// Its row was never updated, for which Nova tells the time of the request (nova/api/openstack/compute/views/servers.py).
			server := compute.Server{ID: "s", VMState: "building", TaskState: "scheduling", At: at, Created: "2026-01-02T01:04:05Z",
				Updated: "2026-01-02T03:04:05Z", Raw: []byte(test.raw)}
			test.change(&server)
			got := server.Evidence(false, nil, orphan.Policy{})
			if got.BuildRequest != test.request || (got.Cells[0].Row == nil) != test.request {
				t.Fatalf("got %+v", got)
			}
			if test.request && (!got.RequestedAt.Equal(at.Add(-2*time.Hour)) || !got.Now.Equal(at) || got.Mapping == nil || got.Mapping.HasCell) {
				t.Errorf("got %+v", got)
			}
		})
	}
}
