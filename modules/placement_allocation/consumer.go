package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"nova-orphan/internal/compute"
)

// witness is what Nova's API knows about consumers.
type witness interface {
	// Server is nil for a uuid that the API does not know, or that it hides.
	Server(ctx context.Context, uuid string) (*compute.Server, error)
	// SeesAllProjects is an error for a user from whom the API hides other projects' servers.
	SeesAllProjects(ctx context.Context) error
	// Migrations lists those of one instance, or all if instance is empty.
	Migrations(ctx context.Context, instance string) ([]compute.Migration, error)
}

// testimony is what was learnt about one consumer.
type testimony struct {
	kind      string // its type in Placement; empty: not told
	server    *compute.Server
	migration *compute.Migration
	// half is set, with the server's own migrations, if only that is to be taken.
	half       *half
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
func judge(consumer string, said testimony) (verdict, reason string) {
	switch {
	// What others write at 1.38 bears their word; what Nova writes, up to 2026.1, is
	// "unknown", since it writes at 1.36 at most (nova/scheduler/client/report.py).
	case !slices.Contains([]string{"", "unknown", "INSTANCE", "MIGRATION"}, said.kind):
		return foreign, fmt.Sprintf("%s is a consumer of type %s, which is no instance of Nova's (%s)", consumer, said.kind, overriding)
	case said.server != nil && said.half != nil && said.failure == nil:
		proof, objections := leftOver(consumer, said.server, said.migrations, *said.half)
		if proof != "" {
			return evacuated, proof
		}
		return live, fmt.Sprintf("%s, and what it holds on %s is not left from an evacuation: %s (%s)",
			alive(consumer, said.server), strings.Join(said.half.from, ", "), listObjections(objections), overriding)
	case said.server != nil && said.failure == nil:
		return live, fmt.Sprintf("%s (delete it there; %s)", alive(consumer, said.server), overriding)
	case said.server != nil:
		return unknown, fmt.Sprintf("%s, and whether it may lose anything cannot be told: %v (%s)", alive(consumer, said.server), said.failure, overriding)
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
	said := t.hear(ctx, steps)
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
	var against refusal
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

// hear asks the witness about the steps' consumers, and, with two questions more,
// about all that are no servers.
func (t *task) hear(ctx context.Context, steps []step) map[string]testimony {
	said := t.askForServers(ctx, steps)
	var strangers []string
	for consumer, one := range said {
		if one.server == nil && one.failure == nil {
			strangers = append(strangers, consumer)
		}
	}
	if len(strangers) == 0 {
		return said
	}
	// To a user who may not see all projects, Nova answers 404 for a server that runs
	// (nova/db/main/api.py _build_instance_get, project_only), so the 404 must be earned.
	err := t.witness.SeesAllProjects(ctx)
	var all []compute.Migration
	if err == nil {
		// Without an instance these are all of the cloud's.
		all, err = t.witness.Migrations(ctx, t.Instance)
	}
	for _, consumer := range strangers {
		found := testimony{failure: err}
		if at := slices.IndexFunc(all, func(m compute.Migration) bool { return m.UUID == consumer }); at >= 0 {
			found.migration = &all[at]
		}
		said[consumer] = found
	}
	return said
}

// askForServers is one question for each consumer, and another for a server of
// which only one half is to be taken.
func (t *task) askForServers(ctx context.Context, steps []step) map[string]testimony {
	said := map[string]testimony{}
	for _, s := range steps {
		consumer, one := s.before.Consumer, testimony{}
		if one.server, one.failure = t.witness.Server(ctx, consumer); one.server != nil {
			if one.half = t.halfOf(s); one.half != nil {
				one.migrations, one.failure = t.witness.Migrations(ctx, consumer)
			}
		}
		said[consumer] = one
	}
	return said
}
