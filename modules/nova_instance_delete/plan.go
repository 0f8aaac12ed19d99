package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/orphan"
)

// plan is what there is to do.
type plan struct {
	keep   []string // volumes whose delete_on_termination is to be taken away
	reset  bool     // before the delete
	delete bool
	wait   bool // for the delete, be it ours or another's
	steps  []string
}

// refusal is why nothing is done: all reasons at once.
type refusal struct {
	what    string // it is, if that alone speaks against it
	reasons []string
	outcome string
}

func (r *refusal) Error() string { return "refused: " + r.what + strings.Join(r.reasons, "; ") }

// judge is the judgement with the ways out that package orphan does not know.
func judge(s evidence, p parameters) orphan.Judgement {
	judgement := judged(s, p)
	if s.server == nil {
		return judgement
	}
	if judgement.Verdict == orphan.Live && s.server.VMState == "soft-delete" {
		judgement.Reasons = append(judgement.Reasons, "if nobody wants it back, it goes for good with: openstack server delete --force "+s.uuid+
			" (force: true does the same, but not of one that its owner can still restore)")
	}
	if judgement.Verdict == orphan.Busy {
		for _, m := range s.migrations {
			judgement.Reasons = append(judgement.Reasons, s.wayOut(m)...)
		}
	}
	return judgement
}

// wayOut says what ends a migration that is not over, and how old it is, since one
// that no host works on any more has none.
func (s evidence) wayOut(m compute.Migration) []string {
	if m.Dead() || m.Status == "finished" {
		return nil
	}
	text := "migration " + m.UUID + " was last written at a time that the API does not tell"
	if at := m.WrittenAt(); !at.IsZero() {
		text = fmt.Sprintf("migration %s was last written %s ago", m.UUID, s.server.At.Sub(at).Round(time.Second))
	}
	text += ": if no host works on it any more, openstack server delete " + s.uuid + " ends it with the instance"
	if m.Type == "live-migration" {
		text += fmt.Sprintf(", and one that does run, with: openstack server migration abort %s %d", s.uuid, m.ID)
	}
	return []string{text}
}

// judged is package orphan's judgement, with what only the API's user can override.
func judged(s evidence, p parameters) orphan.Judgement {
	if s.server == nil {
		return orphan.Judgement{Verdict: orphan.Absent, Reasons: []string{"API: no server has this UUID, in any project, and none is listed"}}
	}
	judgement := orphan.Judge(s.evidence(p.Judging()))
	task := s.server.TaskState
	if judgement.Verdict != orphan.Busy || task == "" || s.deleting() {
		return judgement
	}
	withoutTask := s.evidence(p.Judging())
	withoutTask.Cells[0].Row.TaskState = ""
	calm := orphan.Judge(withoutTask)
	idle, minAge := s.idle(), p.Judging().MinAge
	abandoned := !p.Judging().Fresh(s.server.At, s.server.UpdatedAt())
	switch {
	case calm.Verdict == orphan.Stuck && p.ResetState && abandoned:
		calm.Reasons = append(calm.Reasons, fmt.Sprintf("API: instances.task_state = %s: for %s, longer than min_age (%s), and reset_state is "+
			"given", task, idle, minAge))
		return calm
	case calm.Verdict == orphan.Stuck && p.ResetState:
		judgement.Reasons = append(judgement.Reasons, fmt.Sprintf("reset_state resets the task only when nothing was written for min_age "+
			"(%s), and it was %s ago", minAge, idle))
	case calm.Verdict == orphan.Stuck:
		judgement.Reasons = append(judgement.Reasons, "reset_state: true resets the task first, if nothing was written for min_age")
	case calm.Verdict == orphan.Live:
		judgement.Reasons = append(judgement.Reasons, calm.Reasons...)
	}
	return judgement
}

func (s evidence) deleting() bool {
	return orphan.Row{VMState: s.server.VMState, TaskState: s.server.TaskState}.Deleting()
}

