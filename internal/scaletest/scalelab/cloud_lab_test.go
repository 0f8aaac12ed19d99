//go:build lab

package scalelab

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"nova-orphan/internal/orphan"
	"nova-orphan/internal/scaletest"
)

// TestNovaItselfHasNothingToSayOfACloudWithoutOrphans: heal_allocations computes from each instance's row, flavor and request
// spec what it must hold where, and compares.
func TestNovaItselfHasNothingToSayOfACloudWithoutOrphans(t *testing.T) {
	lab := New(t, scaletest.Size{Seed: 3, Providers: 60, Instances: 400})
	// It answers 4 where there was nothing to heal.
	out, err := exec.CommandContext(t.Context(), "nova-manage", "--config-file", lab.Conf(), "placement", "heal_allocations", "--dry-run",
		"--verbose", "--max-count", "1000").CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 4 {
		t.Errorf("heal_allocations: %v: %s", err, out)
	}
	if healthy := strings.Count(string(out), "is up-to-date. Nothing to be healed."); healthy < 250 {
		t.Errorf("heal_allocations found %d allocations in order: %s", healthy, out)
	}
	audit, err := lab.NovaManage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// What is on a sharing provider it takes for orphaned, whoever has it.
	sharing := lab.onSharingProviders(t)
	for uuid := range audit.Found {
		if !sharing[uuid] {
			t.Errorf("nova-manage placement audit takes %s for orphaned", uuid)
		}
	}
}

func (l *Lab) onSharingProviders(t *testing.T) map[string]bool {
	t.Helper()
	db, err := open(database(scaletest.Placement))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), "SELECT consumer_id FROM allocations JOIN resource_providers p ON p.id = resource_provider_id "+
		"WHERE p.name LIKE 'shared-%'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	found := map[string]bool{}
	for rows.Next() {
		var uuid string
		if err := rows.Scan(&uuid); err != nil {
			t.Fatal(err)
		}
		found[uuid] = true
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

// TestNovaItselfSeesTheOrphansOfPlacement: all of three kinds, by the real code over the real Placement.
func TestNovaItselfSeesTheOrphansOfPlacement(t *testing.T) {
	lab := New(t, scaletest.Size{Seed: 4, Providers: 60, Instances: 400, Orphans: 60, Traps: 48})
	audit, err := lab.NovaManage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	score := lab.Truth.Score(audit.Found)
	_, counts := lab.Truth.Kinds()
	for _, kind := range []orphan.Kind{orphan.KindAllocation, orphan.KindMigration, orphan.KindOtherProvider} {
		if counts[kind] == 0 || score.Found[kind] != counts[kind] {
			t.Errorf("nova-manage placement audit names %d of %d %s", score.Found[kind], counts[kind], kind)
		}
	}
	if len(score.Traps) == 0 {
		t.Error("nova-manage placement audit walks into no trap: are there any?")
	}
}
