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

// restored puts back what a step changed, and leaves alone what it did not. The flag stays
// if there is an objection to putting it back, which is told then.
func restored(service compute.Service, from record, objection string) (after setting, told string, err error) {
	now := settingOf(service)
	was, left := from.Before, from.ChangedTo
	after = now
	if was.ForcedDown != left.ForcedDown && now.ForcedDown != was.ForcedDown {
		if told = objection; told == "" {
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

const (
	// longAgo is when a service that a killed run left forced down may have become a fenced one:
	// who fences what is down already writes nothing, so that no column tells.
	longAgo = 10 * time.Minute
	// atLeast is how long a host is left to a run that has it count as down.
	atLeast = 2 * time.Minute
	// inFlight is how long the write may take of a run that was killed before it read it back.
	inFlight = time.Minute
)

// objection says why it cannot be told that the flag is the run's own, and what to do; it is
// empty if nobody else can have set it. The flag was another before the first of all runs
// whose flag it is, since a run that finds it set writes no record.
//
// A nova-compute that runs writes the service every report_interval, forced down or not
// (nova/servicegroup/drivers/db.py _report_state). Only that it reports now explains
// why the service was written since; and a host that reports is none that was fenced.
func (r record) objection(now compute.Service, history []record, reports bool) string {
	why := ""
	switch {
	case slices.ContainsFunc(history, r.overSince):
		why = "it was put back since, and then set again"
	case r.age > longAgo:
		why = fmt.Sprintf("that run is %s ago, and who has fenced the host since wrote nothing", r.age.Round(time.Second))
	case (r.Left == nil || r.Left.UpdatedAt == nil) && !reports && !r.wrote(now):
		why = "that run did not come to write down how it left the service"
	case settingOf(now).schedule() != r.left().schedule() && !settingOf(now).byItself():
		why = fmt.Sprintf("somebody has set the service to %s since", settingOf(now).schedule())
	case reports || r.wrote(now):
		return ""
	default:
		why = "the service was written after that run left it, and nova-compute, which does so while it runs, does not report"
	}
	state, verb := "forced down", "up"
	if !now.ForcedDown {
		state, verb = "not forced down", "down"
	}
	return fmt.Sprintf("nova-compute on %s is %s, and stays so: whether by the run of this backup cannot be told, since %s; "+
		"if nobody else wants it so: openstack compute service set --%s %s %s", now.Host, state, why, verb, now.Host, now.Binary)
}

// byItself says that nova-compute has set its schedule by its own judgement of libvirt
// (nova/virt/libvirt/driver.py _set_host_enabled, DISABLE_PREFIX).
func (s setting) byItself() bool { return strings.HasPrefix(s.DisabledReason, "AUTO: ") }

// left is the setting as the run left it, as far as it came to know.
func (r record) left() setting {
	if r.Left == nil {
		return r.ChangedTo
	}
	return settingOf(*r.Left)
}

// since is when the run's write was done, for certain.
func (r record) since() time.Time {
	if r.Left == nil {
		return r.At.Add(inFlight)
	}
	return r.LeftAt
}

// overSince says that a run has seen the flag as it was before r, after r set it.
func (r record) overSince(other record) bool {
	return other.Left != nil && other.Service.ID == r.Service.ID && other.Left.ForcedDown == r.Before.ForcedDown &&
		other.LeftAt.After(r.since())
}

// wrote says that the service was written last by the run. Where that run was killed
// before it knew, its write came within a moment of its backup.
func (r record) wrote(now compute.Service) bool {
	switch {
	case now.UpdatedAt == nil:
		return false
	case r.Left != nil:
		return r.Left.UpdatedAt != nil && *now.UpdatedAt == *r.Left.UpdatedAt && now.ForcedDown == r.Left.ForcedDown
	}
	at, err := time.Parse("2006-01-02T15:04:05", *now.UpdatedAt) // and with any fraction of a second
	return err == nil && at.Sub(r.At).Abs() <= inFlight
}

// leftover is a service that an earlier run has forced down and not put back.
type leftover struct {
	Host       string `json:"host"`
	BackupFile string `json:"backup_file"`
	// AsLeft says that backup_file puts it back; if not, Msg says why.
	AsLeft  bool            `json:"as_left"`
	Msg     string          `json:"msg"`
	Service compute.Service `json:"service"`
}

// leftovers are the records whose flag a service may still have, the instance's own first, then
// the latest. Of other instances' they are those of which it is not long ago.
func leftovers(history []record, instance string) (found []record) {
	for _, r := range history {
		forced := !r.Before.ForcedDown && r.ChangedTo.ForcedDown && !slices.ContainsFunc(history, r.overSince)
		if forced && (r.instance == instance || r.age <= longAgo) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b record) int {
		if (a.instance == instance) != (b.instance == instance) {
			return map[bool]int{true: -1, false: 1}[a.instance == instance]
		}
		return b.since().Compare(a.since())
	})
	return found
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
		return compute.Service{}, fmt.Errorf("there are %d services %s on host %s, as if two cells had one each: which is meant cannot be told",
			len(found), p.Binary, p.Host)
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
	return compute.Service{}, fmt.Errorf("there is no service %s on host %q: %s (a short name and a full one are two hosts to Nova)", p.Binary,
		p.Host, list)
}