// idle is how long ago the server was written, at least; negative if that is not known.
func (s evidence) idle() time.Duration {
	updated := s.server.UpdatedAt()
	if updated.IsZero() {
		return -1
	}
	return s.server.At.Sub(updated).Round(time.Second)
}

// underWay says that the one thing that speaks against a delete is another that has
// not been given up yet. That needs no request, only patience.
func (s evidence) underWay(p parameters, judgement orphan.Judgement) bool {
	// Whatever the clocks say.
	policy := p.Judging()
	policy.UnchangedSince = s.server.UpdatedAt()
	return judgement.Verdict == orphan.Busy && s.deleting() && orphan.Judge(s.evidence(policy)).Verdict == orphan.Stuck
}

// decide gives the plan, or the refusal with all its reasons.
func decide(s evidence, judgement orphan.Judgement, p parameters) (plan, error) {
	if s.server == nil {
		return plan{}, nil
	}
	against := &refusal{outcome: refused}
	if judgement.Verdict == orphan.Unknown {
		against.outcome = unknown
	}
	object := func(format string, values ...any) {
		against.reasons = append(against.reasons, fmt.Sprintf(format, values...))
	}
	waiting := s.underWay(p, judgement)
	switch {
	case waiting:
	case judgement.Verdict.Refuses():
		against.what, against.reasons = fmt.Sprintf("instance %s is %s; ", s.uuid, judgement.Verdict), judgement.Reasons
	default:
		against.reasons = slices.Clone(judgement.Stops)
	}
	if p.Host != "" && s.server.Host != p.Host {
		object("host is %q, but the instance is on %q: names are compared exactly, since a short name and a full one are two hosts to Nova",
			p.Host, s.server.Host)
	}
	// Only where nothing else speaks against it may a more forceful way be next.
	if len(against.reasons) == 0 && !waiting {
		against.outcome = stillThere
	}
	if s.unmapped {
		object("the API lists the instance, but does not find it, so that it cannot delete it: nova-manage cell_v2 map_instances repairs its " +
			"mapping")
	}
	// Not asked for the sake of it: Nova would write the row, which then looks fresh to
	// every judge for min_age. In any other status than UP the API deletes alone.
	if s.futile(p) && !waiting {
		object("in the middle of a delete Nova ignores another one while the host is up (reset_state: true resets the state first)")
	}
	if len(against.reasons) > 0 {
		return plan{}, against
	}
	if waiting {
		return plan{wait: true, steps: []string{"wait until the delete that is under way is over"}}, nil
	}
	return buildPlan(s.server, p), nil
}

// futile says that Nova would take a delete and ignore it (nova/compute/api.py _delete).
func (s evidence) futile(p parameters) bool {
	task := orphan.Row{TaskState: s.server.TaskState}
	return task.Deleting() && s.server.HostStatus == "UP" && !p.ResetState
}

func buildPlan(server *compute.Server, p parameters) plan {
	next := plan{delete: true, wait: true, reset: p.ResetState && server.TaskState != ""}
	for _, volume := range server.Volumes {
		switch {
		case volume.DeleteOnTermination && p.PreserveVolumes:
			next.keep = append(next.keep, volume.ID)
			next.steps = append(next.steps, "set delete_on_termination of volume "+volume.ID+" to false, so that Nova keeps it")
		case volume.DeleteOnTermination:
			next.steps = append(next.steps, "Nova DELETES volume "+volume.ID+" with the instance: its delete_on_termination is set "+
				"(preserve_volumes: true keeps it)")
		}
	}
	if next.reset {
		next.steps = append(next.steps, fmt.Sprintf("reset the state of %s to error and its task from %s to none (os-resetState)", server.ID,
			server.TaskState))
	}
	how := "delete " + server.ID
	if p.Force {
		how = "force the deletion of " + server.ID + " (forceDelete)"
	}
	if server.HostStatus == "DOWN" || server.HostStatus == "UNKNOWN" {
		how += ": by the API alone, since nova-compute on " + server.Host + " is down, which reaps the domain when it starts again"
	}
	next.steps = append(next.steps, how, "wait until it is gone")
	return next
}
