package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestMain(m *testing.M) { ansibletest.Main(m, name, main, hurry) }

func hurry() {
	openstack.FirstPause, deleteTraceTimeout, revertTimeout = time.Millisecond, 100*time.Millisecond, 50*time.Millisecond
}

func TestTheDocumentationSaysWhatTheModuleDeclares(t *testing.T) {
	ansibletest.CheckDocumentation(t, module(), name+".yml")
}

func TestTheModuleAsAnsibleCallsIt(t *testing.T) {
	commands := ansibletest.Commands(name)
	openstacktest.AddCommands(commands, map[string]openstacktest.Command{
		"server": setServer, "agent": setAgent, "migration": addMigration, "nova": setNova, "when": when, "fail": openstacktest.FailCommand,
		"writes": writes, "requests": requests,
	})
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: commands, Setup: setup})
}

func setup(env *testscript.Env) error {
	cloud := openstacktest.InScript(env)
	cloud.Services = []openstacktest.Service{{ID: "f86eb1b1-347d-4f09-a306-455707d1478c", Host: "compute1", Binary: "nova-compute"}}
	return nil
}

// server UUID FACT...: a server in ERROR on compute1, but for these facts
func setServer(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	server := serverOf(ts, args[1:])
	cloud.Do(func() { cloud.Servers[args[0]] = server })
}

func serverOf(ts *testscript.TestScript, facts []string) openstacktest.Server {
	server := openstacktest.Server{Status: "ERROR", Host: "compute1", Volumes: map[string]bool{}}
	for _, fact := range facts {
		word, value, _ := strings.Cut(fact, "=")
		switch word {
		case "status":
			server.Status = value
		case "vm_state":
			server.VMState = value
		case "task":
			server.Task = value
		case "host":
			server.Host = value
		case "age":
			age, err := time.ParseDuration(value)
			ts.Check(err)
			server.Updated = time.Now().Add(-age)
		case "volume":
			server.Volumes[value] = true
		case "kept":
			server.Volumes[value] = false
		case "user_data":
			server.UserData = value
		case "fault":
			server.Fault = value
		case "locked":
			server.Locked, server.LockedReason = true, value
		case "protected":
			server.Protected = true
		case "request":
			server.Request = true
		case "unmapped":
			server.Unmapped = true
		case "partial":
			server.Partial = true
		default:
			ts.Fatalf("no fact %s", fact)
		}
	}
	return server
}

// agent works|hangs|fails|down|maintained: nova-compute on compute1
func setAgent(_ *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	cloud.Do(func() {
		s := &cloud.Services[0]
		s.Agent, s.Silent, s.Disabled = strings.ReplaceAll(args[0], "works", ""), args[0] == "down", args[0] == "maintained"
	})
}

// migration UUID STATUS INSTANCE [TYPE AGE]
func addMigration(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	migration := openstacktest.Migration{UUID: args[0], Status: args[1], Instance: args[2]}
	if len(args) == 5 {
		age, err := time.ParseDuration(args[4])
		ts.Check(err)
		migration.Type, migration.Updated = args[3], time.Now().Add(-age)
	}
	cloud.Do(func() { cloud.Migrations = append(cloud.Migrations, migration) })
}

// nova admin|not-admin|missing|before-2.73
func setNova(_ *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	cloud.Do(func() {
		cloud.Missing, cloud.NotAdmin, cloud.BeforeLockedReason = args[0] == "missing", args[0] == "not-admin", args[0] == "before-2.73"
	})
}

// when METHOD PATH [then METHOD PATH] server UUID FACT...|gone UUID: just before such a request is answered
func when(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	method, path, args := args[0], args[1], args[2:]
	if args[0] == "then" {
		next := changeAt(ts, cloud, args[1], args[2], args[3:])
		cloud.Fail(openstacktest.Failure{Method: method, Path: path, Times: 1, Meanwhile: func() {}, Next: &next})
		return
	}
	cloud.Fail(changeAt(ts, cloud, method, path, args))
}

func changeAt(ts *testscript.TestScript, cloud *openstacktest.Cloud, method, path string, args []string) openstacktest.Failure {
	change := func() { delete(cloud.Servers, args[1]) }
	if args[0] == "server" {
		server := serverOf(ts, args[2:])
		change = func() { cloud.Servers[args[1]] = server }
	}
	return openstacktest.Failure{Method: method, Path: path, Times: 1, Meanwhile: change}
}

// writes N [REGEXP]: so many requests since the last such command would change something, and all of them in one line are like this
func writes(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	check(ts, openstacktest.Writes(cloud.Requests()), args)
}

// requests N [REGEXP]: so many requests since the last such command
func requests(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	check(ts, cloud.Requests(), args)
}

func check(ts *testscript.TestScript, got, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	line := strings.Join(got, ", ")
	if len(got) != want || len(args) == 2 && !regexp.MustCompile(args[1]).MatchString(line) {
		ts.Fatalf("%d requests: %s", len(got), line)
	}
}
