package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/shared"
)

// novaEvidence is what was learnt about one consumer.
type novaEvidence struct {
	kind      string // its type in Placement; empty: not told
	server    *compute.Server
	migration *compute.Migration
	// of is the instance among whose migrations alone it was looked for; empty: among all.
	of string
	// goneAt is when Nova had no server that is the migration's instance, by its clock: asked of a migration that is not over and of
	// the instance that the caller names. Nobody works on it if nothing was written for as long as policy says.
	goneAt time.Time
	policy orphan.Policy
	// lives is the migration's instance, if that lives on what the migration holds.
	lives *compute.Server
	// half is set, with the server's own migrations, if only that is to be taken.
	half       *partialRelease
	migrations []compute.Migration
	failure    error // some question got no answer
}

// judge returns the verdict on a consumer whose resources are to be taken, its reason,
// and whether nothing may be taken. There is no verdict on a migration that is over.
func judge(consumer string, said novaEvidence) (verdict orphan.Verdict, reason string, refused bool) {
	refuse := func(verdict orphan.Verdict, format string, values ...any) (orphan.Verdict, string, bool) {
		return verdict, fmt.Sprintf(format, values...) + " (verify_consumer: false skips the question)", true
	}
	server, move := said.server, said.migration
	switch {
	case said.foreign():
		return refuse(orphan.Foreign, "%s is a consumer of type %s, which is no instance of Nova's", consumer, said.kind)
	case server != nil && said.failure != nil:
		return refuse(orphan.Unknown, "%s, and whether it may lose anything cannot be told: %v", alive(consumer, server), said.failure)
	case server != nil && said.half != nil:
		proof, objections := isEvacuationLeftover(consumer, server, said.migrations, *said.half)
		if proof != "" {
			return orphan.Live, proof, false
		}
		return refuse(orphan.Live, "%s, and what it holds on %s is not left from an evacuation: %s", alive(consumer, server),
			strings.Join(said.half.from, ", "), strings.Join(objections, ", "))
	case server != nil:
		return refuse(orphan.Live, "%s: delete it there", alive(consumer, server))
	case said.failure != nil:
		return refuse(orphan.Unknown, "cannot tell whether %s is alive: %v", consumer, said.failure)
	case move == nil:
		among := ""
		if said.of != "" {
			among = " among those of " + said.of
		}
		return orphan.Absent, fmt.Sprintf("Nova's API has no server %s, and no migration%s; every cell answers", consumer, among), false
	case !said.goneAt.IsZero() && said.policy.MoveIsSilent(said.goneAt, move.WrittenAt()):
		return "", fmt.Sprintf("%s is a migration of %s in status %s, last written %s, and Nova's API has no server %[2]s: nobody works on it; "+
			"every cell answers", consumer, move.Instance, move.Status, writtenAt(move)), false
	case !said.goneAt.IsZero():
		return refuse(orphan.Busy, "%s is a migration of %s in status %s, last written %s, and Nova's API has no server %[2]s: it counts as "+
			"over once nothing was written of it for min_age (%[5]s, at least %[6]s)", consumer, move.Instance, move.Status, writtenAt(move),
			said.policy.MinAge, orphan.MoveSilence)
	case !move.Dead():
		return refuse(orphan.Busy, "%s is a migration of %s in status %s, last written %s: confirm, revert or abort it; if no host works on it "+
			"any more, it goes with its instance (nova_instance_delete with allow_stuck_migration: true), and then what it holds; of an instance "+
			"that is gone, give instance_uuid", consumer, move.Instance, move.Status, writtenAt(move))
	case said.lives != nil:
		return refuse(orphan.Live, "%s is a migration that is over, in status %s, but %s, where it holds nothing itself", consumer, move.Status,
			alive(move.Instance, said.lives))
	}
	return "", fmt.Sprintf("%s is a migration of %s that is over: status %s", consumer, move.Instance, move.Status), false
}

func writtenAt(m *compute.Migration) string {
	if at := m.WrittenAt(); !at.IsZero() {
		return "at " + at.Format(time.DateTime)
	}
	return "at no known time"
}

// foreign: what others write at 1.38 bears their word; what Nova writes, up to 2026.1, is
// "unknown", since it writes at 1.36 at most (nova/scheduler/client/report.py).
func (e novaEvidence) foreign() bool {
	return !slices.Contains([]string{"", "unknown", "INSTANCE", "MIGRATION"}, e.kind)
}

// tells says that something was learnt, if only that it cannot be told.
func (e novaEvidence) tells() bool { return e.server != nil || e.migration != nil || e.failure != nil }

func alive(consumer string, s *compute.Server) string {
	host := s.Host
	if host == "" {
		host = "no host"
	}
	return fmt.Sprintf("%s is a server that Nova's API knows: status %s, on %s", consumer, s.Status, host)
}

