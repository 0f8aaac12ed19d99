package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/step"
)

// services is the Nova that this module needs.
type services interface {
	Services(ctx context.Context, binary, host string) ([]compute.Service, error)
	CountServers(ctx context.Context, host string) (compute.Count, error)
	ForceDown(ctx context.Context, service string, value bool) error
}

// task is what is done for one host.
type task struct {
	ledger
	call  *ansible.Call
	host  string
	reply *entry
	// saved is the backup's content.
	saved record
	// seen is the last evidence, and sent says that Nova took the change.
	seen evidence
	sent bool
}

// evidence is what is known of the service at one time.
type evidence struct {
	service compute.Service
	// found are those of this host; unless it is one, service is empty. If there is none, all are those of any host.
	found, all []compute.Service
	// at is just before it was read.
	at time.Time
	// count is that of the servers; nil unless the host is about to count as down.
	count *compute.Count
	// from is the backup to put back, if there is one, and objection why it may not be.
	from      *record
	objection string
}

// maxTries bounds how often the flag is written, each time judged anew. To set it twice does no harm.
const maxTries = 3

// do changes the service, or shows it.
func (t *task) do(ctx context.Context) error {
	loop := step.Loop[evidence]{
		Call: t.call, Answer: &t.reply.Answer, Subject: "nova-compute on " + t.host, Tries: maxTries, Read: t.read, Plan: t.plan,
		Save: t.save, Pause: openstack.Pause,
		// What is not to be done any more need not be done: the flag itself tells what came of a write.
		Uncertain: func(error) bool { return false }, Again: openstack.Uncertain,
	}
	err := loop.Run(ctx)
	if err != nil || !t.reply.Changed || t.call.Check {
		return err
	}
	t.call.Audit("%s, backup in %s", strings.Join(t.reply.Plan, "; "), t.reply.BackupFile)
	// A later run puts back only what is still as this one left it.
	t.saved.Left, t.saved.LeftAt = &t.seen.service, t.seen.at
	if err := backup.Replace(t.reply.BackupFile, t.saved); err != nil {
		t.warn("a later run cannot tell from the backup how this one left the service: " + err.Error())
	}
	return nil
}

func (t *task) read(ctx context.Context) (e evidence, err error) {
	e.at = t.now()
	e.found, err = t.nova.Services(ctx, binary, t.host)
	if err != nil {
		t.reply.Verdict = orphan.Unknown
		if t.sent {
			err = fmt.Errorf("it was written, but could not be read back (run the module again): %w", err)
		}
		return e, err
	}
	exists := len(e.found) > 0
	t.reply.Exists = &exists
	if !exists {
		e.all, err = t.nova.Services(ctx, binary, "")
	}
	if len(e.found) != 1 {
		return e, err
	}
	e.service = e.found[0]
	if t.reply.Service = &e.service; t.reply.ServiceBefore == nil {
		t.reply.ServiceBefore = &e.service
	}
	if t.ForcedDown != nil && *t.ForcedDown && !e.service.ForcedDown {
		e.count = new(compute.Count)
		if *e.count, err = t.nova.CountServers(ctx, t.host); err != nil {
			return e, fmt.Errorf("count the servers on %s: %w", t.host, err)
		}
	}
	if t.backup == "" {
		return e, nil
	}
	from, err := t.given(e.service)
	if err == nil && e.service.ForcedDown != from.Before.ForcedDown {
		e.objection, err = t.objection(ctx, from, e.service)
	}
	e.from = &from
	return e, err
}

