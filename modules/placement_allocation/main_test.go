package main

import (
	"fmt"
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
	ansibletest.CheckDocumentation(t, module(), "placement_allocation.yml")
}

// The providers of the fake cloud: compute1 has a VGPU as its child, storage is
// shared by both hosts, compute2 is small.
const (
	compute1 = "11111111-0000-4000-8000-000000000001"
	vgpu     = "11111111-0000-4000-8000-000000000002"
	compute2 = "22222222-0000-4000-8000-000000000001"
	storage  = "33333333-0000-4000-8000-000000000001"
)

func TestTheModuleAsAnsibleCallsIt(t *testing.T) {
	commands := ansibletest.Commands(name)
	openstacktest.AddCommands(commands, map[string]openstacktest.Command{
		"hold": hold, "capacity": capacity, "server": addServer, "migration": addMigration, "nova": nova,
		"boots": boots, "dies": dies, "fail": openstacktest.FailCommand, "kind": kind, "release": release, "drop": drop, "expires": expires,
		"revives": revives, "no-migrations": noMigrations, "unreadable": unreadable, "meanwhile": meanwhile, "requests": requests,
		"writes": writes,
	})
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: commands, Setup: setup})
}

func setup(env *testscript.Env) error {
	cloud := openstacktest.InScript(env)
	cloud.AddProvider("compute1", compute1, "", map[string]int{"VCPU": 8, "MEMORY_MB": 1024, "DISK_GB": 100})
	cloud.AddProvider("compute1_pci_0000_84_00_0", vgpu, compute1, map[string]int{"VGPU": 4})
	cloud.AddProvider("compute2", compute2, "", map[string]int{"VCPU": 4, "MEMORY_MB": 512})
	cloud.AddProvider("storage", storage, "", map[string]int{"DISK_GB": 100})
	env.Setenv("CALL_ENVIRONMENT", env.Getenv("CALL_ENVIRONMENT")+" OS_CLOUD OS_CLIENT_CONFIG_FILE")
	conf := fmt.Sprintf("[placement]\nauth_type = password\nauth_url = %s\nusername = placement\npassword = %s\nproject_name = service\n"+
		"project_domain_name = Default\nuser_domain_name = Default\nregion_name = RegionOne\n", cloud.AuthURL(), openstacktest.Password)
	return os.WriteFile(env.WorkDir+"/nova.conf", []byte(conf), 0o600)
}

var providerUUIDs = map[string]string{"compute1": compute1, "vgpu": vgpu, "compute2": compute2, "storage": storage}

// hold CONSUMER PROVIDER CLASS=N,...
func hold(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 3, "hold CONSUMER PROVIDER CLASS=N,...")
	cloud.Do(func() { cloud.Allocate(args[0], providerUUIDs[args[1]], amounts(ts, args[2])) })
}

func amounts(ts *testscript.TestScript, text string) map[string]int {
	found := map[string]int{}
	for _, pair := range strings.Split(text, ",") {
		class, amount, _ := strings.Cut(pair, "=")
		n, err := strconv.Atoi(amount)
		ts.Check(err)
		found[class] = n
	}
	return found
}

// capacity PROVIDER CLASS=N
func capacity(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 2, "capacity PROVIDER CLASS=N")
	for class, amount := range amounts(ts, args[1]) {
		cloud.Do(func() { cloud.SetCapacity(providerUUIDs[args[0]], class, amount) })
	}
}

// server UUID STATUS HOST [TASK]
func addServer(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	if len(args) == 3 {
		args = append(args, "")
	}
	wantArgs(ts, args, 4, "server UUID STATUS HOST [TASK]")
	cloud.Do(func() { cloud.Servers[args[0]] = openstacktest.Server{Status: args[1], Host: args[2], Task: args[3]} })
}

// migration UUID STATUS|deleted [TYPE INSTANCE SOURCE]
func addMigration(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	if len(args) == 2 {
		args = append(args, "", "the-instance", "compute1")
	}
	wantArgs(ts, args, 5, "migration UUID STATUS [TYPE INSTANCE SOURCE]")
	cloud.Do(func() {
		cloud.Migrations = append(cloud.Migrations, openstacktest.Migration{
			UUID: args[0], Status: args[1], Type: args[2], Instance: args[3], SourceHost: args[4], SourceNode: args[4],
			Deleted: args[1] == "deleted",
		})
	})
}

