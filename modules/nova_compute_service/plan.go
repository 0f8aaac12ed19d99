package main

import (
	"fmt"
	"slices"
	"strings"

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

// restored puts back what a step changed, and leaves alone what it did not.
func restored(now setting, from record) (setting, error) {
	after, was, left := now, from.Before, from.ChangedTo
	if was.ForcedDown != left.ForcedDown {
		after.ForcedDown = was.ForcedDown
	}
	switch {
	case was.schedule() == left.schedule(), now.schedule() == was.schedule():
	case now.schedule() == left.schedule():
		after.Status, after.DisabledReason = was.Status, was.DisabledReason
	default:
		return now, fmt.Errorf("refused: the service is %s by now: somebody has changed it since it was set from %s to %s",
			now.schedule(), was.schedule(), left.schedule())
	}
	return after, nil
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
