package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/hypervisor"
)

type restarted struct {
	ansible.Result
	// Left are those to be reaped that have a domain here.
	Left []string `json:"left"`
	// LogEnd is where the log ended before the restart. Without a restart there is none.
	LogEnd string `json:"log_end,omitempty"`
	// Starts are guests that are off, and that the restart may start.
	Starts []string `json:"starts"`
	// Unread says what could not be read, and why: whether it starts more is then not known.
	Unread []string `json:"unread"`
}

// evidence is what tells whether nova-compute may be restarted.
type evidence struct {
	running []string // guests of those that it is restarted for
	hasLog  bool
	unit    unit
}

// refusal is nil if nova-compute may be restarted.
func (p parameters) refusal(seen evidence) error {
	reasons := slices.Clone(p.Objections)
	if len(seen.running) > 0 && !p.Destroy {
		reasons = append(reasons, "a guest of "+strings.Join(seen.running, ", ")+
			" runs by now: a restart of nova-compute would power it off. If it may go, destroy: true")
	}
	if !seen.hasLog {
		reasons = append(reasons, "there is no "+p.Log+" (log), by which a restarted nova-compute is waited for")
	}
	switch {
	case !seen.unit.loaded():
		reasons = append(reasons, "systemd has loaded no unit "+p.Service+" (service)")
	case !seen.unit.on() && !p.StartCompute:
		reasons = append(reasons, fmt.Sprintf("the unit %s is %s, as where somebody has stopped it: start it yourself, or start_compute: true",
			p.Service, seen.unit["ActiveState"]))
	}
	if len(reasons) == 0 {
		return nil
	}
	return errors.New(strings.Join(reasons, "; "))
}

// restart looks and judges immediately before it restarts. It returns when the unit is restarted.
func (p parameters) restart(ctx context.Context, call *ansible.Call, here host) (ansible.Answer, error) {
	whose := slices.Compact(slices.Sorted(slices.Values(slices.Concat(p.Reap, p.Resume))))
	there, running, err := find(ctx, here, whose)
	if err != nil {
		return nil, err
	}
	left := slices.DeleteFunc(there, func(uuid string) bool { return !slices.Contains(p.Reap, uuid) })
	reply := &restarted{Left: left, Starts: []string{}, Unread: []string{}}
	if len(reply.Left)+len(p.Resume) == 0 {
		reply.Msg = "nothing is left here for nova-compute to do: it is not restarted"
		return reply, nil
	}
	service, waited, err := here.unit(ctx, p.Service)
	if waited {
		return p.restart(ctx, call, here)
	}
	file, end, unread := openAt(p.Log)
	if unread == nil {
		defer file.Close()
	}
	switch {
	case err != nil:
	case unread != nil && !errors.Is(unread, fs.ErrNotExist):
		err = unread
	default:
		err = p.refusal(evidence{running, unread == nil, service})
	}
	if err == nil {
		err = p.foresee(ctx, here, reply)
	}
	what := fmt.Sprintf("restart %s, which is to reap %d domains and to take up %d deletions again", p.Service, len(reply.Left), len(p.Resume))
	if err == nil && !call.Check {
		writing, cancel := call.WithoutInterrupt(ctx)
		defer cancel()
		if _, err = here.systemctl(writing, "restart", "--", p.Service); err == nil {
			call.Audit("%s: %s", what, strings.Join(whose, ", "))
		}
	}
	if err != nil {
		return reply, err
	}
	reply.Changed, reply.LogEnd, reply.Msg = true, end.String(), what
	return reply, nil
}

// find tells which of these have a domain here, and of which a guest runs.
func find(ctx context.Context, here libvirt, uuids []string) (there, running []string, err error) {
	there = []string{}
	for _, uuid := range uuids {
		domain, err := here.Domain(ctx, uuid)
		switch {
		case errors.Is(err, hypervisor.ErrNoDomain):
			continue
		case err != nil:
			return nil, nil, err
		case domain.Active:
			running = append(running, uuid)
		}
		there = append(there, uuid)
	}
	return there, running, nil
}

// foresee tells the guests that a start of nova-compute may start: those that are off, where it is told to resume guests.
func (p parameters) foresee(ctx context.Context, here libvirt, reply *restarted) error {
	on, unread := resumesGuests(p.Conf)
	reply.Unread = append(reply.Unread, unread...)
	if !on {
		return nil
	}
	view, err := here.Overview(ctx)
	for _, domain := range view.Domains {
		if !domain.Active && !slices.Contains(p.Reap, domain.UUID) {
			reply.Starts = append(reply.Starts, domain.UUID)
		}
	}
	for _, domain := range view.Unread {
		reply.Unread = append(reply.Unread, domain.Reason)
	}
	return err
}