// kind UUID TYPE: of a consumer; "none" makes Placement too old for types
func kind(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 2, "kind UUID TYPE")
	cloud.Do(func() {
		if cloud.BeforeTypes = args[1] == "none"; !cloud.BeforeTypes {
			cloud.SetType(args[0], args[1])
		}
	})
}

// release UUID: someone else takes all from a consumer
func release(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 1, "release UUID")
	cloud.Do(func() { cloud.Release(args[0]) })
}

// drop PROVIDER: it is deleted, and what is held there
func drop(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 1, "drop PROVIDER")
	cloud.Do(func() { cloud.RemoveProvider(providerUUIDs[args[0]]) })
}

// no-migrations: forgets those that were added
func noMigrations(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 0, "no-migrations")
	cloud.Do(func() { cloud.Migrations = nil })
}

// unreadable: after the next write, the allocation cannot be read
func unreadable(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 0, "unreadable")
	cloud.Fail(openstacktest.Failure{Method: "PUT", Path: "/placement", Times: 1, Meanwhile: func() {}, Next: &openstacktest.Failure{
		Method: "GET", Path: "/placement/allocations/", Status: 500, Times: 1,
	}})
}

// expires METHOD PATH: with the next such request, the token has expired
func expires(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 2, "expires METHOD PATH")
	cloud.Fail(openstacktest.Failure{Method: args[0], Path: args[1], Times: 1, Meanwhile: cloud.ExpireWithin})
}

// revives METHOD PATH UUID: before the next such request, the server is there again
func revives(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 3, "revives METHOD PATH UUID")
	cloud.Fail(openstacktest.Failure{Method: args[0], Path: args[1], Times: 1, Meanwhile: func() {
		cloud.Servers[args[2]] = openstacktest.Server{Status: "ERROR", Host: "compute1"}
	}})
}

// nova missing|not-admin|lists-all|admin
func nova(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 1, "nova missing|not-admin|lists-all|admin")
	cloud.Do(func() {
		cloud.Missing, cloud.NotAdmin, cloud.ListsAll = args[0] == "missing", args[0] == "not-admin", args[0] == "lists-all"
	})
}

// meanwhile METHOD PATH TIMES hold CONSUMER PROVIDER CLASS=N,...
func meanwhile(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 7, "meanwhile METHOD PATH TIMES hold CONSUMER PROVIDER CLASS=N,...")
	times, err := strconv.Atoi(args[2])
	ts.Check(err)
	resources := amounts(ts, args[6])
	cloud.Fail(openstacktest.Failure{Method: args[0], Path: args[1], Times: times, Meanwhile: func() {
		cloud.Allocate(args[4], providerUUIDs[args[5]], resources)
	}})
}

// boots METHOD PATH UUID: before the next such request, someone boots this server on compute2
func boots(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 3, "boots METHOD PATH UUID")
	cloud.Fail(openstacktest.Failure{Method: args[0], Path: args[1], Times: 1, Meanwhile: func() {
		cloud.Servers[args[2]] = openstacktest.Server{Status: "BUILD"}
		cloud.Allocate(args[2], compute2, map[string]int{"VCPU": 1})
	}})
}

// dies UUID
func dies(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	wantArgs(ts, args, 1, "dies UUID")
	cloud.Do(func() { delete(cloud.Servers, args[0]) })
}

// requests N [REGEXP], or LEAST..MOST: so many requests since the last such command, the last of them like this
func requests(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	checkRequests(ts, cloud.Requests(), args)
}

// writes N [REGEXP]: so many of them would change something
func writes(ts *testscript.TestScript, cloud *openstacktest.Cloud, args []string) {
	checkRequests(ts, openstacktest.Writes(cloud.Requests()), args)
}

func checkRequests(ts *testscript.TestScript, got, args []string) {
	from, to, several := strings.Cut(args[0], "..")
	least, err := strconv.Atoi(from)
	ts.Check(err)
	most := least
	if several {
		most, err = strconv.Atoi(to)
		ts.Check(err)
	}
	if len(got) < least || len(got) > most {
		ts.Fatalf("%d requests: %s", len(got), strings.Join(got, ", "))
	}
	if len(args) == 2 && !regexp.MustCompile(args[1]).MatchString(got[len(got)-1]) {
		ts.Fatalf("the last request is %s", got[len(got)-1])
	}
}

func wantArgs(ts *testscript.TestScript, args []string, n int, usage string) {
	if len(args) != n {
		ts.Fatalf("usage: %s", usage)
	}
}