// plan says what there is to do, and does so in the answer at the first look.
func (t *task) plan(e evidence) ([]step.Action, error) {
	if len(e.found) != 1 {
		return nil, notOne(e.found, e.all, t.host)
	}
	t.seen = e
	now, told := e.service.ForcedDown, ""
	t.reply.Changed = t.reply.Changed || now != t.reply.ServiceBefore.ForcedDown
	after := now
	if t.ForcedDown != nil {
		after = *t.ForcedDown
	}
	if e.from != nil {
		var err error
		if after, told, err = restored(e.service, *e.from, e.objection); err != nil {
			return nil, err
		}
	}
	text := "force nova-compute on " + t.host + " down"
	if !after {
		text = "no longer force nova-compute on " + t.host + " down"
	}
	if t.reply.Diff == nil {
		t.reply.Msg = "nothing to change"
		if now != after {
			t.reply.Plan, t.reply.Msg = []string{text}, text
		}
		t.reply.Diff = &ansible.Diff{Before: map[string]any{"forced_down": now}, After: map[string]any{"forced_down": after}}
		t.saved = record{Service: e.service, Before: settingOf(e.service), ChangedTo: settingOf(e.service)}
		t.saved.ChangedTo.ForcedDown = after
	}
	if told != "" { // perhaps only by now
		t.warn(told)
		t.reply.Msg = told
	}
	t.tellCount(e)
	switch {
	case now == after:
		return nil, nil
	case t.sent:
		return nil, errors.New("it was written, but is something else when read back: somebody else changes it, too")
	}
	return []step.Action{{Key: text, Text: text, Do: func(ctx context.Context) (bool, error) {
		err := t.nova.ForceDown(ctx, e.service.ID, after)
		t.sent = err == nil
		return false, err // what it did is read back
	}}}, nil
}

// awaitReport waits until nova-compute has reported once more, however often Nova fails to answer meanwhile.
func (t *task) awaitReport(ctx context.Context) error {
	before := t.seen.service.UpdatedAt
	last := "none"
	if before != nil {
		last = *before
	}
	for {
		if err := openstack.Pause(ctx, reportPause); err != nil {
			return fmt.Errorf("%s on %s has not reported to Nova since (last: %s): its log tells why, and systemctl status. "+
				"Start it first", binary, t.host, last)
		}
		found, err := t.nova.Services(ctx, binary, t.host)
		switch {
		case err != nil:
			last = err.Error()
		case len(found) == 1 && found[0].UpdatedAt != nil && (before == nil || *found[0].UpdatedAt != *before):
			t.reply.Service = &found[0]
			return nil
		}
	}
}

// tellCount warns of what a forced-down host is to others while servers live on it.
func (t *task) tellCount(e evidence) {
	if e.count == nil {
		return
	}
	t.reply.Servers = e.count
	if living := e.count.Total - e.count.Error; living > 0 {
		t.warn(fmt.Sprintf("%d servers on %s are not in ERROR: as long as it is forced down, evacuation "+
			"tools take the host for failed, and Nova deletes its servers without it", living, t.host))
	}
}

func (t *task) save(e evidence) (err error) {
	if t.reply.BackupFile != "" {
		return nil // how it was before the first try
	}
	t.saved.At = t.now()
	t.reply.BackupFile, err = backup.Write(t.BackupDir, backup.Backup{Kind: backup.ForcedDown, Module: name,
		UUID: cmp.Or(t.own(), e.service.ID), Instance: t.InstanceUUID, Data: t.saved})
	return err
}

// shownHosts is how many hosts an error text lists.
const shownHosts = 8

// notOne says why it cannot be told which service is meant.
func notOne(found, all []compute.Service, host string) error {
	if len(found) > 0 {
		return fmt.Errorf("there are %d services %s on host %s, as if two cells had one each: which is meant cannot be told", len(found),
			binary, host)
	}
	var hosts []string
	for _, service := range all {
		hosts = append(hosts, service.Host)
	}
	slices.Sort(hosts)
	list := "there is one on " + strings.Join(hosts[:min(len(hosts), shownHosts)], ", ")
	switch {
	case len(hosts) == 0:
		list = "there is none on any host"
	case len(hosts) > shownHosts:
		list += fmt.Sprintf(" and on %d more", len(hosts)-shownHosts)
	}
	return fmt.Errorf("there is no service %s on host %q: %s (a short name and a full one are two hosts to Nova)", binary, host, list)
}
