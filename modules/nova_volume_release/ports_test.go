package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
	"nova-orphan/internal/orphan"
)

// told is a novaLookup that says what the database would.
type told struct{ said novaEvidence }

func (w *told) Lookup(context.Context, string) (novaEvidence, error) { return w.said, nil }

// inProcess is a call in the fake cloud, with the word of a database that a process
// of its own would have to find.
func inProcess(t *testing.T, cloud *openstacktest.Cloud, witness *told) gjson.Result {
	t.Helper()
	return inProcessWith(t, cloud, witness, nil)
}

func inProcessWith(t *testing.T, cloud *openstacktest.Cloud, witness novaLookup, more map[string]any) gjson.Result {
	t.Helper()
	for name, value := range cloud.Environment() {
		t.Setenv(name, value)
	}
	told := module()
	told.Run = func(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
		var p parameters
		if err := call.Decode(&p); err != nil {
			return nil, err
		}
		c, err := connect(ctx, call, p)
		if err != nil {
			return nil, err
		}
		c.lookup = witness
		return c.all(ctx)
	}
	options := map[string]any{"instance_uuid": instance, "state": released, "backup_dir": t.TempDir()}
	maps.Copy(options, more)
	return ansibletest.Call(t, told, options)
}

// portsOf is a cloud with a user's port, one that Nova made, and one of another server.
func portsOf(t *testing.T) (*openstacktest.Cloud, *told) {
	t.Helper()
	cloud := openstacktest.New()
	t.Cleanup(cloud.Close)
	cloud.Ports = []*openstacktest.Port{
		{ID: "users", Device: instance, Owner: "compute:nova", Host: "compute1", DNSName: "vm1",
			Profile: map[string]any{"pci_slot": "0000:00:1", "mine": "kept"}},
		{ID: "novas", Device: instance, Owner: "compute:nova", Host: "compute1"},
		{ID: "others", Device: "another", Owner: "compute:nova", Host: "compute1"},
	}
	return cloud, &told{novaEvidence{judgement: orphan.Judgement{Verdict: orphan.Zombie}, mapped: true,
		made: map[string]bool{"users": false, "novas": true}}}
}

func portIn(cloud *openstacktest.Cloud, id string) *openstacktest.Port {
	var found *openstacktest.Port
	cloud.Do(func() {
		for _, p := range cloud.Ports {
			if p.ID == id {
				found = p
			}
		}
	})
	return found
}

func TestPortsAreReleasedAsNovaWould(t *testing.T) {
	cloud, witness := portsOf(t)
	if answer := inProcess(t, cloud, witness); answer.Get("failed").Bool() || !answer.Get("changed").Bool() {
		t.Fatal(answer)
	}
	users := portIn(cloud, "users")
	if users == nil || users.Device != "" || users.Owner != "" || users.Host != "" || users.DNSName != "" {
		t.Errorf("the user's port is %+v", users)
	}
	if len(users.Profile) != 1 || users.Profile["mine"] != "kept" {
		t.Errorf("its profile is %v", users.Profile)
	}
	if portIn(cloud, "novas") != nil {
		t.Error("the port that Nova made is still there")
	}
	if others := portIn(cloud, "others"); others == nil || others.Device != "another" {
		t.Errorf("another server's port is %+v", others)
	}
	cloud.Requests()
	answer := inProcess(t, cloud, witness)
	if got := openstacktest.Writes(cloud.Requests()); answer.Get("failed").Bool() || answer.Get("changed").Bool() || len(got) > 0 {
		t.Errorf("the second run: %s, %v", answer, got)
	}
}

