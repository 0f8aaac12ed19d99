package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/orphan"
)

var (
	errLost    = errors.New("lost")
	errBusy    = errors.New("busy")
	errRefused = errors.New("forbidden")
)

// counter is a service with a number that is to be 0; each write takes one from it.
type counter struct {
	value   int
	reads   []error // of the reads, in their order; nil when there are no more
	writes  []error // of the writes: errLost is carried out all the same
	refuses int     // the value at which it is not to be touched; 0: at none
	log     []string
}

func next(errs *[]error) (err error) {
	if len(*errs) > 0 {
		err, *errs = (*errs)[0], (*errs)[1:]
	}
	return err
}

func (c *counter) loop(t *testing.T, answer *Answer, check bool) *Loop[int] {
	t.Helper()
	backup := &Backup{Dir: t.TempDir(), UUID: "6695eb01-f6a4-8304-79aa-97f2502e193f", Module: "probe", Answer: answer}
	return &Loop[int]{
		Call: ansibletest.SilentCall(t, check), Answer: answer, Subject: "counter", Tries: 3,
		Read: func(context.Context) (int, error) { return c.value, next(&c.reads) },
		Plan: func(value int) (actions []Action, err error) {
			if c.refuses != 0 && value == c.refuses {
				return nil, orphan.Refusal{"it lives"}
			}
			if value == 0 {
				return nil, nil
			}
			return []Action{{Key: fmt.Sprint(value), Text: fmt.Sprintf("take 1 from %d", value), Do: func(context.Context) (bool, error) {
				err := next(&c.writes)
				c.log = append(c.log, fmt.Sprintf("%d: %v", c.value, err))
				if err == nil || errors.Is(err, errLost) {
					c.value--
				}
				return err == nil, err
			}}}, nil
		},
		Save:      func(value int) error { return backup.Save(map[string]int{"value": value}) },
		Uncertain: func(err error) bool { return errors.Is(err, errLost) },
		Again:     func(err error) bool { return errors.Is(err, errBusy) },
		Pause:     func(context.Context, uint) error { return nil },
	}
}

func TestALoopLooksUntilNothingIsLeftToDo(t *testing.T) {
	for _, test := range []struct {
		name    string
		counter counter
		check   bool
		changed bool
		left    int
		err     string // "" is none
		backups int
		warned  bool
	}{
		{name: "nothing to do"},
		{name: "done in one look", counter: counter{value: 1}, changed: true, backups: 1},
		{name: "what shows up later is done, too, each with a backup", counter: counter{value: 3}, changed: true, backups: 3},
		{name: "not without end", counter: counter{value: 5}, changed: true, left: 2, backups: 3,
			err: "given up after 3 tries: what was done did not stay"},
		{name: "check mode writes nothing", counter: counter{value: 2}, check: true, changed: true, left: 2},
		{name: "a refusal writes nothing", counter: counter{value: 2, refuses: 2}, left: 2, err: "refused: it lives"},
		{name: "a refusal is one in check mode, too", counter: counter{value: 2, refuses: 2}, check: true, left: 2, err: "refused: it lives"},
		{name: "a write that is refused is not repeated", counter: counter{value: 1, writes: []error{errRefused}}, left: 1, err: "forbidden",
			backups: 1},
		{name: "one that was too early is", counter: counter{value: 1, writes: []error{errBusy}}, changed: true, backups: 1},
		{name: "one whose answer was lost is read back", counter: counter{value: 1, writes: []error{errLost}}, changed: true, backups: 1,
			warned: true},
		{name: "a lost answer before a refusal is told", counter: counter{value: 2, refuses: 1, writes: []error{errLost}}, left: 1, backups: 1,
			err: "refused: it lives (after: lost; run the module again to see what came of it)"},
		{name: "what cannot be read is not written", counter: counter{value: 1, reads: []error{errRefused}}, left: 1, err: "forbidden"},
		{name: "nor is what cannot be read back called done", counter: counter{value: 1, reads: []error{nil, errRefused}}, changed: true,
			err: "it was changed, but could not be read back (run the module again): forbidden", backups: 1},
		{name: "never, if it stays so", counter: counter{value: 1, writes: []error{errBusy, errBusy, errBusy}}, left: 1, backups: 1,
			err: "given up after 3 tries: busy (run the module again)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := &Answer{}
			loop := test.counter.loop(t, answer, test.check)
			err := loop.Run(t.Context())
			if test.err == "" && err != nil || !strings.Contains(fmt.Sprint(err), test.err) {
				t.Errorf("got %v", err)
			}
			if answer.Changed != test.changed || test.counter.value != test.left || (len(answer.Warnings) > 0) != test.warned {
				t.Errorf("got %+v, left %d, wrote %v", answer, test.counter.value, test.counter.log)
			}
			if (answer.BackupFile != "") != (test.backups > 0) {
				t.Errorf("the backup is %q", answer.BackupFile)
			}
			if unread := len(test.counter.log) == 0 && strings.HasSuffix(test.err, "forbidden"); unread != (answer.Verdict == orphan.Unknown) {
				t.Errorf("the verdict is %q", answer.Verdict)
			}
			if answer.BackupFile == "" {
				return
			}
			files, globErr := filepath.Glob(filepath.Join(filepath.Dir(answer.BackupFile), "*"))
			content, readErr := os.ReadFile(answer.BackupFile)
			var first struct{ Data map[string]int }
			if globErr != nil || readErr != nil || json.Unmarshal(content, &first) != nil || len(files) != test.backups ||
				answer.BackupFile != files[0] {
				t.Errorf("there are the backups %v, told is %s: %v, %v", files, answer.BackupFile, globErr, readErr)
			}
		})
	}
}

