package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

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
