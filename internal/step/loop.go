package step

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/orphan"
)

// Action is one write of a plan.
type Action struct {
	// Key is the same in every plan that has this action to do.
	Key, Text string
	// Do writes, and says whether that changed something.
	Do func(context.Context) (changed bool, err error)
}

// Loop is what every changing module does for one element: it reads, judges, plans, backs
// up, writes, and looks again, until nothing is left to do. To be done is to find so.
type Loop[E any] struct {
	Call   *ansible.Call
	Answer *Answer
	// Subject is the element in the audit log: "instance UUID".
	Subject string
	// Read reads all that is judged. An error is "cannot tell".
	Read func(context.Context) (E, error)
	// Plan judges, and says what is to be done; the error is a refusal. It changes nothing but
	// the answer, in which it says what was found and is to be done.
	Plan func(E) ([]Action, error)
	// Save writes the backup of what is about to be changed; nil if the actions do so themselves.
	Save func(E) error
	// Left says of an action's key that what it was to remove is there all the same, though it is not to be
	// done any more; nil if that cannot be.
	Left func(found E, key string) bool
	// Uncertain says of an action's error that it may have been carried out all the same.
	Uncertain func(error) bool
	// Again says of an action's error, beside those, that it makes sense to look and judge again.
	Again func(error) bool
	// Pause waits before another look; its error ends the call.
	Pause func(ctx context.Context, failures uint) error
	// Tries bounds how often it is written.
	Tries uint

	unknown *Action
}

// Run runs the loop. The context ends it between two looks, not within a write.
func (l *Loop[E]) Run(ctx context.Context) error {
	var failure error
	for tries := uint(0); ; tries++ {
		found, err := l.Read(ctx)
		if err != nil {
			return l.unreadable(err, failure)
		}
		actions, refused := l.Plan(found)
		if refused == nil && l.unknown != nil && !slices.ContainsFunc(actions, func(a Action) bool { return a.Key == l.unknown.Key }) {
			l.resolve(l.Left == nil || !l.Left(found, l.unknown.Key))
		}
		switch {
		case refused != nil:
			return after(refused, failure)
		case len(actions) == 0:
			return nil
		case l.Call.Check:
			l.Answer.Changed = true
			return nil
		case tries == l.Tries && failure != nil:
			return fmt.Errorf("given up after %d tries: %w (run the module again)", tries, failure)
		case tries == l.Tries:
			return fmt.Errorf("given up after %d tries: what was done did not stay: %s (run the module again)", tries, actions[0].Text)
		}
		if l.Save != nil {
			if err := l.Save(found); err != nil {
				return after(err, failure)
			}
		}
		if tries == 0 {
			// From here on what was begun is finished, even if Ansible goes away.
			var cancel context.CancelFunc
			ctx, cancel = l.Call.WithoutInterrupt(ctx)
			defer cancel()
		}
		if failure = l.carryOut(ctx, actions); failure == nil {
			continue
		}
		if !l.Uncertain(failure) && !l.Again(failure) {
			return failure
		}
		if l.Pause(ctx, tries+1) != nil {
			return fmt.Errorf("%w (no time left to look whether it arrived, or to try again: run the module again)", failure)
		}
	}
}

// carryOut does one action after the other, up to the first that fails.
func (l *Loop[E]) carryOut(ctx context.Context, actions []Action) error {
	for _, action := range actions {
		changed, err := action.Do(ctx)
		if changed {
			l.changed(action)
		}
		if err != nil {
			if l.Uncertain(err) {
				l.unknown = &action
			}
			return err
		}
		if l.unknown != nil && l.unknown.Key == action.Key {
			l.resolve(!changed) // there was nothing left to do
		}
	}
	return nil
}

func (l *Loop[E]) changed(action Action) {
	l.Answer.Changed = true
	l.Call.Audit("%s: %s; backup: %s", l.Subject, action.Text, l.Answer.BackupFile)
}

// resolve takes an action whose outcome was not known for done if it is no longer to be
// done. The service may still be at work on it at the next look, which then fails.
func (l *Loop[E]) resolve(done bool) {
	if done {
		l.changed(*l.unknown)
		l.Answer.Warn("the answer was lost; read back, it had happened: " + l.unknown.Text)
	}
	l.unknown = nil
}

// unreadable says that something could not be read, which is no absence.
func (l *Loop[E]) unreadable(err, failure error) error {
	switch {
	case failure != nil:
		return after(fmt.Errorf("read back: %w", err), failure)
	case l.Answer.Changed:
		return fmt.Errorf("it was changed, but could not be read back (run the module again): %w", err)
	}
	l.Answer.Verdict = orphan.Unknown
	return err
}

// after tells, beside an error, the failure of the write before it, if there was one.
func after(err, failure error) error {
	if failure == nil {
		return err
	}
	return fmt.Errorf("%w (after: %w; run the module again to see what came of it)", err, failure)
}

// Backup writes the backups of one element.
type Backup struct {
	Dir, UUID, Module string
	// Instance is the one to which the element belongs; empty if that is not known.
	Instance string
	Kind     backup.Kind
	Answer   *Answer
	last     any
	path     string
}

// Save writes the content down, unless the last backup of this call says the same.
func (b *Backup) Save(content any) error {
	if b.last != nil && reflect.DeepEqual(b.last, content) {
		return nil
	}
	path, err := backup.Write(b.Dir, backup.Backup{Kind: b.Kind, Module: b.Module, UUID: b.UUID, Instance: b.Instance, Data: content})
	if err != nil {
		return err
	}
	b.last, b.path = content, path
	if !b.Answer.Changed {
		b.Answer.BackupFile = path
	}
	return nil
}

// Restored notes in a restore's own backup that the restore has succeeded.
func (b *Backup) Restored() {
	if b.path == "" {
		return
	}
	if err := backup.Restored(b.path); err != nil {
		b.Answer.Warn("it was put back, and its record does not say so: " + err.Error())
	}
}
