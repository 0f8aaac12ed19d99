package main

import (
	"fmt"
	"slices"
	"time"

	"nova-orphan/internal/compute"
	"nova-orphan/internal/orphan"
)

// evidence is what Nova's API knows of the instance at one time.
type evidence struct {
	uuid   string
	server *compute.Server // nil: none, and that is certain
	// unmapped says that the server is listed, but not found by its UUID, so that no
	// request reaches it.
	unmapped   bool
	migrations []compute.Migration
	// own is the server as this call's own last write was seen to leave it; nil if there was none.
	own *compute.Server
	// forced says that this call was to force the deletion of what it is: a reset hides that it was soft-deleted.
	forced bool
}

// policy takes what this call itself wrote for no sign of life, as long as nobody has written since.
func (e evidence) policy(p parameters) orphan.Policy {
	policy := p.Judging(e.uuid)
	if e.own != nil && !written(e.own, e.server) && e.own.UpdatedAt().After(policy.UnchangedSince) {
		policy.UnchangedSince = e.own.UpdatedAt()
	}
	return policy
}

// plan is what the evidence proves, and what there is to do.
type plan struct {
	orphan.Judgement
	keep  []string // volumes whose delete_on_termination is to be taken away
	reset bool     // before the delete
	force bool     // by forceDelete
	wait  bool     // for a delete that others have begun: nothing is to be sent
	lines []string
	// outcome is that of a refusal.
	outcome string
}

// decide gives the plan by this method, and beside it the refusal with all its reasons.
func decide(e evidence, p parameters, method string) (plan, error) {
	next := plan{Judgement: judge(e, p, method)}
	if e.server == nil {
		return next, nil
	}
	next.wait = e.underWay(next.Verdict, e.policy(p))
	against := orphan.Refusal(slices.Clone(next.Stops))
	if next.Verdict.Refuses() && !next.wait {
		against = append(orphan.Refusal{fmt.Sprintf("instance %s is %s", e.uuid, next.Verdict)}, next.Reasons...)
	}
	object := func(format string, values ...any) {
		against.Add(format, values...)
		next.Reasons = append(next.Reasons, against[len(against)-1])
	}
	if p.Host != "" && e.server.Host != p.Host {
		object("host is %q, but the instance is on %q: names are compared exactly, since a short name and a full one are two hosts to Nova",
			p.Host, e.server.Host)
	}
	switch {
	case next.Verdict == orphan.Unknown:
		next.outcome = unknown
	case len(against) > 0 || next.wait:
		next.outcome = refused
	default: // only where nothing else speaks against it may a more forceful way be next
		next.outcome = stillThere
	}
	switch {
	case e.unmapped && next.Verdict == orphan.Lost:
		object("the API lists its build request, but does not find it, so that it cannot delete it: nova_instance_purge removes it")
	case e.unmapped:
		object("the API lists the instance, but does not find it, so that it cannot delete it: nova-manage cell_v2 map_instances repairs its " +
			"mapping")
	}
	// Nova would take it and ignore it (nova/compute/api.py _delete), but write the row, which then looks
	// fresh to every judge for min_age. In any other status than UP the API deletes alone.
	task := orphan.Row{TaskState: e.server.TaskState}
	if task.Deleting() && e.server.HostStatus == "UP" && !resets(method) && !next.wait {
		object("in the middle of a delete Nova ignores another one while the host is up (methods: reset_state resets the state first)")
	}
	switch {
	case len(against) > 0:
		return next, against
	case next.wait:
		next.lines = []string{"wait until the delete that is under way is over"}
	default:
		next.build(e, p, method)
	}
	return next, nil
}

// judge is package orphan's judgement, with what only a user of the API can override, and
// with the ways out that package orphan does not know.
func judge(e evidence, p parameters, method string) orphan.Judgement {
	if e.server == nil {
		return orphan.Judgement{Verdict: orphan.Absent, Reasons: []string{"API: no server has this UUID, in any project, and none is listed"}}
	}
	judgement := orphan.Judge(e.server.Evidence(e.unmapped, e.migrations, e.policy(p)))
	if judgement.Verdict == orphan.Busy && e.server.TaskState != "" && !e.inDelete() {
		judgement = e.judgeTask(judgement, p, method)
	}
	return judgement
}

