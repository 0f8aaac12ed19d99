package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// command runs one to its end, and returns what it printed.
type command func(ctx context.Context, argv ...string) (string, error)

// unit is nova-compute as systemd has it, or the engine of a container that no unit starts.
type unit struct {
	name string
	// engine is docker or podman; empty: it is systemd's.
	engine string
	loaded bool
	// state is as systemd or the engine calls it.
	state string
	// invocation is another with each start.
	invocation string
	// waits says that systemd has something to do with it yet.
	waits bool
	// started is when it was last asked to start; zero where it is off, or systemd does not tell.
	started time.Time
}

func (u unit) String() string {
	if u.engine != "" {
		return "the container " + u.name + " of " + u.engine
	}
	return "the unit " + u.name
}

// on is also said of one that is about to be: it is not the one that somebody has stopped.
func (u unit) on() bool {
	return slices.Contains([]string{"active", "activating", "reloading", containerRuns}, u.state)
}

// runs says that its start is over.
func (u unit) runs() bool  { return u.state == "active" || u.state == containerRuns }
func (u unit) stops() bool { return u.state == "deactivating" }

// tells is who says why it is as it is.
func (u unit) tells() string {
	if u.engine != "" {
		return u.engine + " logs"
	}
	return "systemctl status"
}

// restart is the command that restarts it. That of an engine returns when it is done. It is run by systemd: podman mounts what the
// container has, which takes the host's own mount namespace, and comes to its end whatever becomes of the module; what watches over the
// container (conmon) may stay among the processes of that unit. kolla-ansible gives a container as long to stop.
func (u unit) restart() []string {
	if u.engine != "" {
		return []string{
			"systemd-run", "--wait", "--pipe", "--quiet", "--collect", "--property=KillMode=process", "--", u.engine, "restart", "-t", "60", u.name,
		}
	}
	return []string{"systemctl", "restart", "--no-block", "--no-ask-password", "--", u.name}
}

// parseUnits reads systemctl show: properties by line, and between units an empty one.
func parseUnits(shown string) (all []unit) {
	for block := range strings.SplitSeq(strings.TrimSpace(shown), "\n\n") {
		said := map[string]string{}
		for line := range strings.Lines(block) {
			property, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			said[property] = value
		}
		one := unit{
			name: strings.TrimSuffix(said["Id"], ".service"), loaded: said["LoadState"] == "loaded", state: said["ActiveState"],
			invocation: said["InvocationID"], waits: said["Job"] != "" && said["Job"] != "0",
		}
		if one.on() {
			one.started = started(said["InactiveExitTimestampMonotonic"])
		}
		// A unit may have several of the names that are asked for.
		if !slices.ContainsFunc(all, func(u unit) bool { return u.name == one.name }) {
			all = append(all, one)
		}
	}
	return all
}

func started(microseconds string) time.Time {
	var now unix.Timespec
	began, err := strconv.ParseInt(microseconds, 10, 64)
	if err != nil || began == 0 || unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(began)*time.Microsecond - time.Duration(now.Nano()))
}

// units reads them once none of them is about to stop, as where another run restarts it and waited says so.
func (h host) units(ctx context.Context, names []string) (seen []unit, waited bool, err error) {
	for ; ; waited = true {
		if seen, err = h.show(ctx, names...); err != nil || !slices.ContainsFunc(seen, unit.stops) {
			return seen, waited, err
		}
		select {
		case <-ctx.Done():
			return nil, false, fmt.Errorf("wait until %s has stopped: %w", strings.Join(names, " or "), ctx.Err())
		case <-time.After(h.poll):
		}
	}
}

var properties = []string{"Id", "LoadState", "ActiveState", "InvocationID", "Job", "InactiveExitTimestampMonotonic"}

func (h host) show(ctx context.Context, names ...string) ([]unit, error) {
	shown, err := h.command(ctx, append([]string{"systemctl", "show", "--property=" + strings.Join(properties, ","), "--"}, names...)...)
	return parseUnits(shown), err
}

// awaitRestart returns once the unit runs anew, with where its log ended in between: after the last line of the old process, which may
// go on for minutes after SIGTERM, and before the first of the new one, which may have made its first pass by the time it is ready
// (Type=notify).
func (h host) awaitRestart(ctx context.Context, service compute) (end string, err error) {
	var unread error
	for {
		seen, err := h.look(ctx, service.state)
		if err != nil {
			return "", err
		}
		anew := seen.invocation != service.state.invocation && !seen.stops()
		if anew && end == "" {
			// A log that is being rotated is there again in a moment.
			end, unread = service.log.place(ctx)
		}
		switch {
		case anew && seen.runs() && end != "":
			return end, nil
		case seen.waits || seen.stops() || anew && seen.on():
		case seen.on():
			return "", fmt.Errorf("%s was not restarted: somebody has cancelled it", seen)
		default:
			return "", fmt.Errorf("%s is %s after its restart: start it, %s tells why it is not", seen, seen.state, seen.tells())
		}
		select {
		case <-ctx.Done():
			return "", errors.Join(fmt.Errorf("%s does not run anew yet, which may still happen: %w", service.unit, ctx.Err()), unread)
		case <-time.After(h.poll / 10):
		}
	}
}

var errNotInstalled = exec.ErrNotFound

// look is a look at one that was found.
func (h host) look(ctx context.Context, known unit) (unit, error) {
	if known.engine != "" {
		return h.inspect(ctx, known.engine, known.name)
	}
	all, err := h.show(ctx, known.name)
	if err != nil {
		return unit{}, err
	}
	return all[0], nil
}

// execute takes systemd's own commands, and an engine's, since its bus and its journal would each take one more library.
func execute(ctx context.Context, argv ...string) (string, error) {
	run := exec.CommandContext(ctx, argv[0], argv[1:]...)
	// A child of its own may outlive it with the pipe open.
	run.WaitDelay = time.Second
	var said strings.Builder
	run.Stderr = &said
	out, err := run.Output()
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s has not come back, what was asked may still happen: %w", strings.Join(argv[:2], " "), ctx.Err())
	case err != nil:
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv[:2], " "), err, strings.TrimSpace(said.String()))
	}
	return string(out), nil
}
