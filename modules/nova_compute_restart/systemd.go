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

// unit is what systemd says of one, by property.
type unit map[string]string

func (u unit) name() string { return strings.TrimSuffix(u["Id"], ".service") }
func (u unit) loaded() bool { return u["LoadState"] == "loaded" }

// on is also said of one that is about to be: it is not the one that somebody has stopped.
func (u unit) on() bool {
	return slices.Contains([]string{"active", "activating", "reloading"}, u["ActiveState"])
}

func (u unit) stops() bool { return u["ActiveState"] == "deactivating" }

// parseUnits reads systemctl show: properties by line, and between units an empty one.
func parseUnits(shown string) (all []unit) {
	for block := range strings.SplitSeq(strings.TrimSpace(shown), "\n\n") {
		one := unit{}
		for line := range strings.Lines(block) {
			property, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			one[property] = value
		}
		// A unit may have several of the names that are asked for.
		if !slices.ContainsFunc(all, func(u unit) bool { return u["Id"] == one["Id"] }) {
			all = append(all, one)
		}
	}
	return all
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

// started is when it was last asked to start; zero where it is off, or systemd does not tell.
func (u unit) started() time.Time {
	var now unix.Timespec
	began, err := strconv.ParseInt(u["InactiveExitTimestampMonotonic"], 10, 64)
	if err != nil || began == 0 || !u.on() || unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(began)*time.Microsecond - time.Duration(now.Nano()))
}

// waits says that systemd has something to do with it yet.
func (u unit) waits() bool { return u["Job"] != "" && u["Job"] != "0" }

// awaitRestart returns once the unit runs anew, with where its log ended in between: after the last line of the old process, which may
// go on for minutes after SIGTERM, and before the first of the new one, which may have made its first pass by the time it is ready
// (Type=notify).
func (h host) awaitRestart(ctx context.Context, service compute) (end string, err error) {
	var unread error
	for {
		all, err := h.show(ctx, service.unit)
		if err != nil {
			return "", err
		}
		seen := all[0]
		anew := seen["InvocationID"] != service.state["InvocationID"] && !seen.stops()
		if anew && end == "" {
			// A log that is being rotated is there again in a moment.
			end, unread = service.log.place(ctx)
		}
		switch {
		case anew && seen["ActiveState"] == "active" && end != "":
			return end, nil
		case seen.waits() || seen.stops() || anew && seen.on():
		case seen.on():
			return "", fmt.Errorf("the unit %s was not restarted: somebody has cancelled it", service.unit)
		default:
			return "", fmt.Errorf("the unit %s is %s after its restart: start it, systemctl status tells why it is not",
				service.unit, seen["ActiveState"])
		}
		select {
		case <-ctx.Done():
			return "", errors.Join(fmt.Errorf("%s does not run anew yet, which may still happen: %w", service.unit, ctx.Err()), unread)
		case <-time.After(h.poll / 10):
		}
	}
}

// execute takes systemd's own commands, since its bus and its journal would each take one more library.
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
