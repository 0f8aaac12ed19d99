package ansibletest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/tidwall/gjson"
)

// Main runs a package's tests, with the module as a program that they start by its name. Without the lab it first calls
// hurry, in the tests and in that program, which shortens their pauses: a fake recovers at once. A real service does not.
func Main(m testscript.TestingM, module string, main, hurry func()) {
	if !onLab && !strings.HasPrefix(filepath.Base(os.Args[0]), unhurried) {
		hurry()
	}
	testscript.Main(m, map[string]func(){unhurried + module: main, module: main})
}

// unhurried begins the name of the program that keeps its pauses.
const unhurried = "unhurried-"

// noPauseAtExit has the race detector not wait a second for reports at the end of each program.
const noPauseAtExit = "GORACE=atexit_sleep_ms=0"

// Commands are testscript commands for the module of this name:
//
//	call '{"option": "value"}'     calls it as Ansible does, and wants success; $WORK is
//	                               the script's folder there too
//	! call '{"option": "value"}'   the same, and wants failure
//	! unhurried-call '...'         the same, with the pauses that people get (see Main), so that
//	                               its time is not up in the middle of a look
//	answer PATH REGEXP             the last answer's value at the gjson path matches; of a call for
//	                               one element, what is said of that is beside the call's own
//	! answer PATH REGEXP           it does not match
//	! answer PATH                  the last answer has no such path
//	backups DIR UUID N             the module has written N files there about it
//
// Whatever a call does, it must print one line of ASCII JSON and nothing on
// standard error, and its exit status and "failed" must agree.
func Commands(module string) map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"call":           func(ts *testscript.TestScript, neg bool, args []string) { call(ts, module, neg, args) },
		"unhurried-call": func(ts *testscript.TestScript, neg bool, args []string) { call(ts, unhurried+module, neg, args) },
		"answer":         answer,
		"backups":        backups,
	}
}

func call(ts *testscript.TestScript, module string, wantFailure bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: call ARGUMENTS_JSON")
	}
	file := ts.MkAbs("arguments.json")
	ts.Check(os.WriteFile(file, []byte(strings.ReplaceAll(args[0], "$WORK", ts.Getenv("WORK"))), 0o600))
	path, err := exec.LookPath(filepath.Join(strings.SplitN(ts.Getenv("PATH"), string(os.PathListSeparator), 2)[0], module))
	ts.Check(err)
	command := exec.Command(path, file)
	command.Dir, command.Env = ts.MkAbs("."), environment(ts)
	output, err := command.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		ts.Fatalf("run %s: %v", module, err)
	}
	ts.Logf("%s", output)
	ts.Check(os.WriteFile(ts.MkAbs("answer.json"), output, 0o600))
	ts.Check(judge(output, command.ProcessState.ExitCode()))
	if failed := command.ProcessState.ExitCode() == 1; failed != wantFailure {
		ts.Fatalf("failed is %v: %s", failed, gjson.GetBytes(output, "msg"))
	}
}

// environment is what a testscript has set up, which it keeps to itself but for
// the names that it is asked for.
func environment(ts *testscript.TestScript) []string {
	env := []string{noPauseAtExit}
	for _, name := range strings.Fields(ts.Getenv("CALL_ENVIRONMENT") + " HOME PATH TMPDIR GOCOVERDIR") {
		if value := ts.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func backups(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 || neg {
		ts.Fatalf("usage: backups DIR UUID N")
	}
	files, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), args[1], "*.json"))
	ts.Check(err)
	if strconv.Itoa(len(files)) != args[2] {
		ts.Fatalf("there are %d: %v", len(files), files)
	}
}

func answer(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 && (len(args) != 1 || !neg) {
		ts.Fatalf("usage: answer PATH REGEXP, or ! answer PATH [REGEXP]")
	}
	value := gjson.GetBytes(Only([]byte(ts.ReadFile("answer.json"))), args[0])
	if len(args) == 1 {
		if value.Exists() {
			ts.Fatalf("%s is %s", args[0], value)
		}
		return
	}
	pattern, err := regexp.Compile("(?s)^(?:" + args[1] + ")$")
	ts.Check(err)
	if pattern.MatchString(value.String()) == neg {
		ts.Fatalf("%s is %q", args[0], value.String())
	}
}
