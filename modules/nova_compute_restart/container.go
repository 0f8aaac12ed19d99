package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// containerRuns is the state of a container that does (docker's and podman's State.Status).
const containerRuns = "running"

// inspect asks an engine for a container.
func (h host) inspect(ctx context.Context, engine, name string) (unit, error) {
	shown, err := h.command(ctx, engine, "container", "inspect", "--format", "{{json .State}}", name)
	if err != nil {
		return unit{}, err
	}
	var state struct {
		Status    string
		StartedAt time.Time
	}
	if err = json.Unmarshal([]byte(shown), &state); err != nil {
		return unit{}, fmt.Errorf("read what %s says of the container %s: %w", engine, name, err)
	}
	return unit{
		name: name, engine: engine, loaded: true, state: state.Status, started: state.StartedAt, invocation: state.StartedAt.String(),
	}, nil
}

// containers are those of this name. One that both have is podman's, which the package podman-docker also calls docker. Where an engine
// has none, or does not answer, its own words are in said.
func (h host) containers(ctx context.Context, name string) (found []unit, said string) {
	var failures []string
	for _, engine := range []string{"docker", "podman"} {
		one, err := h.inspect(ctx, engine, name)
		switch {
		case err == nil && slices.ContainsFunc(found, func(other unit) bool { return other.invocation == one.invocation }):
			found = []unit{one}
		case err == nil:
			found = append(found, one)
		case !errors.Is(err, errNotInstalled):
			failures = append(failures, ", "+err.Error())
		}
	}
	return found, strings.Join(failures, "")
}
