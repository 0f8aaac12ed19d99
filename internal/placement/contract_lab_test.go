//go:build lab

package placement_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/nova"
	"nova-orphan/internal/openstack/openstacktest"
	"nova-orphan/internal/placement"
)

// The OS_* environment (an openrc file) says where the real Placement is.
func TestTheRealPlacementKeepsTheContract(t *testing.T) {
	if os.Getenv("OS_AUTH_URL") == "" {
		t.Fatal("OS_AUTH_URL is not set: source an openrc file")
	}
	testContract(t)
}

// database is the real Placement's own.
func database(t *testing.T) placement.Database {
	t.Helper()
	connection, err := placement.DatabaseURL("/etc/placement/placement.conf")
	if err != nil {
		t.Fatal(err)
	}
	db, err := nova.OpenReadOnly(connection, nil, func(...string) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return placement.Database{DB: db}
}

func TestTheRealPlacementKeepsTheContractOfASurvey(t *testing.T) {
	testSurvey(t, func(_ *testing.T, w *world) reader { return w.Client })
}

func TestTheRealDatabaseKeepsTheContractOfASurvey(t *testing.T) {
	testSurvey(t, func(t *testing.T, _ *world) reader { return database(t) })
}

func TestTheRealDatabaseIsOnlyRead(t *testing.T) {
	if _, err := database(t).Exec("DELETE FROM users WHERE id = 0"); err == nil || !strings.Contains(err.Error(), "READ ONLY") {
		t.Errorf("a write: %v", err)
	}
}

func TestTheRealDatabaseTellsOfAllWhatTheAPITells(t *testing.T) {
	w := newWorld(t)
	w.holding(t)
	// Whatever else is done on this lab may change it between the two.
	for tries := 1; ; tries++ {
		before, api, after := told(t, database(t)), told(t, w.Client), told(t, database(t))
		diff := cmp.Diff(api, before)
		if diff == "" {
			break
		}
		if cmp.Equal(before, after) || tries == 10 {
			t.Fatal(diff)
		}
	}
	// Of more than one statement asks for, and in capitals, in which the server finds it as well.
	asked := slices.Repeat([]string{openstacktest.UUID()}, 1000)
	asked = append(asked, strings.ToUpper(w.consumer))
	api, err := w.Details(openstacktest.Context(t), asked[999:])
	if err != nil || api[asked[1000]].Empty() {
		t.Fatalf("the API tells %v, %v", api, err)
	}
	details, err := database(t).Details(openstacktest.Context(t), asked)
	if diff := cmp.Diff(api, details); diff != "" || err != nil {
		t.Errorf("%v, %s", err, diff)
	}
}

// all is what a survey tells.
type all struct {
	Providers map[string]placement.SurveyProvider
	Consumers []string
	Held      map[string]map[string]placement.Resources
}

func told(t *testing.T, r reader) all {
	t.Helper()
	survey := surveyed(t, r)
	a := all{Providers: survey.Providers, Held: map[string]map[string]placement.Resources{}}
	for consumer, on := range survey.Consumers() {
		a.Consumers, a.Held[consumer] = append(a.Consumers, fmt.Sprint(consumer, on)), survey.Held(consumer)
	}
	return a
}
