package ansibletest

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidwall/gjson"
)

// FaultCase is a module call during a fault, and the same call when it is over.
type FaultCase struct {
	Module string
	// Options lack a backup_dir and a timeout.
	Options     map[string]any
	Environment []string
	// Waits says that the module waits during the fault until its time is up.
	Waits bool
	// Told is what the message of the failure says.
	Told []string
	// Secrets must be in no output and in no backup.
	Secrets []string
	// Failed looks at what was answered during the fault.
	Failed func(*testing.T, gjson.Result)
	// Recover ends the fault.
	Recover func()
	// Changed is what the second call is to say.
	Changed bool
}

// RunFaults holds the module to the rules for each case: it fails in one line, tells no
// secret, and does what was to be done when the fault is over. Those that wait for a
// deadline do so all at once; of the others no more run than leave these the processor.
func RunFaults(t *testing.T, cases map[string]func(*testing.T) FaultCase) {
	t.Helper()
	var masked atomic.Int32
	var all sync.WaitGroup
	places := make(chan struct{}, 2*runtime.GOMAXPROCS(0))
	for name, arrange := range cases {
		all.Go(func() {
			t.Run(name, func(t *testing.T) {
				c := arrange(t)
				if !c.Waits {
					places <- struct{}{}
					defer func() { <-places }()
				}
				if strings.Contains(c.run(t), "********") {
					masked.Add(1)
				}
			})
		})
	}
	all.Wait()
	if int(masked.Load()) < len(cases)/4 {
		t.Errorf("only %d outputs had a secret to mask: the services do not tell them", masked.Load())
	}
	t.Logf("faults: %d", len(cases))
	t.Logf("outputs that had a secret to mask: %d", masked.Load())
}

func (c FaultCase) run(t *testing.T) (output string) {
	t.Helper()
	folder := t.TempDir()
	options := map[string]any{
		"backup_dir": filepath.Join(folder, "backups"), "timeout": 60, "_ansible_verbosity": 4, "_ansible_debug": true, "_ansible_diff": true,
	}
	maps.Copy(options, c.Options)
	program := c.Module
	if c.Waits {
		// With its own pauses it does not ask in the very moment when its time is up.
		program, options["timeout"] = unhurried+c.Module, 3
	}
	environment := append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder}, c.Environment...)
	answer := Start(t, program, options, environment).Answer()
	msg := answer.Get("msg").String()
	if !answer.Get("failed").Bool() || msg == "" || strings.Contains(msg, "\n") {
		t.Errorf("want a failure in one line, got %s", answer)
	}
	for _, words := range c.Told {
		if !strings.Contains(msg, words) {
			t.Errorf("want %q in the message, got %s", words, answer)
		}
	}
	c.Failed(t, answer)
	c.Recover()
	options["timeout"] = 60
	again := Start(t, c.Module, options, environment).Done(c.Changed)
	output = answer.String() + msg + again.String() + written(t, folder)
	for _, secret := range c.Secrets {
		if strings.Contains(output, secret) {
			t.Errorf("it tells the secret %q: %s", secret, output)
		}
	}
	return output
}

// written is all that the module has written down.
func written(t *testing.T, folder string) (all string) {
	t.Helper()
	files := os.DirFS(folder)
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, path)
		all += string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
