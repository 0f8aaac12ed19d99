package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"nova-orphan/internal/compute"
)

// setting is what this module can change of a service.
type setting struct {
	ForcedDown     bool   `json:"forced_down"`
	Status         string `json:"status"`
	DisabledReason string `json:"disabled_reason"` // empty: none
}

func settingOf(s compute.Service) setting {
	now := setting{ForcedDown: s.ForcedDown, Status: s.Status}
	if s.DisabledReason != nil {
		now.DisabledReason = *s.DisabledReason
	}
	return now
}

// wanted is the setting that the options ask for, of a service that has this one now.
func wanted(now setting, p parameters) setting {
	after := now
	if p.ForcedDown != nil {
		after.ForcedDown = *p.ForcedDown
	}
	switch {
	case p.State == enabled:
		after.Status, after.DisabledReason = enabled, ""
	case p.State == disabled && p.DisabledReason != "":
		after.Status, after.DisabledReason = disabled, p.DisabledReason
	case p.State == disabled:
		after.Status = disabled // a reason that is there stays
	}
	return after
}

// restored puts back what a step changed, and leaves alone what it did not. The flag
// is put back only while the service is as the step left it: others set it, too, to
// fence the host. What is left then is told.
func restored(service compute.Service, from record) (after setting, told string, err error) {
	now := settingOf(service)
	was, left := from.Before, from.ChangedTo
	after = now
	if was.ForcedDown != left.ForcedDown && now.ForcedDown != was.ForcedDown {
		if told = from.objection(service); told == "" {
			after.ForcedDown = was.ForcedDown
		}
	}
	switch {
	case was.schedule() == left.schedule(), now.schedule() == was.schedule():
	case now.schedule() == left.schedule():
		after.Status, after.DisabledReason = was.Status, was.DisabledReason
	default:
		return now, told, fmt.Errorf("refused: the service is %s by now: somebody has changed it since it was set from %s to %s",
			now.schedule(), was.schedule(), left.schedule())
	}
	return after, told, nil
}

// longAgo is when a service that a killed run left forced down may have become a fenced one:
// who fences what is down already writes nothing, so that no column tells.
const longAgo = 10 * time.Minute

// objection says why it cannot be told that the flag is the run's own, and what to do.
// A nova-compute that runs writes the service every report_interval, forced down or
// not (nova/servicegroup/drivers/db.py _report_state).
func (r record) objection(now compute.Service) string {
	why := ""
	switch {
	case r.Left == nil || r.Left.UpdatedAt == nil || now.UpdatedAt == nil:
		why = "that run did not come to write down how it left the service"
	case *now.UpdatedAt != *r.Left.UpdatedAt || now.ForcedDown != r.Left.ForcedDown:
		why = fmt.Sprintf("the service was written at %s, after that run left it at %s (as nova-compute does every few seconds while it runs)",
			*now.UpdatedAt, *r.Left.UpdatedAt)
	case r.age > longAgo:
		why = fmt.Sprintf("that run is %s ago, and who has fenced the host since wrote nothing", r.age.Round(time.Second))
	default:
		return ""
	}
	state, verb := "forced down", "up"
	if !now.ForcedDown {
		state, verb = "not forced down", "down"
	}
	return fmt.Sprintf("nova-compute on %s is %s, and stays so: whether by the run of this backup cannot be told, since %s; "+
		"if nobody else wants it so: openstack compute service set --%s %s %s", now.Host, state, why, verb, now.Host, now.Binary)
}

// leftover is a service that an earlier run on behalf of the instance has forced down
// and not put back.
type leftover struct {
	Host       string `json:"host"`
	BackupFile string `json:"backup_file"`
	// AsLeft says that backup_file puts it back; if not, Msg says why.
	AsLeft  bool            `json:"as_left"`
	Msg     string          `json:"msg"`
	Service compute.Service `json:"service"`
}

// saved is a backup of this module.
type saved struct {
	path string
	record
}

// leftovers are the services that the runs, the oldest first, have left forced down:
// of each the last one that changed the flag counts.
func leftovers(runs []saved, now []compute.Service) []leftover {
	last := map[string]saved{}
	for _, run := range runs {
		if run.Before.ForcedDown != run.ChangedTo.ForcedDown {
			last[run.Service.ID] = run
		}
	}
	left := []leftover{}
	for _, service := range now {
		if run, ok := last[service.ID]; ok && run.ChangedTo.ForcedDown && service.ForcedDown {
			why := run.objection(service)
			left = append(left, leftover{Host: service.Host, BackupFile: run.path, AsLeft: why == "", Msg: why, Service: service})
		}
	}
	return left
}

// schedule is the part of a setting that goes together.
func (s setting) schedule() string {
	if s.DisabledReason == "" {
		return s.Status
	}
	return fmt.Sprintf("%s (%s)", s.Status, s.DisabledReason)
}

// changeTo is the smallest request that makes one of the other.
func changeTo(now, after setting) (change compute.Change) {
	if now.ForcedDown != after.ForcedDown {
		change.ForcedDown = &after.ForcedDown
	}
	if now.schedule() != after.schedule() {
		change.Status = &after.Status
		if after.Status == disabled && after.DisabledReason != "" {
			change.DisabledReason = &after.DisabledReason
		}
	}
	return change
}

// steps says what the change does, a step a line.
func steps(host string, now, after setting) (lines []string) {
	switch {
	case !now.ForcedDown && after.ForcedDown:
		lines = append(lines, "force nova-compute on "+host+" down")
	case now.ForcedDown && !after.ForcedDown:
		lines = append(lines, "no longer force nova-compute on "+host+" down")
	}
	if now.schedule() != after.schedule() {
		lines = append(lines, fmt.Sprintf("set nova-compute on %s to %s", host, after.schedule()))
	}
	return lines
}

// shownHosts is how many hosts an error text lists.
const shownHosts = 8

// pick is the one service that is meant; all are those of the binary on any host.
func pick(found, all []compute.Service, p parameters) (compute.Service, error) {
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
	default:
		return compute.Service{}, fmt.Errorf("there are %d services %s on host %s, as if two cells had one each: which is meant cannot be told", len(found), p.Binary, p.Host)
	}
	var hosts []string
	for _, service := range all {
		hosts = append(hosts, service.Host)
	}
	slices.Sort(hosts)
	list := strings.Join(hosts[:min(len(hosts), shownHosts)], ", ")
	switch {
	case len(hosts) == 0:
		list = "there is none on any host"
	case len(hosts) > shownHosts:
		list = fmt.Sprintf("there is one on %s and on %d more", list, len(hosts)-shownHosts)
	default:
		list = "there is one on " + list
	}
	return compute.Service{}, fmt.Errorf("there is no service %s on host %q: %s (a short name and a full one are two hosts to Nova)", p.Binary, p.Host, list)
}
