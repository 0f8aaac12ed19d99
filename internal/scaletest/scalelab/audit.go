package scalelab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/orphan"
)

// Audit is what an audit has found, and what it took on this host.
type Audit struct {
	// Found are the uuids, with their kinds where the audit tells them.
	Found map[string]orphan.Kind
	// Findings is the text of all findings.
	Findings string
	// Unread are the sources that could not be read, and Unknown the uuids that may be orphaned for all that could.
	Unread, Unknown []string
	Took            time.Duration
	CPU             time.Duration // its own, not the services'
	PeakMB          float64       // as the kernel counted it
}

// Options are those of nova_orphan_info for this cloud. As much of it is orphaned as no fuse allows, and what
// was just begun when it was made must not grow old before the last audit.
func (l *Lab) Options(more map[string]any) map[string]any {
	options := map[string]any{"nova_conf": l.Conf(), "min_age": 6 * 60 * 60, "max_findings_percent": 100, "timeout": 3600}
	for name, value := range more {
		options[name] = value
	}
	return options
}

// Module runs nova_orphan_info with these options and the cloud's hypervisors.
func (l *Lab) Module(ctx context.Context, path string, options map[string]any) (Audit, error) {
	arguments := filepath.Join(l.Folder, "arguments.json")
	if err := l.writeArguments(arguments, options); err != nil {
		return Audit{}, err
	}
	out, audit, err := measure(ctx, path, arguments)
	answer := gjson.ParseBytes(out)
	if err != nil || answer.Get("failed").Bool() {
		return Audit{}, fmt.Errorf("%s: %w: %s", path, err, answer.Get("msg"))
	}
	audit.Findings = answer.Get("findings").Raw
	for _, finding := range answer.Get("findings").Array() {
		audit.Found[finding.Get("uuid").String()] = orphan.Kind(finding.Get("kind").String())
	}
	for _, source := range answer.Get("unread").Array() {
		audit.Unread = append(audit.Unread, source.Get("source").String())
	}
	for _, unknown := range answer.Get("unknown").Array() {
		audit.Unknown = append(audit.Unknown, unknown.Get("uuid").String())
	}
	return audit, nil
}

// writeArguments hands the hypervisors on as the play does, as JSON text.
func (l *Lab) writeArguments(path string, options map[string]any) error {
	hypervisors, err := os.ReadFile(l.Hypervisors())
	if err != nil {
		return err
	}
	all := maps.Clone(options)
	all["domains"] = string(hypervisors)
	arguments, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return os.WriteFile(path, arguments, 0o600)
}

// allocationOf is what nova-manage says of each allocation that it takes for orphaned (nova/cmd/manage.py
// _check_orphaned_allocations_for_provider).
var allocationOf = regexp.MustCompile(`(?m)^Allocations for consumer UUID ([0-9a-f-]{36}) on Resource Provider`)

// NovaManage runs nova-manage placement audit.
func (l *Lab) NovaManage(ctx context.Context) (Audit, error) {
	out, audit, err := measure(ctx, "nova-manage", "--config-file", l.Conf(), "placement", "audit", "--verbose")
	// It ends with 3 where it has found some.
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 3) {
		return Audit{}, fmt.Errorf("nova-manage placement audit: %w: %.1000s", err, out)
	}
	for _, match := range allocationOf.FindAllSubmatch(out, -1) {
		audit.Found[string(match[1])] = ""
	}
	return audit, nil
}

func measure(ctx context.Context, name string, args ...string) ([]byte, Audit, error) {
	command, start := exec.CommandContext(ctx, name, args...), time.Now()
	out, err := command.Output()
	audit := Audit{Found: map[string]orphan.Kind{}, Took: time.Since(start)}
	if state := command.ProcessState; state != nil {
		audit.CPU = state.UserTime() + state.SystemTime()
		if usage, is := state.SysUsage().(*syscall.Rusage); is {
			audit.PeakMB = float64(usage.Maxrss) / 1000 // KB on Linux
		}
	}
	return out, audit, err
}