func TestWhatALostAnswerHasDoneIsToldAsItIsFound(t *testing.T) {
	for name, test := range map[string]struct {
		shown   int  // looks at which it is still to be done
		left    bool // at the last
		changed bool
	}{
		"it is gone":                                 {1, false, true},
		"the service is slow to show it":             {2, false, true},
		"it is there, and not to be done any more":   {1, true, false},
		"it was there, and was then done by another": {2, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			looks, answer := 0, &Answer{}
			loop := Loop[int]{
				Call: ansibletest.SilentCall(t, false), Answer: answer, Tries: 3, Pause: func(context.Context, uint) error { return nil },
				Uncertain: func(err error) bool { return errors.Is(err, errLost) },
				Read:      func(context.Context) (int, error) { looks++; return looks, nil },
				Left:      func(_ int, key string) bool { return key == "remove" && test.left },
				Plan: func(look int) (actions []Action, _ error) {
					if look <= test.shown {
						actions = append(actions, Action{Key: "remove", Do: func(context.Context) (bool, error) {
							return false, []error{errLost, nil}[look-1]
						}})
					}
					return actions, nil
				},
			}
			if err := loop.Run(t.Context()); err != nil || answer.Changed != test.changed || len(answer.Warnings) > 0 != test.changed {
				t.Errorf("got %v, %+v", err, answer)
			}
		})
	}
}

func TestABackupThatCannotBeWrittenStopsTheWrite(t *testing.T) {
	c := &counter{value: 1}
	loop := c.loop(t, &Answer{}, false)
	loop.Save = func(int) error { return errRefused }
	if err := loop.Run(t.Context()); !errors.Is(err, errRefused) || c.value != 1 {
		t.Errorf("got %v, %d", err, c.value)
	}
}

func TestWhatWasBegunIsFinishedWhenAnsibleGoesAway(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := &counter{value: 2}
	answer := &Answer{}
	loop := c.loop(t, answer, false)
	read := loop.Read
	loop.Read = func(ctx context.Context) (int, error) {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return read(ctx)
	}
	loop.Save = func(int) error { return nil }
	plan := loop.Plan
	loop.Plan = func(value int) ([]Action, error) {
		if value == 1 {
			cancel()
		}
		return plan(value)
	}
	if err := loop.Run(ctx); err != nil || c.value != 0 || !slices.Equal(c.log, []string{"2: <nil>", "1: <nil>"}) {
		t.Errorf("got %v, %v", err, c.log)
	}
}
