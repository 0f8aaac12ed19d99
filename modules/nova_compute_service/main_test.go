package main

import (
	"os"
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

func hurry() { openstack.FirstPause = time.Millisecond }

func TestTheDocumentationSaysWhatTheModuleDeclares(t *testing.T) {
	ansibletest.CheckDocumentation(t, module(), name+".yml")
}

func TestTheModuleAsAnsibleCallsIt(t *testing.T) {
	commands := ansibletest.Commands(name)
	openstacktest.AddCommands(commands, map[string]openstacktest.Command{
		"servers": setServers, "silent": setSilent, "sets": sets, "hosts": addHosts, "conf": writeConf, "fail": openstacktest.FailCommand,
		"writes": writes,
	})
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: commands, Setup: setup})
}

func setup(env *testscript.Env) error {
	cloud := openstacktest.InScript(env)
	cloud.Services = []openstacktest.Service{
		{ID: "f86eb1b1-347d-4f09-a306-455707d1478c", Host: "compute1", Binary: "nova-compute"},
		{ID: "15c31ae3-64aa-433e-b129-51c9c60c08c2", Host: "compute2", Binary: "nova-compute", Disabled: true, Reason: "disk"},
		{ID: "25c31ae3-64aa-433e-b129-51c9c60c08c2", Host: "controller", Binary: "nova-scheduler"},
	}
	return nil
}

// servers N STATUS: so many more on compute1
func setServers(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	n := number(ts, args[0])
	cloud.Do(func() {
		for i := range n {
			cloud.Servers[args[1]+strconv.Itoa(i)] = openstacktest.Server{Status: args[1], Host: "compute1"}
		}
	})
}

// silent yes|no: compute1
func setSilent(_ *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	cloud.Do(func() { cloud.Services[0].Silent = args[0] == "yes" })
}

// hosts N: so many more with nova-compute
func addHosts(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	for i := range number(ts, args[0]) {
		cloud.Services = append(cloud.Services, openstacktest.Service{ID: "id", Host: "host" + strconv.Itoa(i), Binary: "nova-compute"})
	}
}

// conf URL: a nova.conf that leads to the cloud, and to this API database or none
func writeConf(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	conf := "[placement]\nauth_url = " + cloud.AuthURL() + "\nusername = u\nproject_name = p\npassword = " + openstacktest.Password + "\n"
	if args[0] != "" {
		conf += "[api_database]\nconnection = " + args[0] + "\n"
	}
	ts.Check(os.WriteFile(ts.MkAbs("nova.conf"), []byte(conf), 0o600))
}

// sets METHOD PATH forced_down|up|reason: somebody else does, to compute1, just before such a request is answered
func sets(_ *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	cloud.Fail(openstacktest.Failure{Method: args[0], Path: args[1], Times: 1, Meanwhile: func() {
		s := &cloud.Services[0]
		switch args[2] {
		case "reason":
			s.Disabled, s.Reason = true, "somebody else"
		default:
			s.ForcedDown = args[2] == "forced_down"
		}
	}})
}

// writes N [REGEXP]: so many requests since the last such command would change something
func writes(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	got := openstacktest.Writes(cloud.Requests())
	line := strings.Join(got, ", ")
	if len(got) != number(ts, args[0]) || len(args) == 2 && !regexp.MustCompile(args[1]).MatchString(line) {
		ts.Fatalf("%d writes: %s", len(got), line)
	}
}

func number(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}
