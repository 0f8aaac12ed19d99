package main

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestNoFaultTellsASecretOrPassesForAChange(t *testing.T) {
	secrets := []string{`planted/pass&word"1`, "planted-userinfo-2", openstacktest.Token}
	cases := map[string]func(*testing.T) ansibletest.FaultCase{}
	for _, target := range []struct{ name, method, path string }{
		{"keystone", "POST", "/identity/v3/auth/tokens"},
		{"nova, asked for the service,", "GET", "/compute/v2.1/os-services"},
		{"nova, asked for the servers,", "GET", "/compute/v2.1/servers"},
		{"nova, asked for the change,", "PUT", "/compute/v2.1/os-services/"},
	} {
		service, _, _ := strings.Cut(target.name, ",")
		for _, fault := range openstacktest.Faults(secrets[:2]...) {
			cases[target.name+" "+fault.Name] = func(t *testing.T) ansibletest.FaultCase {
				cloud := openstacktest.New()
				t.Cleanup(cloud.Close)
				cloud.Secrets = []string{secrets[0]}
				cloud.Services = []openstacktest.Service{{ID: "f86eb1b1-347d-4f09-a306-455707d1478c", Host: theHost, Binary: "nova-compute"}}
				cloud.Fail(openstacktest.Failure{Method: target.method, Path: target.path, Times: 999, Answer: fault.Answer})
				return ansibletest.FaultCase{
					Module: name, Secrets: secrets, Waits: fault.Hangs, Told: fault.Told(service), Changed: true,
					Options: options{"host": theHost, "forced_down": true, "auth": options{
						"auth_url": strings.Replace(cloud.AuthURL(), "http://", "http://u:planted-userinfo-2@", 1), "username": "u", "project_name": "p",
						"password": secrets[0],
					}},
					Recover: func() { cloud.Do(cloud.Recover) },
					Failed: func(t *testing.T, answer gjson.Result) {
						writes := openstacktest.Writes(cloud.Requests())
						if answer.Get("changed").Bool() || len(writes) > maxTries || target.method != "PUT" && len(writes) > 0 {
							t.Errorf("%d writes, got %s", len(writes), answer)
						}
					},
				}
			}
		}
	}
	ansibletest.RunFaults(t, cases)
}
