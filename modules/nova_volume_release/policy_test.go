package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/step"
)

// The row was last written a moment ago, by the call before; it is in the middle of a deletion, and locked.
var written = time.Now().UTC().Truncate(time.Second).Add(-5 * time.Second)

type lockedInDatabase struct{ locked bool }

func (d lockedInDatabase) FindAll(_ context.Context, uuids []string) (map[string]nova.Finding, error) {
	text := func(value string) nova.Value { return nova.Value{Text: value} }
	row := nova.Row{
		"id": text("9"), "uuid": text(uuids[0]), "deleted": text("0"), "vm_state": text("error"), "task_state": text("deleting"),
		"host":       text("compute1"),
		"updated_at": text(written.Format(time.DateTime)), "created_at": text("2026-01-01 00:00:00"),
		"locked": text(map[bool]string{true: "1", false: "0"}[d.locked]),
	}
	cell := nova.Cell{ID: "1", Name: "cell1", Now: written.Add(5 * time.Second), Record: nova.Record{"instances": {Rows: []nova.Row{row}}}}
	return map[string]nova.Finding{uuids[0]: {UUID: uuids[0], API: nova.Record{}, Cells: []nova.Cell{cell}}}, nil
}

type lockedInAPI struct {
	novaAPI
	locked bool
}

func (a lockedInAPI) Find(_ context.Context, uuid string) (*compute.Server, bool, error) {
	return &compute.Server{
		ID: uuid, Status: "ERROR", VMState: "error", TaskState: "deleting", Host: "compute1", Locked: a.locked,
		Created: "2026-01-01T00:00:00Z", Updated: written.Format(time.RFC3339), At: written.Add(5 * time.Second),
	}, false, nil
}

func (lockedInAPI) Migrations(context.Context, string) ([]compute.Migration, error) { return nil, nil }

func TestBothWitnessesJudgeByThePolicy(t *testing.T) {
	since := func(at time.Time) step.PerElement[time.Time] {
		return step.PerElement[time.Time]{Each: map[string]time.Time{instance: at}}
	}
	ours, before := since(written), since(written.Add(-time.Second))
	another := step.PerElement[time.Time]{Each: map[string]time.Time{"5e1f2b3c-0000-4000-8000-000000000001": written}}
	for _, test := range []struct {
		name    string
		policy  step.Policy
		locked  bool
		refused string
	}{
		{"written a moment ago", step.Policy{MinAge: 300}, false, "is busy"},
		{"written by ourselves", step.Policy{MinAge: 300, UnchangedSince: ours}, false, ""},
		{"written since by somebody else", step.Policy{MinAge: 300, UnchangedSince: before}, false, "is busy"},
		{"another was written by ourselves", step.Policy{MinAge: 300, UnchangedSince: another}, false, "is busy"},
		{"locked", step.Policy{MinAge: 300, UnchangedSince: ours}, true, "somebody locked the instance"},
		{"locked, and allowed", step.Policy{MinAge: 300, UnchangedSince: ours, Consents: step.Consents{AllowLocked: true}}, true, ""},
		{"locked, whatever the age", step.Policy{}, true, "somebody locked the instance"},
	} {
		for name, witness := range map[string]func(step.Policy) novaLookup{
			"databases": func(p step.Policy) novaLookup {
				return &fromDatabases{databases: lockedInDatabase{test.locked}, policy: p}
			},
			"API": func(p step.Policy) novaLookup { return fromAPI{lockedInAPI{locked: test.locked}, p} },
		} {
			t.Run(test.name+", says the "+name, func(t *testing.T) {
				said, err := witness(test.policy).Lookup(t.Context(), instance)
				if err != nil {
					t.Fatal(err)
				}
				e := base()
				e.novaEvidence = said
				work, err := decide(e, wants(func(*parameters) {}))
				if refused := err != nil; refused != (test.refused != "") {
					t.Errorf("got %v, %v", work.steps, err)
				}
				if err != nil && !strings.Contains(err.Error(), test.refused) {
					t.Errorf("got %v", err)
				}
			})
		}
	}
}
