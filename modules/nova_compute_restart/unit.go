package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// unit is what systemd says of one, by property.
type unit map[string]string

func parseUnit(shown string) unit {
	all := unit{}
	for line := range strings.Lines(shown) {
		property, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		all[property] = value
	}
	return all
}

func (u unit) loaded() bool { return u["LoadState"] == "loaded" }

// on is also said of one that is about to be: it is not the one that somebody has stopped.
func (u unit) on() bool {
	return slices.Contains([]string{"active", "activating", "reloading"}, u["ActiveState"])
}

// unit reads the unit once it is not about to stop, as where another run restarts it and waited says so.
func (h host) unit(ctx context.Context, name string) (seen unit, waited bool, err error) {
	for ; ; waited = true {
		shown, err := h.systemctl(ctx, "show", "--property=LoadState,ActiveState", "--", name)
		if seen = parseUnit(shown); err != nil || seen["ActiveState"] != "deactivating" {
			return seen, waited, err
		}
		select {
		case <-ctx.Done():
			return nil, false, fmt.Errorf("wait until %s has stopped: %w", name, ctx.Err())
		case <-time.After(h.poll):
		}
	}
}

// systemctl is run, since systemd's bus would take one more library for two questions.
func systemctl(ctx context.Context, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, "systemctl", append([]string{"--no-ask-password"}, arguments...)...)
	// A child of its own may outlive it with the pipe open.
	command.WaitDelay = time.Second
	out, err := command.CombinedOutput()
	text := strings.TrimSpace(string(out))
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("systemctl %s has not come back, what was asked may still happen: %w", arguments[0], ctx.Err())
	case err != nil:
		return "", fmt.Errorf("systemctl %s: %w: %s", arguments[0], err, text)
	}
	return text, nil
}
