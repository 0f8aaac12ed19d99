package openstacktest

import (
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// NewInEnvironment is New for one test, to whose cloud the OS_* variables lead.
func NewInEnvironment(t *testing.T) *Cloud {
	t.Helper()
	cloud := New()
	t.Cleanup(cloud.Close)
	for name, value := range cloud.Environment() {
		t.Setenv(name, value)
	}
	return cloud
}

type cloudKey struct{}

// InScript is New for one testscript: the OS_* variables lead to the cloud, and the
// script's command "call" passes them on.
func InScript(env *testscript.Env) *Cloud {
	cloud := New()
	env.Defer(cloud.Close)
	env.Values[cloudKey{}] = cloud
	var names []string
	for name, value := range cloud.Environment() {
		env.Setenv(name, value)
		names = append(names, name)
	}
	env.Setenv("CALL_ENVIRONMENT", strings.Join(names, " "))
	env.Setenv("HOME", env.WorkDir)
	return cloud
}

// Command does something to the script's cloud, or looks at it.
type Command func(ts *testscript.TestScript, cloud *Cloud, args []string)

// AddCommands adds them to a testscript's own.
func AddCommands(commands map[string]func(*testscript.TestScript, bool, []string), more map[string]Command) {
	for word, command := range more {
		commands[word] = func(ts *testscript.TestScript, _ bool, args []string) {
			command(ts, ts.Value(cloudKey{}).(*Cloud), args)
		}
	}
}

// FailCommand is: fail METHOD PATH STATUS|cut TIMES [lost|BODY].
func FailCommand(ts *testscript.TestScript, cloud *Cloud, args []string) {
	if len(args) < 4 {
		ts.Fatalf("usage: fail METHOD PATH STATUS|cut TIMES [lost|BODY]")
	}
	failure := Failure{Method: args[0], Path: args[1], Body: "<html>Bad Gateway</html>"}
	failure.Status, _ = strconv.Atoi(args[2])
	var err error
	failure.Times, err = strconv.Atoi(args[3])
	ts.Check(err)
	switch {
	case len(args) == 5 && args[4] == "lost":
		failure.Lost = true
	case len(args) == 5:
		failure.Body = args[4]
	}
	cloud.Fail(failure)
}
