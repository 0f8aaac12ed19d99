package ansible

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

// Module is an Ansible module: its options, and what it does with them.
type Module struct {
	Name    string
	Options []Option
	Rules   []Rule
	// Each is the list option for whose elements the call is: Timeout is the time for ten
	// of them, so that the deadline grows with what is asked. Empty: there is none.
	Each string
	// Turns is the list option whose elements are done one after the other, each with a Timeout of its own, which
	// Call.Turn then is. Empty: there is none.
	Turns string
	// Inside tells the process in whose mount namespace the module is to run, as that of a daemon in a container. There it finds that
	// one's libraries and files, and by OnHost those of the host. Nil: in its own.
	Inside func(*Call) (Process, error)
	// Run reads, judges and applies. Its context ends with the deadline, or when
	// Ansible goes away. With an error the answer, if any, still goes out beside it.
	Run func(context.Context, *Call) (Answer, error)
}

// grace is how long a module may take to come back after its deadline. A call
// into a hung libvirtd cannot be cancelled, so that Main then answers in its place.
// A test that hangs on purpose makes it shorter.
var grace = 5 * time.Second

// Main runs the module and returns the process's exit status: 0, or 1 with
// "failed" in the answer. It is never 255, which Ansible takes for a lost
// connection and may answer with a second run. With --version in the place of the
// arguments file it says which version it is, in one line.
func Main(argv []string, stdout io.Writer, module Module) int {
	// Over SSH standard error is the same terminal as standard output, and a log
	// line that begins with a brace would be taken for the answer.
	log.SetOutput(io.Discard)
	// A reader that goes away must not kill a module between two steps.
	signal.Ignore(syscall.SIGPIPE)

	if len(argv) == 2 && argv[1] == "--version" {
		if _, err := fmt.Fprintf(stdout, "%s %s (%s)\n", module.Name, Version(), runtime.Version()); err != nil {
			return 1
		}
		return 0
	}
	call := &Call{module: module.Name, secrets: &secrets{}, values: map[string]any{}, timeout: time.Minute}
	answer, err := caught(func() (Answer, error) {
		if err := module.readCall(call, argv); err != nil {
			return nil, err
		}
		if err := module.goInside(call); err != nil {
			return nil, err
		}
		return module.bounded(call)
	})
	if answer == nil {
		answer = &Result{}
	}
	result := answer.result()
	result.fail(err)
	if !call.Diff {
		result.Diff = nil
	}
	line, err := caught(func() (string, error) { return encode(answer, call.secrets) })
	if err != nil {
		result.fail(err)
		line, err = encode(&Result{Changed: result.Changed, Failed: true, Msg: result.Msg, Exception: result.Exception}, call.secrets)
	}
	if err == nil {
		_, err = io.WriteString(stdout, line)
	}
	if err != nil || result.Failed {
		return 1
	}
	return 0
}

func (m Module) goInside(call *Call) error {
	if m.Inside == nil || call.Entered() {
		return nil
	}
	// What is to be seen of a process that hangs may hang, too.
	hung := time.NewTimer(call.timeout)
	defer hung.Stop()
	select {
	case o := <-Go(func() (Process, error) { return m.Inside(call) }):
		if o.Err != nil || o.Value.PID == 0 {
			return o.Err
		}
		return enter(o.Value, call.arguments)
	case <-hung.C:
		return fmt.Errorf("look where to run: no answer within the timeout of %s", call.timeout)
	}
}

// bounded runs the module within its deadline.
func (m Module) bounded(call *Call) (Answer, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, call.timeout,
		fmt.Errorf("not finished within the timeout of %s: %w", call.timeout, context.DeadlineExceeded))
	defer cancel()

	hung := time.NewTimer(call.timeout + grace)
	defer hung.Stop()
	select {
	case o := <-Go(func() (Answer, error) { return m.Run(ctx, call) }):
		return o.Value, explain(ctx, o.Err)
	case <-hung.C:
		return nil, fmt.Errorf("no answer within the timeout of %s: what was asked of the service may still happen, run the module again to see",
			call.timeout)
	}
}

// explain names the deadline or the signal where the error only says that the
// context ended.
func explain(ctx context.Context, err error) error {
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		// A context made from this one may have noticed a moment earlier.
		<-ctx.Done()
	}
	if err == nil || ctx.Err() == nil {
		return err
	}
	if cause := context.Cause(ctx); errors.Is(err, ctx.Err()) && !errors.Is(err, cause) {
		return fmt.Errorf("%w (%w)", err, cause)
	}
	return err
}