// lookup asks Nova about a consumer. What was found nowhere was so only if Nova's lists, which are asked about
// then, leave nothing out.
func (t *task) lookup(ctx context.Context, todo change) *novaEvidence {
	if typed := (&novaEvidence{kind: todo.before.Type}); typed.foreign() {
		return typed
	}
	if t.noNova != nil {
		return &novaEvidence{of: t.of, failure: t.noNova}
	}
	said := t.askForServer(ctx, todo)
	t.askForMigration(ctx, said, todo)
	if !said.tells() {
		said.failure = t.nova.ListsAll(ctx)
	}
	return said
}

// askForServer asks for the consumer, also for the migrations of a server of which only one half is to be taken.
func (t *task) askForServer(ctx context.Context, todo change) *novaEvidence {
	said := &novaEvidence{of: t.of}
	if said.server, said.failure = t.server(ctx, todo.before.Consumer); said.server == nil {
		return said
	}
	if said.half = t.partialReleaseOf(todo); said.half != nil {
		said.migrations, said.failure = t.nova.Migrations(ctx, todo.before.Consumer)
	}
	return said
}

// server looks also in the list, which has one that has lost its mapping. Each cell must answer before: what one has
// that has just come back was perhaps not in the list.
func (t *task) server(ctx context.Context, uuid string) (*compute.Server, error) {
	if server, err := t.nova.Server(ctx, uuid); server != nil || err != nil {
		return server, err
	}
	incomplete := t.nova.EveryCellAnswers(ctx)
	server, err := t.nova.Listed(ctx, uuid)
	if server == nil && err == nil && incomplete != nil {
		err = cmp.Or(t.nova.ListsAll(ctx), incomplete) // which first says whether this user may know
	}
	return server, err
}

// askForMigration adds what is known of one that is no server.
func (t *task) askForMigration(ctx context.Context, said *novaEvidence, todo change) {
	consumer := todo.before.Consumer
	switch {
	case said.tells():
	case t.of == "":
		said.migration, said.failure = t.nova.Migration(ctx, consumer, t.providers.treesOf(todo.before.Providers))
		if errors.Is(said.failure, compute.ErrUntold) {
			said.failure = fmt.Errorf("%w, as where its instance is deleted or its host is called otherwise than its provider: give instance_uuid",
				said.failure)
		}
	default:
		said.migration, said.failure = t.migrationOf(ctx, todo)
	}
	if move := said.migration; move != nil && !move.Dead() && t.of != "" && move.Instance == t.of {
		t.askWhetherGone(ctx, said)
	}
	t.askForItsInstance(ctx, said, todo)
}

// askWhetherGone is for a migration that is not over: once nobody has its instance any more, nobody ends it either.
func (t *task) askWhetherGone(ctx context.Context, said *novaEvidence) {
	server, _, err := t.nova.Find(ctx, said.migration.Instance)
	if err == nil && server == nil {
		said.policy.MinAge = time.Duration(t.MinAge) * time.Second
		said.goneAt, err = t.nova.CellsAnsweredAt(ctx)
	}
	said.failure = err
}

// askForItsInstance: a move that failed has perhaps left the instance where it was, and the room that it
// takes there with the migration.
func (t *task) askForItsInstance(ctx context.Context, said *novaEvidence, todo change) {
	if said.failure != nil || said.migration == nil || !said.migration.Dead() || said.migration.Instance == "" {
		return
	}
	server, _, err := t.nova.Find(ctx, said.migration.Instance)
	if server == nil || !slices.Contains(t.providers.treesOf(todo.before.Providers), server.Hypervisor) {
		said.failure = err
		return
	}
	own, err := t.read(ctx, said.migration.Instance)
	if said.failure = err; !slices.Contains(t.providers.treesOf(own.Providers), server.Hypervisor) {
		said.lives = server
	}
}

// migrationOf looks among those of the instance that the caller says it is of. Of one that is gone Nova lists none, so that the
// caller is taken at its word, unless Nova shows a migration of that UUID among those of the hosts: that is another's.
func (t *task) migrationOf(ctx context.Context, todo change) (*compute.Migration, error) {
	consumer := todo.before.Consumer
	question, _ := t.migrations.LoadOrStore(t.of, new(shared.Question[[]compute.Migration]))
	all, err := question.(*shared.Question[[]compute.Migration]).Ask(ctx, func(ctx context.Context) ([]compute.Migration, error) {
		return t.nova.Migrations(ctx, t.of)
	})
	if err != nil {
		return nil, err
	}
	if at := slices.IndexFunc(all, func(m compute.Migration) bool { return m.UUID == consumer }); at >= 0 {
		return &all[at], nil
	}
	if consumer == t.of {
		return nil, nil
	}
	server, err := t.server(ctx, t.of)
	switch {
	case err != nil:
		return nil, err
	case server != nil:
		return nil, fmt.Errorf("it is none of the migrations of %s (instance_uuid), and %s", t.of, alive(t.of, server))
	}
	found, err := t.nova.Migration(ctx, consumer, t.providers.treesOf(todo.before.Providers))
	if errors.Is(err, compute.ErrUntold) {
		err = nil
	}
	return found, err
}
