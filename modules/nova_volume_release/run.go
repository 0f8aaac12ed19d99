package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/step"
)

// maxTries bounds how often is written: a volume that is to be deleted waits for its attachments.
const maxTries = 5

// task is what is done for one instance.
type task struct {
	*cloud
	instance string
	reply    *entry
	backup   step.Backup
	// seen are the volumes and ports met.
	seen, seenPorts seen
	earlier         earlierBackups
	// next is what was decided last.
	next plan
}

// all is the call: each instance for itself.
func (c *cloud) all(ctx context.Context) (ansible.Answer, error) {
	reply := &answer{}
	var err error
	reply.Instances, err = step.Each(ctx, &reply.Result, "instances", c.Instances, step.AtOnce, c.one)
	return reply, err
}

func (c *cloud) one(ctx context.Context, instance string, reply *entry) error {
	t := &task{cloud: c, instance: instance, reply: reply, earlier: earlierBackups{},
		backup: step.Backup{Dir: c.BackupDir, UUID: instance, Module: name, Answer: &reply.Answer}}
	reply.Remains = []string{}
	if t.State == released {
		return t.release(ctx)
	}
	e, err := t.read(ctx)
	reply.fill(e)
	if err != nil {
		return err
	}
	reply.Remains = inventory(e, t.parameters)
	if t.State == saved && len(e.volumes)+len(e.ports)+len(e.formerPorts) > 0 && !t.call.Check {
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
		Read: t.read, Plan: t.plan, Save: t.save, Uncertain: openstack.Uncertain, Again: again, Pause: openstack.Pause,
	}
	err := loop.Run(ctx)
	if err == nil && !t.reply.Changed {
		t.reply.Plan, t.reply.Msg = nil, "nothing to release"
	}
	return err
}

// plan decides, and says so in the answer.
func (t *task) plan(e evidence) (actions []step.Action, err error) {
	t.next, err = decide(e, t.parameters)
	t.reply.fill(e)
	if err != nil {
		t.reply.addReasons(e, err)
		return nil, err
	}
	t.reply.plan(e, t.next)
	for _, a := range t.next.steps {
		actions = append(actions, step.Action{Key: string(a.kind) + " " + a.id, Text: a.text, Do: func(ctx context.Context) (bool, error) {
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
	if !said.judgement.Refuses() {
		return nil
	}
	t.reply.Verdict, t.reply.Reasons = said.judgement.Verdict, said.judgement.Reasons
	return orphan.Refusal(append([]string{fmt.Sprintf("instance %s is %s by now", t.instance, said.judgement.Verdict)},
		said.judgement.Reasons...))
}

// save writes down what was read, before something of it is changed. Another look
// writes another file only if it found something else.
func (t *task) save(e evidence) error {
	content := recordOf(e, t.next)
	t.earlier.add(content)
	return t.backup.Save(content)
}

// again says that after this failure it makes sense to look and judge again.
func again(err error) bool {
	return errors.Is(err, errNotYet) || gophercloud.ResponseCodeIs(err, http.StatusPreconditionFailed)
}
