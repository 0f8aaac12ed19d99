package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/hypervisor"
)

type restarted struct {
	ansible.Result
	// Left are those to be reaped that have a domain here.
	Left []string `json:"left"`
	// Service is nova-compute's unit, and Log where it logs to, once they are found.
	Service string `json:"service,omitempty"`
	Log     string `json:"log,omitempty"`
	// LogEnd is where the log ended when nova-compute was restarted. Without a restart there is none.
	LogEnd string `json:"log_end,omitempty"`
	// Starts are guests that are off, and that the restart may start.
	Starts []string `json:"starts"`
	// Unread says what could not be read, and why: whether it starts more is then not known.
	Unread []string `json:"unread"`
}

// refusal is nil if nova-compute may be restarted.
func (p parameters) refusal(running []string, service compute) error {
	reasons := slices.Clone(p.Objections)
	if len(running) > 0 && !p.Destroy {
		reasons = append(reasons, "a guest of "+strings.Join(running, ", ")+
			" runs by now: a restart of nova-compute would power it off. If it may go, destroy: true")
	}
	if reasons = append(reasons, service.refusals...); len(reasons) == 0 {
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
	service, err := p.find(ctx, here)
	if service.waited {
		return p.restart(ctx, call, here)
	}
	if err == nil && len(service.refusals) == 0 {
		var why string
		if why, err = p.stays(call, service.conf); why != "" {
			service.refusals = append(service.refusals, why)
		}
	}
	if err == nil {
		err = p.refusal(running, service)
	}
	if err == nil {
		reply.Service, reply.Log = service.unit, service.log.String()
		err = p.foresee(ctx, here, service.conf, reply)
	}
	what := fmt.Sprintf("restart %s, which is to reap %d domains and to take up %d deletions again",
		service.unit, len(reply.Left), len(p.Resume))
	if err == nil && !call.Check {
		writing, cancel := call.WithoutInterrupt(ctx)
		defer cancel()
		if _, err = here.command(writing, service.state.restart()...); err == nil {
			call.Audit("%s: %s", what, strings.Join(whose, ", "))
			reply.Changed = true
			reply.LogEnd, err = here.awaitRestart(writing, service)
		}
	} else if err == nil {
		reply.LogEnd, err = service.log.place(ctx)
	}
	if err != nil {
		return reply, err
	}
	reply.Changed, reply.Msg = true, what
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
func (p parameters) foresee(ctx context.Context, here libvirt, conf []string, reply *restarted) error {
	on, unread := resumesGuests(conf)
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
