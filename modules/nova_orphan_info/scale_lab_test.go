//go:build lab

package main

import (
	"slices"
	"testing"
	"time"

	"nova-orphan/internal/scaletest"
	"nova-orphan/internal/scaletest/scalelab"
)

// TestEveryOrphanOfAWholeCloudIsFoundAndNoTrap asks a real Placement and databases with Nova's own schemas.
func TestEveryOrphanOfAWholeCloudIsFoundAndNoTrap(t *testing.T) {
	lab := scalelab.New(t, scaletest.Size{Seed: 1, Providers: 60, Instances: 1000, Orphans: 60, Traps: 48})
	ask := func(t *testing.T, more map[string]any) scalelab.Audit {
		t.Helper()
		audit, err := lab.Module(t.Context(), name, lab.Options(more))
		if err != nil {
			t.Fatal(err)
		}
		return audit
	}
	bySQL := map[string]any{"placement_conf": lab.PlacementConf()}
	var findings []string
	for way, options := range map[string]map[string]any{"API": nil, "SQL": bySQL} {
		t.Run("by "+way, func(t *testing.T) {
			audit := ask(t, options)
			for _, fault := range lab.Truth.Score(audit.Found).Faults() {
				t.Error(fault)
			}
			if len(audit.Unread)+len(audit.Unknown) > 0 {
				t.Errorf("unread %q, unknown %q", audit.Unread, audit.Unknown)
			}
			findings = append(findings, audit.Findings)
		})
	}
	if len(slices.Compact(findings)) != 1 {
		t.Error("Placement's API and SQL do not give the same findings")
	}
	t.Run("without a hypervisor", func(t *testing.T) {
		var orphaned string
		for uuid, orphan := range lab.Truth.Orphans {
			if orphan.Kind == "domain_without_row" && orphan.Case == "nothing else knows it" {
				orphaned = uuid
			}
		}
		host := lab.FailHypervisor(t, orphaned)
		audit := ask(t, bySQL)
		if !slices.Equal(audit.Unread, []string{"hypervisor " + host}) || audit.Took > 10*time.Second {
			t.Errorf("after %s unread is %q", audit.Took, audit.Unread)
		}
		score := lab.Truth.Score(audit.Found)
		for _, fault := range slices.Concat(score.WrongKind, score.Traps, score.Others) {
			t.Error(fault)
		}
		if kind, found := audit.Found[orphaned]; found {
			t.Errorf("%s is found as %s, on a hypervisor that was not read", orphaned, kind)
		}
	})
	t.Run("without a cell", func(t *testing.T) {
		lab.StopCell(t, scaletest.Cell2)
		audit := ask(t, bySQL)
		if !slices.Equal(audit.Unread, []string{"cell " + scaletest.Cell2}) || len(audit.Unknown) == 0 || audit.Took > 10*time.Second {
			t.Errorf("after %s unread is %q, and %d are unknown", audit.Took, audit.Unread, len(audit.Unknown))
		}
		score := lab.Truth.Score(audit.Found)
		for _, fault := range slices.Concat(score.WrongKind, score.Traps, score.Others) {
			t.Error(fault)
		}
		for uuid := range audit.Found {
			if orphan := lab.Truth.Orphans[uuid]; orphan.Cell == scaletest.Cell2 {
				t.Errorf("%s is found, which is %s of the cell that was not read (%s)", uuid, orphan.Kind, orphan.Case)
			}
		}
	})
}
