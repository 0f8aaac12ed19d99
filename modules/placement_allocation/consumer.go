package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/orphan"
)

// novaLookup is what Nova's API knows about consumers; see compute.Client.
type novaLookup interface {
	Server(ctx context.Context, uuid string) (*compute.Server, error)
	Listed(ctx context.Context, uuid string) (*compute.Server, error)
	ListsAll(ctx context.Context) error
	Migrations(ctx context.Context, instance string) ([]compute.Migration, error)
	Migration(ctx context.Context, uuid string, hosts []string) (*compute.Migration, error)
}

// novaEvidence is what was learnt about one consumer.
type novaEvidence struct {
	kind      string // its type in Placement; empty: not told
	server    *compute.Server
	migration *compute.Migration
	// half is set, with the server's own migrations, if only that is to be taken.
	half       *partialRelease
	migrations []compute.Migration
	failure    error // some question got no answer
}

// The verdicts, worst first. evacuated is the one under which a live server's
// consumer may be touched.
const (
	live      = "live"
	busy      = "busy"
	foreign   = "foreign"
	unknown   = "unknown"
	evacuated = "evacuated"
)

const overriding = "verify_consumer: false skips the question"

// judge returns the verdict on a consumer whose resources are to be taken, and
// its reason; both are empty if nothing speaks against it.
func judge(consumer string, said novaEvidence) (verdict, reason string) {
	switch {
	// What others write at 1.38 bears their word; what Nova writes, up to 2026.1, is
	// "unknown", since it writes at 1.36 at most (nova/scheduler/client/report.py).
	case !slices.Contains([]string{"", "unknown", "INSTANCE", "MIGRATION"}, said.kind):
		return foreign, fmt.Sprintf("%s is a consumer of type %s, which is no instance of Nova's (%s)", consumer, said.kind, overriding)
	case said.server != nil && said.half != nil && said.failure == nil:
		proof, objections := isEvacuationLeftover(consumer, said.server, said.migrations, *said.half)
		if proof != "" {
			return evacuated, proof
		}
		return live, fmt.Sprintf("%s, and what it holds on %s is not left from an evacuation: %s (%s)",
			alive(consumer, said.server), strings.Join(said.half.from, ", "), listObjections(objections), overriding)
	case said.server != nil && said.failure == nil:
		return live, fmt.Sprintf("%s (delete it there; %s)", alive(consumer, said.server), overriding)
	case said.server != nil:
		return unknown, fmt.Sprintf("%s, and whether it may lose anything cannot be told: %v (%s)", alive(consumer, said.server), said.failure,
			overriding)
	case said.failure != nil:
		return unknown, fmt.Sprintf("cannot tell whether %s is alive: %v (%s)", consumer, said.failure, overriding)
	case said.migration != nil && !said.migration.Dead():
		return busy, fmt.Sprintf("%s is a migration of %s in status %s (confirm, revert or abort it; %s)",
			consumer, said.migration.Instance, said.migration.Status, overriding)
	}
	return "", ""
}

func alive(consumer string, s *compute.Server) string {
	host := s.Host
	if host == "" {
		host = "no host"
	}
	return fmt.Sprintf("%s is a server that Nova's API knows: status %s, on %s", consumer, s.Status, host)
}

// verify refuses, for all steps at once, to take anything from a consumer that
// is alive, or of which that cannot be told.
func (t *task) verify(ctx context.Context, reply *answer, steps []step) error {
	steps = slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return !s.takes() })
	if !t.VerifyConsumer || len(steps) == 0 {
		return nil
	}
	said := t.lookupConsumers(ctx, steps)
	reasons := map[string][]string{}
	for _, s := range steps {
		consumer := s.before.Consumer
		if one := said[consumer]; one.failure == nil {
			one.kind, one.failure = t.placement.ConsumerType(ctx, consumer)
			said[consumer] = one
		}
		if verdict, reason := judge(consumer, said[consumer]); verdict != "" {
			reasons[verdict] = append(reasons[verdict], reason)
		}
	}
	var against orphan.Refusal
	for _, verdict := range []string{live, busy, foreign, unknown} {
		if len(against) == 0 && len(reasons[verdict]) > 0 {
			reply.Verdict = verdict
		}
		against = append(against, reasons[verdict]...)
	}
	if len(against) > 0 {
		return against
	}
	if len(reasons[evacuated]) > 0 {
		reply.Verdict, reply.Reasons = evacuated, reasons[evacuated]
	}
	return nil
}

