//go:build lab

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"

	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
)

// send writes to Placement behind the module's back, in ways that its own client knows nothing of.
func (s *stage) send(method, microversion, path string, body any) {
	s.t.Helper()
	content, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(stageContext(s.t), method, s.service.ServiceURL(path), bytes.NewReader(content))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("X-Auth-Token", s.service.Token())
	request.Header.Set("OpenStack-API-Version", "placement "+microversion)
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	if said, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode > 299 {
		s.t.Fatalf("%s: %v: %s", answer.Status, err, said)
	}
}

func TestAConsumerOfAnotherServiceIsToldByItsTypeInTheRealPlacement(t *testing.T) {
	s := newRealStage(t)
	s.send(http.MethodPut, openstack.ConsumerTypeMicroversion, "allocations/"+s.consumer, map[string]any{
		"allocations": map[string]any{s.host: map[string]any{"resources": map[string]int{"VCPU": 1}}},
		"project_id":  "p", "user_id": "u", "consumer_generation": nil, "consumer_type": "CONTAINER",
	})
	answer := s.start(s.removal()).Failed(false, "is a consumer of type CONTAINER", "verify_consumer: false")
	if answer.Get("verdict").String() != string(orphan.Foreign) {
		t.Errorf("got %s", answer)
	}
	s.wants(s.consumer, holdings{s.host: 1})
	if files := s.backups(s.consumer); len(files) > 0 {
		t.Errorf("backups: %v", files)
	}
}

// migrations are so many that the consumer's, which is the oldest, is on the
// last of Nova's pages.
const migrations = `INSERT INTO nova.migrations (created_at, uuid, migration_type, status, source_compute, hidden, deleted, cross_cell_move)
	SELECT UTC_TIMESTAMP(), UUID(), 'migration', 'error', '%[2]s', 0, 0, 0 FROM seq_1_to_1001;
INSERT INTO nova.migrations (created_at, uuid, migration_type, status, source_compute, hidden, deleted, cross_cell_move)
	VALUES ('2000-01-01', '%[1]s', 'migration', 'error', '%[2]s', 0, 0, 0)`

func TestAMigrationsAllocationStaysUntilTheMigrationIsOverOnWhicheverOfNovasPages(t *testing.T) {
	s := newRealStage(t)
	nova := &realNova{t: t}
	nova.sql(migrations, s.consumer, named("host", s.host))
	t.Cleanup(func() { nova.sql("DELETE FROM nova.migrations WHERE source_compute = '%s'", named("host", s.host)) })
	s.set(s.consumer, holdings{s.host: 2})
	for _, status := range []string{"migrating", "post-migrating", "finished", "confirming", "of a release to come"} {
		t.Run(status, func(t *testing.T) {
			nova.sql("UPDATE nova.migrations SET status = '%s' WHERE uuid = '%s'", status, s.consumer)
			answer := s.start(s.removal()).Failed(false, "in status "+status, "confirm, revert or abort it")
			if answer.Get("verdict").String() != string(orphan.Busy) {
				t.Errorf("got %s", answer)
			}
			s.wants(s.consumer, holdings{s.host: 2})
		})
	}
	nova.sql("UPDATE nova.migrations SET status = 'confirmed' WHERE uuid = '%s'", s.consumer)
	s.start(s.removal()).Done(true)
	s.wants(s.consumer, nil)
}

func TestAConsumerOfNothingButACustomClassIsRemovedLikeAnyOther(t *testing.T) {
	const class = "CUSTOM_NOVA_ORPHAN_TEST"
	var s *stage
	t.Cleanup(func() { s.send(http.MethodDelete, "1.7", "resource_classes/"+class, nil) }) // after its providers
	s = newRealStage(t)
	s.send(http.MethodPut, "1.7", "resource_classes/"+class, nil)
	found, err := s.client.Provider(stageContext(t), s.storage)
	if err != nil {
		t.Fatal(err)
	}
	inventory := resourceproviders.UpdateInventoriesOpts{ResourceProviderGeneration: found.Generation,
		Inventories: map[string]resourceproviders.Inventory{
			class: {Total: 1, MaxUnit: 1, MinUnit: 1, StepSize: 1, AllocationRatio: 1},
		}}
	if err := resourceproviders.UpdateInventories(stageContext(t), s.service, s.storage, inventory).Err; err != nil {
		t.Fatal(err)
	}
	s.send(http.MethodPut, "1.28", "allocations/"+s.consumer, map[string]any{
		"allocations": map[string]any{s.storage: map[string]any{"resources": map[string]int{class: 1}}},
		"project_id":  "p", "user_id": "u", "consumer_generation": nil,
	})
	shown := s.start(arguments{"consumer": s.consumer}).Done(false)
	if got := shown.Get("allocations.0.resources").Raw; got != `{"`+class+`":1}` {
		t.Errorf("got %s", shown)
	}
	s.start(s.removal()).Done(true)
	s.wants(s.consumer, nil)
}

func TestAProviderWithoutAComputeNodeIsEmptiedAndStays(t *testing.T) {
	s := newRealStage(t)
	// Nova has no compute node for any provider of the stage, as after the deletion of a compute service.
	s.set(s.consumer, holdings{s.host: 2, s.child: 1})
	shown := s.start(arguments{"resource_provider": named("host", s.host)}).Done(false)
	if got := shown.Get("consumers.0.consumer").String(); got != s.consumer {
		t.Errorf("got %s", shown)
	}
	s.start(s.removal()).Done(true)
	s.wants(s.consumer, nil)
	shown = s.start(arguments{"resource_provider": s.host}).Done(false)
	if shown.Get("resource_provider.uuid").String() != s.host || shown.Get("consumers.#").Int() != 0 {
		t.Errorf("the provider is not there and empty: %s", shown)
	}
}
