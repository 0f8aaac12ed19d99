package ansibletest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// Process is a module at work in a process of its own, as Ansible starts it.
type Process struct {
	t       *testing.T
	command *exec.Cmd
	output  bytes.Buffer
	ended   chan struct{}
}

// Start starts the module of this name, which testscript.Main has put into PATH, with
// these options and this environment.
func Start(t *testing.T, module string, options map[string]any, environment []string) *Process {
	t.Helper()
	p := &Process{t: t, command: exec.Command(module, write(t, options)), ended: make(chan struct{})}
	p.command.Stdout, p.command.Stderr, p.command.Env = &p.output, &p.output, environment
	p.command.Env = append(p.command.Environ(), noPauseAtExit)
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.command.Wait() // the exit status is looked at where it matters
	}()
	return p
}

// Kill is SIGKILL, and the certainty that the process is no more.
func (p *Process) Kill() {
	_ = p.command.Process.Kill()
	<-p.ended
}

// Interrupt asks the module to end, as when Ansible goes away, and waits until it has been told: on a busy machine it may go on for a while
// before (proc_pid_status(5), ShdPnd).
func (p *Process) Interrupt() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	for status, err := p.status(); err == nil && pending.Match(status); status, err = p.status() {
		<-time.After(time.Millisecond)
	}
}

func (p *Process) status() ([]byte, error) {
	return os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
}

// pending is a SIGTERM that no thread has taken.
var pending = regexp.MustCompile(`(?m)^ShdPnd:\t.*[4-7c-f][0-9a-f]{3}$`)

// Killed waits for the end, which must be that of a process that was killed and said nothing.
func (p *Process) Killed() {
	p.t.Helper()
	<-p.ended
	if p.command.ProcessState.ExitCode() != -1 || p.output.Len() > 0 {
		p.t.Fatalf("it ended before it was killed: %s", &p.output)
	}
}

// Answer waits for the one JSON object.
func (p *Process) Answer() gjson.Result {
	p.t.Helper()
	<-p.ended
	if err := judge(p.output.Bytes(), p.command.ProcessState.ExitCode()); err != nil {
		p.t.Fatalf("%v: %s", err, &p.output)
	}
	return gjson.ParseBytes(Only(p.output.Bytes()))
}

// Done wants success.
func (p *Process) Done(changed bool) gjson.Result {
	p.t.Helper()
	return p.wants(false, changed)
}

// Failed wants a failure with these words.
func (p *Process) Failed(changed bool, words ...string) gjson.Result {
	p.t.Helper()
	return p.wants(true, changed, words...)
}

func (p *Process) wants(failed, changed bool, words ...string) gjson.Result {
	p.t.Helper()
	answer := p.Answer()
	if answer.Get("failed").Bool() != failed || answer.Get("changed").Bool() != changed {
		p.t.Errorf("want failed %v and changed %v, got %s", failed, changed, answer)
	}
	for _, want := range words {
		if !strings.Contains(answer.Get("msg").String(), want) {
			p.t.Errorf("want %q in the message, got %s", want, answer)
		}
	}
	return answer
}

// Backups are the files that a module has written to its backup_dir about an instance
// or a consumer, the oldest first.
func Backups(t *testing.T, dir, uuid string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, uuid, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Kinds are what the files of Backups say of themselves.
func Kinds(t *testing.T, dir, uuid string) (kinds []string) {
	t.Helper()
	for _, content := range Contents(t, dir, uuid) {
		kinds = append(kinds, gjson.GetBytes(content, "kind").String())
	}
	return kinds
}

// Contents are what is in the files of Backups.
func Contents(t *testing.T, dir, uuid string) (contents [][]byte) {
	t.Helper()
	for _, file := range Backups(t, dir, uuid) {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		contents = append(contents, content)
	}
	return contents
}
