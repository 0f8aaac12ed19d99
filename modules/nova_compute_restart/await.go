package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"nova-orphan/internal/ansible"
)

type awaited struct {
	ansible.Result
	// Left are those to be reaped that still have a domain here.
	Left []string `json:"left"`
	// Complained are the instances of which nova-compute has logged that it does not manage them.
	Complained []string `json:"complained"`
	// Log is what was read: a file, the journal of a unit, or none.
	Log string `json:"log"`
	// LogSilent says that nothing was logged since.
	LogSilent bool `json:"log_silent"`
	// LogRotated says that what was logged before the rotation was not read.
	LogRotated bool `json:"log_rotated"`
}

var complaint = regexp.MustCompile(`Instance ([0-9a-f-]{36}) is not being actively managed`)

// traces match what the periodic tasks log that reap. A pass that finds nothing wrong leaves no line at the level INFO. While a domain is
// there, the synchronisation of the power states counts one too many and says so; the reaping follows in the same run of the tasks
// (nova/compute/manager.py _sync_power_states, _cleanup_running_deleted_instances; nova/virt/libvirt/driver.py _wait_for_destroy).
func traces(reap []string) *regexp.Regexp {
	return regexp.MustCompile(`instances on the hypervisor|(?:` + strings.Join(reap, "|") + `)\].*(?:marked as DELETED|Instance destroyed)`)
}

// reapTime is how long, in seconds, so many domains may take to be reaped.
func reapTime(deadline, domains int) int { return deadline + 2*domains }

// until is when the wait ends that began then, with the traces seen at that time, or not yet.
func (p parameters) until(begun, traced time.Time) time.Time {
	if traced.IsZero() {
		return begun.Add(time.Duration(p.PassDeadline) * time.Second)
	}
	return traced.Add(time.Duration(reapTime(p.ReapDeadline, len(p.Reap))) * time.Second)
}

// await looks at the domains and reads the log until all of them are gone, or there is no more hope.
func (p parameters) await(ctx context.Context, here host) (ansible.Answer, error) {
	log, err := here.openLog(p.LogSince)
	if err != nil {
		return nil, err
	}
	reply := &awaited{Complained: []string{}, Log: log.String(), LogSilent: true}
	begun, traced, trace := time.Now(), time.Time{}, traces(p.Reap)
	for {
		left, _, err := find(ctx, here, p.Reap)
		added, unread := log.read(ctx)
		// A libvirtd that restarts, or a log between two files, is there again in a moment.
		err = errors.Join(err, unread)
		reply.LogSilent = reply.LogSilent && added == ""
		for _, said := range complaint.FindAllStringSubmatch(added, -1) {
			if !slices.Contains(reply.Complained, said[1]) {
				reply.Complained = append(reply.Complained, said[1])
			}
		}
		if traced.IsZero() && trace.MatchString(added) {
			traced = time.Now()
		}
		if over := !time.Now().Before(p.until(begun, traced)); over && err != nil {
			return nil, err
		} else if over || err == nil && len(left) == 0 {
			reply.Left, reply.LogRotated = left, log.rotated()
			return p.tell(reply), nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-time.After(here.poll):
		}
	}
}

// tell says what became of it. What is left is for others to undefine, and no failure.
func (p parameters) tell(reply *awaited) *awaited {
	reply.Msg = fmt.Sprintf("domains gone: %d, left: %d", len(p.Reap)-len(reply.Left), len(reply.Left))
	if len(reply.Left) > 0 {
		reply.Warnings = append(reply.Warnings, "nova-compute has not reaped "+strings.Join(reply.Left, ", "))
	}
	if reply.LogSilent && reply.Log != "none" {
		reply.Warnings = append(reply.Warnings, reply.Log+" has nothing since the restart: what nova-compute complains of is not known. "+
			"Is it its log (log)?")
	}
	if reply.LogRotated {
		reply.Warnings = append(reply.Warnings, reply.Log+" was rotated since the restart: what was logged before that is not known")
	}
	return reply
}
