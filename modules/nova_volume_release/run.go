package main

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
)

// maxLooks bounds how often it is looked and judged, the last time to find that
// nothing is left to do.
const maxLooks = 6

func (t *task) do(ctx context.Context) (ansible.Answer, error) {
	reply := newAnswer()
	if t.State == released {
		return reply, t.release(ctx, reply)
	}
	t.earlier = earlierBackups{}
	e, err := t.read(ctx)
	reply.fill(e, t.Instance)
	if err != nil {
		return reply, err
	}
	reply.Remains = inventory(e, t.parameters)
	if t.State == saved && len(e.volumes)+len(e.ports)+len(e.formerPorts) > 0 && !t.call.Check {
		err = t.save(reply, e, plan{})
	}
	return reply, err
}

// release looks, judges and acts, until there is nothing left to do: to be done is
// to find so.
func (t *task) release(ctx context.Context, reply *answer) error {
	if err := t.loadEarlierBackups(); err != nil {
		return err
	}
	var failure error
	for looks := uint(1); ; looks++ {
		e, err := t.read(ctx)
		if err != nil {
			return unreadable(reply, err, failure)
		}
		work, err := decide(e, t.parameters)
		t.resolveUnknownWrite(reply, work, err)
		reply.fill(e, t.Instance)
		if err != nil {
			reply.addReasons(e, err)
			return after(err, failure)
		}
		reply.plan(e, work, t.Instance)
		switch {
		case len(work.steps) == 0:
			reply.conclude()
			return nil
		case t.call.Check:
			reply.Changed = true
			return nil
		case looks == maxLooks && failure != nil:
			return fmt.Errorf("given up after %d tries: %w", looks-1, failure)
		case looks == maxLooks:
			return fmt.Errorf("given up after %d tries: what was done did not stay: %s", looks-1, work.steps[0].text)
		}
		if err := t.save(reply, e, work); err != nil {
			return err
		}
		if looks == 1 {
			// From here on what was begun is finished, even if Ansible goes away.
			var cancel context.CancelFunc
			ctx, cancel = t.call.WithoutInterrupt(ctx)
			defer cancel()
		}
		failure = t.carryOut(ctx, reply, work.steps)
		if failure != nil && !again(failure) {
			return failure
		}
		if failure != nil && openstack.Pause(ctx, looks) != nil {
			return fmt.Errorf("%w (no time left to look whether it arrived, or to try again: run the module again)", failure)
		}
	}
}

// resolveUnknownWrite takes a write whose answer was lost for done, if it is no longer to be done.
func (t *task) resolveUnknownWrite(reply *answer, work plan, refused error) {
	if t.unknownWrite == nil {
		return
	}
	if refused == nil && !slices.ContainsFunc(work.steps, t.unknownWrite.same) {
		reply.Changed = true
		reply.Warnings = append(reply.Warnings, "the answer was lost; read back, it had happened: "+t.unknownWrite.text)
		t.call.Audit("instance %s: %s", t.Instance, t.unknownWrite.text)
	}
	t.unknownWrite = nil
}

// after tells, beside an error, the failure of the write before it, if there was one.
func after(err, failure error) error {
	if failure == nil {
		return err
	}
	return fmt.Errorf("%w (after: %w; run the module again to see what came of it)", err, failure)
}

// unreadable says that something could not be read, which is no absence.
func unreadable(reply *answer, err, failure error) error {
	switch {
	case failure != nil:
		return after(fmt.Errorf("read back: %w", err), failure)
	case reply.Changed:
		return fmt.Errorf("it was changed, but could not be read back: %w", err)
	}
	reply.Verdict = string(orphan.Unknown)
	return err
}

// save writes down what was read, before something of it is changed. Another look
// writes another file only if it found something else.
func (t *task) save(reply *answer, e evidence, work plan) error {
	content := recordOf(e, work, t.Instance)
	if reflect.DeepEqual(t.saved, content) {
		return nil
	}
	path, err := backup.Write(t.BackupDir, t.Instance, name, content)
	if err != nil {
		return err
	}
	t.saved = content
	t.earlier.add(content)
	reply.BackupFiles = append(reply.BackupFiles, path)
	reply.BackupFile = reply.BackupFiles[0]
	return nil
}
