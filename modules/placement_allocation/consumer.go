package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// witness is what Nova's API knows about consumers.
type witness interface {
	// Server is nil for a uuid that the API does not know, or that it hides.
	Server(ctx context.Context, uuid string) (*server, error)
	// SeesAllProjects is an error for a user from whom the API hides other projects' servers.
	SeesAllProjects(ctx context.Context) error
	Migrations(ctx context.Context) ([]migration, error)
}

type server struct {
	Status string `json:"status"`
	Host   string `json:"OS-EXT-SRV-ATTR:host"`
}

type migration struct {
	UUID     string `json:"uuid"`
	Status   string `json:"status"`
	Instance string `json:"instance_uuid"`
}

// testimony is what was learnt about one consumer.
type testimony struct {
	server    *server
	migration *migration
	failure   error // some question got no answer
}

const overriding = "verify_consumer: false skips the question"

// judge returns the verdict on a consumer whose resources are to be taken, and
// the reason to refuse; both are empty if nothing speaks against it.
func judge(consumer string, said testimony) (verdict, reason string) {
	switch {
	case said.server != nil:
		host := said.server.Host
		if host == "" {
			host = "no host"
		}
		return "live", fmt.Sprintf("%s is a server that Nova's API knows: status %s, on %s (delete it there; %s)", consumer, said.server.Status, host, overriding)
	case said.failure != nil:
		return "unknown", fmt.Sprintf("cannot tell whether %s is alive: %v (%s)", consumer, said.failure, overriding)
	case said.migration != nil && !slices.Contains(deadMigrations(), said.migration.Status):
		return "busy", fmt.Sprintf("%s is a migration of %s in status %s (confirm, revert or abort it; %s)",
			consumer, said.migration.Instance, said.migration.Status, overriding)
	}
	return "", ""
}

// deadMigrations are the statuses after which a migration's allocation has no
// use. Not "finished": that is a resize which waits to be confirmed or reverted.
func deadMigrations() []string {
	return []string{"error", "failed", "cancelled", "completed", "done", "confirmed", "reverted"}
}

// verify refuses, for all steps at once, to take anything from a consumer that
// is alive, or of which that cannot be told.
func (t *task) verify(ctx context.Context, reply *answer, steps []step) error {
	var questioned []string
	for _, step := range steps {
		if step.takes() {
			questioned = append(questioned, step.before.Consumer)
		}
	}
	if !t.VerifyConsumer || len(questioned) == 0 {
		return nil
	}
	said := hear(ctx, t.witness, questioned)
	found := map[string]bool{}
	for _, consumer := range questioned {
		if verdict, reason := judge(consumer, said[consumer]); verdict != "" {
			found[verdict] = true
			reply.Reasons = append(reply.Reasons, reason)
		}
	}
	for _, worst := range []string{"live", "busy", "unknown"} {
		if found[worst] {
			reply.Verdict = worst
			return errors.New("refused: " + strings.Join(reply.Reasons, "; "))
		}
	}
	return nil
}

// hear asks the witness about the consumers: one question each, and two more
// for all of them if some are no servers.
func hear(ctx context.Context, w witness, consumers []string) map[string]testimony {
	said := map[string]testimony{}
	var strangers []string
	for _, consumer := range consumers {
		server, err := w.Server(ctx, consumer)
		said[consumer] = testimony{server: server, failure: err}
		if server == nil && err == nil {
			strangers = append(strangers, consumer)
		}
	}
	if len(strangers) == 0 {
		return said
	}
	// To a user who may not see all projects, Nova answers 404 for a server that runs
	// (nova/db/main/api.py _build_instance_get, project_only), so the 404 must be earned.
	err := w.SeesAllProjects(ctx)
	var all []migration
	if err == nil {
		all, err = w.Migrations(ctx)
	}
	for _, consumer := range strangers {
		found := testimony{failure: err}
		if at := slices.IndexFunc(all, func(m migration) bool { return m.UUID == consumer }); at >= 0 {
			found.migration = &all[at]
		}
		said[consumer] = found
	}
	return said
}
