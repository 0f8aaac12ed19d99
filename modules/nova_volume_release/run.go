package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/cinder"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/step"
)

// maxTries bounds how often is written: what somebody attaches meanwhile goes, too.
const maxTries = 5

// task is what is done for one instance.
type task struct {
	*cloud
	instance string
	reply    *entry
	backup   step.Backup
	// seen are the volumes of which this call knows that they are the instance's: when the
	// attachment is gone, nothing may say so any more.
	seen []string
	// earlier are this module's backups, of earlier calls and of this one.
	earlier []record
	// next is what was decided last.
	next plan
	// untraced says that it was of an instance of which Nova's databases know nothing.
	untraced bool
}

// all is the call: each instance for itself.
func (c *cloud) all(ctx context.Context) (ansible.Answer, error) {
	reply := &answer{}
	var err error
	reply.Instances, err = step.Each(ctx, &reply.Result, "instances", c.Instances, step.AtOnce, c.one)
	return reply, err
}

func (c *cloud) one(ctx context.Context, instance string, reply *entry) error {
	t := &task{cloud: c, instance: instance, reply: reply,
		backup: step.Backup{Dir: c.BackupDir, UUID: instance, Module: name, Instance: instance, Kind: backup.Record, Answer: &reply.Answer}}
	if t.State == released {
		return t.release(ctx)
	}
	e, err := t.read(ctx)
	reply.fill(e)
	if err != nil {
		return err
	}
	reply.Remains = inventory(e, t.parameters)
	if t.State == saved && e.hasAny() && !t.call.Check {
		return t.backup.Save(recordOf(e, plan{}))
	}
	return nil
}

func (t *task) release(ctx context.Context) error {
	if err := t.loadEarlierBackups(); err != nil {
		return err
	}
	loop := step.Loop[evidence]{
		Call: t.call, Answer: &t.reply.Answer, Subject: "instance " + t.instance, Tries: maxTries,
		Read: t.read, Plan: t.plan, Save: t.save, Uncertain: openstack.Uncertain, Pause: openstack.Pause,
		Left: func(e evidence, key string) bool { // a snapshot that is kept by now
			return slices.ContainsFunc(e.Snapshots, func(s cinder.Snapshot) bool { return key == deleteSnapshot.of(s.ID) && s.Status != "deleting" })
		},
		// The port has changed since it was read.
		Again: func(err error) bool { return gophercloud.ResponseCodeIs(err, http.StatusPreconditionFailed) },
	}
	err := loop.Run(ctx)
	if err == nil && !t.reply.Changed {
		t.reply.Plan, t.reply.Msg = nil, "nothing to release"
		if t.untraced {
			t.reply.Msg = "nova's databases have no trace of instance " + t.instance + ": nothing to release"
		}
	}
	return err
}

// plan decides, and says so in the answer. What a later look finds to do is added to what was found first.
func (t *task) plan(e evidence) (actions []step.Action, err error) {
	t.untraced = e.untraced
	t.next, err = decide(e, t.parameters)
	t.reply.fill(e)
	if against := (orphan.Refusal{}); errors.As(err, &against) {
		judged := notAnOrphan(e.instance, e.judgement, "") // whose reasons are there already
		t.reply.Reasons = slices.Concat(e.judgement.Reasons, against[len(judged):])
		return nil, err
	}
	t.reply.Plan = appendNew(t.reply.Plan, t.next.lines()...)
	t.reply.Msg = strings.Join(t.reply.Plan, "; ")
	t.reply.Remains = append([]string{}, t.next.remains...)
	if t.reply.Diff == nil {
		t.reply.Diff = &ansible.Diff{Before: sideOf(e), After: sideOf(predict(e, t.next))}
	}
	for _, a := range t.next.steps {
		actions = append(actions, step.Action{Key: a.kind.of(a.id), Text: a.text, Do: func(ctx context.Context) (bool, error) {
			if err := t.judgeAnew(ctx); err != nil {
				return false, err
			}
			return t.write(ctx, a)
		}})
	}
	return actions, nil
}

// judgeAnew is done before each write: some wait for Cinder, and nobody can put an attachment back.
func (t *task) judgeAnew(ctx context.Context) error {
	said, err := t.lookup.Lookup(ctx, t.instance)
	if err != nil {
		return fmt.Errorf("judge the instance anew: %w", err)
	}
	if against := notAnOrphan(t.instance, said.judgement, " by now"); against != nil {
		t.reply.Verdict, t.reply.Reasons = said.judgement.Verdict, said.judgement.Reasons
		return against
	}
	return nil
}

// save writes down what was read, before something of it is changed. Another look
// writes another file only if it found something else.
func (t *task) save(e evidence) error {
	content := recordOf(e, t.next)
	t.earlier = append(t.earlier, content)
	return t.backup.Save(content)
}

// appendNew adds what the list does not have.
func appendNew(list []string, more ...string) []string {
	for _, text := range more {
		if text != "" && !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}
