package scaletest_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/scaletest"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// rows keeps those of each table.
type rows map[string][]scaletest.Row

func (r rows) Write(database, table string, row scaletest.Row) error {
	r[database+"."+table] = append(r[database+"."+table], row)
	return nil
}

func generate(t *testing.T, size scaletest.Size) (rows, scaletest.Cloud) {
	t.Helper()
	all := rows{}
	cloud, err := scaletest.Generate(size, now, all)
	if err != nil {
		t.Fatal(err)
	}
	return all, cloud
}

var small = scaletest.Size{Seed: 1, Providers: 60, Instances: 1000, Orphans: 60, Traps: 48}

func TestTheSameSeedGivesTheSameCloud(t *testing.T) {
	one, first := generate(t, small)
	two, second := generate(t, small)
	if diff := cmp.Diff(one, two) + cmp.Diff(text(t, first), text(t, second)); diff != "" {
		t.Fatal(diff)
	}
}

func text(t *testing.T, of any) string {
	t.Helper()
	text, err := json.Marshal(of)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheCloudIsAsLargeAsAskedFor(t *testing.T) {
	for _, size := range []scaletest.Size{small, {Seed: 2, Providers: 200, Instances: 3000, Orphans: 200, Traps: 100}} {
		all, cloud := generate(t, size)
		if got := len(all["placement.resource_providers"]); got != size.Providers {
			t.Errorf("%d providers, not %d", got, size.Providers)
		}
		if got := len(cloud.Truth.Orphans); got != size.Orphans {
			t.Errorf("%d orphans, not %d", got, size.Orphans)
		}
		if got := len(cloud.Truth.Traps); got != size.Traps {
			t.Errorf("%d traps, not %d", got, size.Traps)
		}
		known := map[any]bool{}
		for _, table := range []string{"cell0.instances", "cell1.instances", "cell2.instances", "cell1.shadow_instances",
			"cell2.shadow_instances"} {
			for _, row := range all[table] {
				known[row["uuid"]] = true
			}
		}
		// What nothing but a mapping, an allocation or a domain tells of has no row.
		if got := len(known); got < size.Instances*97/100-size.Orphans || got > size.Instances {
			t.Errorf("%d instances, not about %d", got, size.Instances)
		}
	}
}

// TestNoIDIsGivenTwice: they are given, not the database's own.
func TestNoIDIsGivenTwice(t *testing.T) {
	all, _ := generate(t, small)
	for table, rows := range all {
		seen := map[any]bool{}
		for _, row := range rows {
			if id := row["id"]; id != nil && seen[id] {
				t.Fatalf("%s: id %v twice", table, id)
			}
			seen[row["id"]] = true
		}
	}
}
