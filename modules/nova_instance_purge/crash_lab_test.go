//go:build lab

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/nova/novalab"
)

// start runs the module without waiting for it.
func start(t *testing.T, arguments map[string]any) *exec.Cmd {
	t.Helper()
	content, err := json.Marshal(arguments)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "arguments.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(name, file)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return command
}

// toRestore is the backup that the documentation says to restore.
func toRestore(t *testing.T, backups string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(backups, "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	slices.Reverse(files)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if gjson.GetBytes(content, "data.state").String() == "absent" && gjson.GetBytes(content, "data.verdict").String() != "deleted" {
			return file
		}
	}
	t.Fatalf("there is none in %v", files)
	return ""
}

// seen are the statements of an undisturbed call.
func seen(t *testing.T, lab *novalab.Databases, backups, uuid string, options map[string]any) []string {
	t.Helper()
	proxy := lab.Proxy(t, func(int, string) novalab.Action { return novalab.Action{} })
	if answer := call(t, proxy.Conf, backups, uuid, false, options); !answer.Get("changed").Bool() || answer.Get("failed").Bool() {
		t.Fatalf("got %s", answer)
	}
	return proxy.Statements()
}

// killAt runs the module and kills it at the statement with this number: before
// the server sees it, or when the server has executed it.
func killAt(t *testing.T, lab *novalab.Databases, point int, executed bool, arguments map[string]any) (statement string) {
	t.Helper()
	proxy := lab.Proxy(t, func(number int, _ string) novalab.Action {
		return novalab.Action{Hold: number == point && !executed, HoldAnswer: number == point && executed}
	})
	arguments["nova_conf"] = proxy.Conf
	command := start(t, arguments)
	select {
	case statement = <-proxy.Held:
	case <-time.After(30 * time.Second):
		t.Errorf("point %d was not reached", point)
	}
	if err := command.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := command.Wait(); err == nil {
		t.Errorf("point %d: the module ended well", point)
	}
	proxy.Close()
	return statement
}

// points are the numbers of the statements at which to kill: each from the lock on,
// and some of those that read before it.
func points(statements []string) (numbers []int) {
	lock := slices.IndexFunc(statements, func(statement string) bool { return strings.HasSuffix(statement, "FOR UPDATE") })
	for number := range statements {
		if number >= lock || number%8 == 0 {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

func TestAPurgeThatIsKilledAnywhereIsFinishedByTheNextAndCanBeUndone(t *testing.T) {
	lab := novalab.New(t)
	uuid := func(n int) string { return fmt.Sprintf("%08x-0000-4000-b000-000000000000", 0x40000000+n) }
	lab.NewInstance(t, uuid(0))
	statements := seen(t, lab, t.TempDir(), uuid(0), nil)
	killed, writes := 0, 0
	for _, point := range points(statements) {
		for _, executed := range []bool{false, true} {
			killed++
			uuid, backups := uuid(killed), t.TempDir()
			instance := lab.NewInstance(t, uuid)
			before := lab.Everything(t, uuid)
			statement := killAt(t, lab, point, executed, map[string]any{"instance_uuid": uuid, "backup_dir": backups})
			if strings.HasPrefix(statement, "UPDATE") || strings.HasPrefix(statement, "DELETE") || statement == "COMMIT" {
				writes++
			}
			again := call(t, lab.Conf, backups, uuid, false, nil)
			if again.Get("failed").Bool() {
				t.Errorf("killed at %d %q: %s", point, statement, again)
				continue
			}
			expectFinished(t, lab, instance)
			if back := back(t, lab, backups, uuid, toRestore(t, backups), false); back.Get("failed").Bool() {
				t.Errorf("killed at %d %q: restore: %s", point, statement, back)
			}
			if diff := cmp.Diff(before, lab.Everything(t, uuid)); diff != "" {
				t.Errorf("killed at %d %q: not as it was: %s", point, statement, diff)
			}
		}
	}
	if writes < 12 {
		t.Errorf("only %d of the points were writes", writes)
	}
	t.Logf("kill points of a purge: %d (%d of them at writes and commits)", killed, writes)
}

func TestARestoreThatIsKilledAnywhereIsFinishedByTheNext(t *testing.T) {
	lab := novalab.New(t)
	uuid := func(n int) string { return fmt.Sprintf("%08x-0000-4000-c000-000000000000", 0x50000000+n) }
	lab.NewInstance(t, uuid(0))
	statements := seen(t, lab, t.TempDir(), uuid(0), map[string]any{"state": "present", "backup_file": purged(t, lab, uuid(0), nil)})
	killed := 0
	for _, point := range points(statements) {
		for _, executed := range []bool{false, true} {
			killed++
			uuid := uuid(killed)
			lab.NewInstance(t, uuid)
			before := lab.Everything(t, uuid)
			file := purged(t, lab, uuid, nil)
			statement := killAt(t, lab, point, executed, map[string]any{"instance_uuid": uuid, "backup_dir": t.TempDir(), "state": "present",
				"backup_file": file})
			if again := back(t, lab, t.TempDir(), uuid, file, false); again.Get("failed").Bool() {
				t.Errorf("killed at %d %q: %s", point, statement, again)
			}
			if diff := cmp.Diff(before, lab.Everything(t, uuid)); diff != "" {
				t.Errorf("killed at %d %q: not as it was: %s", point, statement, diff)
			}
		}
	}
	t.Logf("kill points of a restore: %d", killed)
}
