package main

import (
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

const servicesPath = "/compute/v2.1/"

func TestNoFaultTellsASecretOrPassesForADelete(t *testing.T) {
	secrets := []string{`planted/pass&word"1`, "planted-userinfo-2", openstacktest.Token}
	cases := map[string]func(*testing.T) ansibletest.FaultCase{}
	for _, target := range []struct {
		name, method, path, task string
		// before says that nothing can have been changed.
		before bool
	}{
		{"keystone", "POST", "/identity/v3/auth/tokens", "", true},
		{"nova, asked for the server,", "GET", servicesPath + "servers/", "", true},
		{"nova, asked for its migrations,", "GET", servicesPath + "os-migrations", "", true},
		{"nova, asked to keep a volume,", "PUT", servicesPath + "servers/", "", true},
		{"nova, asked to reset the state,", "POST", servicesPath + "servers/", "deleting", true},
		{"nova, asked to delete it,", "DELETE", servicesPath + "servers/", "", false},
	} {
		service, _, _ := strings.Cut(target.name, ",")
		for _, fault := range openstacktest.Faults(secrets[:2]...) {
			var told []string // what came of a write is read back, and told instead
			if target.method == "GET" || service == "keystone" {
				told = fault.Told(service)
			}
			cases[target.name+" "+fault.Name] = func(t *testing.T) ansibletest.FaultCase {
				cloud := openstacktest.New()
				t.Cleanup(cloud.Close)
				cloud.Secrets = []string{secrets[0]}
				cloud.Services = []openstacktest.Service{{ID: "f86eb1b1-347d-4f09-a306-455707d1478c", Host: theHost, Binary: "nova-compute"}}
				cloud.Servers[uuid] = openstacktest.Server{Status: "ERROR", Host: theHost, Task: target.task, Volumes: map[string]bool{"aaaa": true}}
				cloud.Fail(openstacktest.Failure{Method: target.method, Path: target.path, Times: 999, Answer: fault.Answer})
				return ansibletest.FaultCase{
					Module: name, Secrets: secrets, Told: told, Changed: true,
					Waits: fault.Hangs || target.method == "DELETE", // it looks whether the delete had an effect all the same
					Options: options{"instance_uuid": uuid, "methods": byReset, "preserve_volumes": true, "auth": options{
						"auth_url": strings.Replace(cloud.AuthURL(), "http://", "http://u:planted-userinfo-2@", 1), "username": "u", "project_name": "p",
						"password": secrets[0],
					}},
					Recover: func() { cloud.Do(cloud.Recover) },
					Failed: func(t *testing.T, answer gjson.Result) {
						deleted := strings.Contains(strings.Join(cloud.Requests(), "\n"), "DELETE")
						outcome := answer.Get("outcome").String()
						stops := outcome == refused || outcome == unknown
						if outcome == "gone" || target.before && (deleted || !stops) {
							t.Errorf("asked to delete: %v, got %s", deleted, answer)
						}
					},
				}
			}
		}
	}
	ansibletest.RunFaults(t, cases)
}

func TestAServerThatCannotBeReadAfterAChangeIsNotShownAsGone(t *testing.T) {
	s := newFakeStage(t)
	server := s.boot(true)
	s.set(server, "error", "deleting", time.Hour)
	s.nova.(fakeNova).cloud.Fail(openstacktest.Failure{Method: "POST", Path: servicesPath + "servers/", Times: 1, Meanwhile: func() {},
		Next: &openstacktest.Failure{Method: "GET", Path: servicesPath + "servers/", Times: 1, Status: 500}})
	answer := s.start(server, options{"methods": byReset}).Failed(true, "it was changed, but could not be read back")
	if !answer.Get("server.updated").Exists() || answer.Get("outcome").String() != unknown {
		t.Errorf("got %s", answer)
	}
}