// lookupConsumers asks Nova about the steps' consumers. What was found nowhere was so only if
// Nova's lists, which are asked about then, leave nothing out. It looks again after that: a
// cell that has just come back was perhaps in no list before.
func (t *task) lookupConsumers(ctx context.Context, steps []step) map[string]novaEvidence {
	said := t.askForServers(ctx, steps)
	nova, err := t.nova()
	if err != nil {
		return said
	}
	t.askForMigrations(ctx, nova, steps, said)
	steps = notFound(steps, said)
	if len(steps) == 0 {
		return said
	}
	if err = nova.ListsAll(ctx); err != nil {
		for _, s := range steps {
			said[s.before.Consumer] = novaEvidence{failure: err}
		}
		return said
	}
	for _, s := range steps {
		one := novaEvidence{}
		one.server, one.failure = nova.Listed(ctx, s.before.Consumer)
		said[s.before.Consumer] = one
	}
	t.askForMigrations(ctx, nova, steps, said)
	return said
}

// notFound are the steps of whose consumers nothing was learnt.
func notFound(steps []step, said map[string]novaEvidence) []step {
	return slices.DeleteFunc(slices.Clone(steps), func(s step) bool {
		one := said[s.before.Consumer]
		return one.server != nil || one.migration != nil || one.failure != nil
	})
}

// askForMigrations adds what is known of those that are no servers.
func (t *task) askForMigrations(ctx context.Context, nova novaLookup, steps []step, said map[string]novaEvidence) {
	steps = notFound(steps, said)
	var ofInstance []compute.Migration
	var err error
	if t.Instance != "" && len(steps) > 0 {
		ofInstance, err = nova.Migrations(ctx, t.Instance)
	}
	for _, s := range steps {
		consumer, one := s.before.Consumer, novaEvidence{failure: err}
		if t.Instance == "" {
			one.migration, one.failure = nova.Migration(ctx, consumer, t.treesOf(s))
		} else if at := slices.IndexFunc(ofInstance, func(m compute.Migration) bool { return m.UUID == consumer }); at >= 0 {
			one.migration = &ofInstance[at]
		}
		if errors.Is(one.failure, compute.ErrUntold) {
			one.failure = fmt.Errorf("%w, as where its instance is deleted or its host is called otherwise than its provider: give instance_uuid",
				one.failure)
		}
		said[consumer] = one
	}
}

// treesOf are the names of the trees on which a consumer holds something, most often
// Nova's names for the hosts.
func (t *task) treesOf(s step) (names []string) {
	for _, uuid := range slices.Sorted(maps.Keys(s.before.Providers)) {
		if name := t.names[t.roots[uuid]]; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// askForServers asks for each consumer, also in the list, which has a server that has lost
// its mapping, and for the migrations of a server of which only one half is to be taken.
func (t *task) askForServers(ctx context.Context, steps []step) map[string]novaEvidence {
	said := map[string]novaEvidence{}
	nova, err := t.nova()
	for _, s := range steps {
		consumer, one := s.before.Consumer, novaEvidence{failure: err}
		if err == nil {
			one.server, one.failure = nova.Server(ctx, consumer)
		}
		if one.server == nil && one.failure == nil {
			one.server, one.failure = nova.Listed(ctx, consumer)
		}
		if one.server != nil {
			if one.half = t.partialReleaseOf(s); one.half != nil {
				one.migrations, one.failure = nova.Migrations(ctx, consumer)
			}
		}
		said[consumer] = one
	}
	return said
}