// judgeTask judges an instance in the middle of something other than a delete by what it
// would be without: a reset takes an old task from one in ERROR.
func (e evidence) judgeTask(busy orphan.Judgement, p parameters, method string) orphan.Judgement {
	calm, policy := *e.server, e.policy(p)
	calm.TaskState, policy.AllowSoftDeleted = "", false // who restores it wants it back
	without := orphan.Judge(calm.Evidence(e.unmapped, e.migrations, policy))
	idle, known := e.server.At.Sub(e.server.UpdatedAt()).Round(time.Second), !e.server.UpdatedAt().IsZero()
	switch {
	case without.Verdict == orphan.Live:
		busy.Reasons = append(busy.Reasons, without.Reasons...)
	case without.Verdict != orphan.Stuck:
	case !resets(method):
		busy.Reasons = append(busy.Reasons, "methods: reset_state resets the task first, if nothing was written for min_age")
	case !known:
		busy.Reasons = append(busy.Reasons, method+" resets the task only when nothing was written for min_age, "+
			"and Nova does not tell when it was")
	case policy.Fresh(e.server.At, e.server.UpdatedAt()):
		busy.Reasons = append(busy.Reasons, fmt.Sprintf("%s resets the task only when nothing was written for min_age (%s), "+
			"and it was %s ago", method, policy.MinAge, idle))
	default:
		without.Reasons = append(without.Reasons, fmt.Sprintf("API: instances.task_state = %s: for %s, longer than min_age (%s), "+
			"and %s is given", e.server.TaskState, idle, policy.MinAge, method))
		return without
	}
	return busy
}

func (e evidence) inDelete() bool {
	return orphan.Row{VMState: e.server.VMState, TaskState: e.server.TaskState}.Deleting()
}

// underWay says that the one thing that speaks against a delete is another that has
// not been given up yet. That needs no request, only patience.
func (e evidence) underWay(verdict orphan.Verdict, policy orphan.Policy) bool {
	policy.UnchangedSince = e.server.UpdatedAt() // so that it is abandoned, whatever the clocks say
	return verdict == orphan.Busy && e.inDelete() && orphan.Judge(e.server.Evidence(e.unmapped, e.migrations, policy)).Verdict == orphan.Stuck
}

func (next *plan) build(e evidence, p parameters, method string) {
	server := e.server
	next.reset = resets(method) && server.TaskState != "" && next.Verdict != orphan.Lost // a build request has no row to write
	// A cloud with reclaim_instance_interval would only mark it again (nova/api/openstack/compute/servers.py _delete).
	next.force = method == byForce || e.forced || server.VMState == "soft-delete"
	for _, volume := range server.Volumes {
		switch {
		case volume.DeleteOnTermination && p.PreserveVolumes:
			next.keep = append(next.keep, volume.ID)
			next.lines = append(next.lines, keeping(volume.ID))
		case volume.DeleteOnTermination:
			next.lines = append(next.lines, "Nova DELETES volume "+volume.ID+" with the instance: its delete_on_termination is set "+
				"(preserve_volumes: true keeps it)")
		}
	}
	if next.reset {
		next.lines = append(next.lines, resetting(server))
	}
	how := "delete " + server.ID
	if next.force {
		how = "force the deletion of " + server.ID + " (forceDelete)"
	}
	if server.HostStatus == "DOWN" || server.HostStatus == "UNKNOWN" {
		how += ": by the API alone, since nova-compute on " + server.Host + " is down, which reaps the domain when it starts again"
	}
	next.lines = append(next.lines, how, "wait until it is gone")
}

func keeping(volume string) string {
	return "set delete_on_termination of volume " + volume + " to false, so that Nova keeps it"
}

func resetting(server *compute.Server) string {
	return fmt.Sprintf("reset the state of %s to error and its task from %s to none (os-resetState)", server.ID, server.TaskState)
}