func TestAPortThatChangesMeanwhileIsLookedAtAgain(t *testing.T) {
	for _, test := range []struct {
		name   string
		method string
		change func(*openstacktest.Cloud)
		device string // of the user's port, in the end
	}{
		{"somebody renames it", "PUT", func(c *openstacktest.Cloud) { c.Ports[0].Revision++ }, ""},
		{"somebody gives it to another server", "PUT", func(c *openstacktest.Cloud) { c.Ports[0].Revision++; c.Ports[0].Device = "another" },
			"another"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cloud, witness := portsOf(t)
			cloud.Fail(openstacktest.Failure{Method: test.method, Path: "/network/v2.0/ports/users", Times: 1,
				Meanwhile: func() { test.change(cloud) }})
			if answer := inProcess(t, cloud, witness); answer.Get("failed").Bool() {
				t.Fatal(answer)
			}
			if got := portIn(cloud, "users").Device; got != test.device {
				t.Errorf("the port is of device %q", got)
			}
			if portIn(cloud, "novas") != nil {
				t.Error("the port that Nova made is still there")
			}
		})
	}
}

func TestAPortThatNeutronDoesNotDeleteIsTold(t *testing.T) {
	cloud, witness := portsOf(t)
	cloud.InTrunk["novas"] = true
	answer := inProcess(t, cloud, witness)
	if !strings.Contains(answer.Get("msg").String(), "parent port for trunk") || !answer.Get("failed").Bool() ||
		!answer.Get("changed").Bool() {
		t.Errorf("got %s", answer)
	}
}

// Since 2024.1 Neutron lets only Nova's account, which has the role service, write a port's profile.
func TestPortsAreReleasedByTheAccountByWhichNovaBindsThem(t *testing.T) {
	section := func(name, user string) string {
		return fmt.Sprintf("[%s]\nauth_url = AUTH_URL\nusername = %s\npassword = %s\nproject_name = service\n", name, user,
			openstacktest.Password)
	}
	for _, test := range []struct {
		name, conf, refused string
	}{
		{"with the account of [neutron]", section("placement", "placement") + section("neutron", openstacktest.NetworkUser), ""},
		{"with a section that [neutron] names", section("placement", "placement") + section("shared", openstacktest.NetworkUser) +
			"[neutron]\nauth_section = shared\n", ""},
		{"without a section [neutron]", section("placement", "placement"), "lets only the role service write what a host has to do with a port"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cloud, witness := portsOf(t)
			cloud.ForServices = true
			file := t.TempDir() + "/nova.conf"
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(test.conf, "AUTH_URL", cloud.AuthURL())), 0o600); err != nil {
				t.Fatal(err)
			}
			answer := inProcessWith(t, cloud, witness, map[string]any{"nova_conf": file})
			if answer.Get("failed").Bool() != (test.refused != "") || !strings.Contains(answer.Get("msg").String(), test.refused) {
				t.Fatalf("got %s", answer)
			}
			if got := portIn(cloud, "users"); (got.Device == "") != (test.refused == "") {
				t.Errorf("the port is %+v", got)
			}
		})
	}
}

func TestANovaConfWithoutDatabasesIsToldOfEachInstance(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	file := t.TempDir() + "/nova.conf"
	conf := fmt.Sprintf("[placement]\nauth_url = %s\nusername = u\npassword = %s\nproject_name = p\n", cloud.AuthURL(), openstacktest.Password)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	answer := ansibletest.Call(t, module(), map[string]any{"instance_uuid": []string{instance, openstacktest.UUID()}, "nova_conf": file})
	if got := answer.Get("instances.#.verdict").String(); got != `["unknown","unknown"]` ||
		!strings.Contains(answer.Get("msg").String(), "api_database") {
		t.Errorf("got %s", answer)
	}
}

// A profile of which nothing is taken needs no such account.
func TestAProfileThatStaysIsNotSent(t *testing.T) {
	cloud, witness := portsOf(t)
	cloud.ForServices, cloud.Ports[0].Profile = true, map[string]any{"mine": "kept"}
	if answer := inProcess(t, cloud, witness); answer.Get("failed").Bool() {
		t.Fatal(answer)
	}
	if got := portIn(cloud, "users"); got.Device != "" || got.Profile["mine"] != "kept" {
		t.Errorf("the port is %+v", got)
	}
}
