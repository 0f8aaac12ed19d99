//go:build !lab

package main

import (
	"strings"
	"testing"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestWhatACellThatIsDownHasIsNotGone(t *testing.T) {
	const instance = "6695eb01-f6a4-8304-79aa-97f2502e193f"
	for name, server := range map[string]*openstacktest.Server{
		"the server, which has lost its mapping":               {Status: "ERROR", Host: theHost, Cell: "cell2", Unmapped: true},
		"whatever it is, and no cell that answers has it":      nil,
		"perhaps the migrations, while the server's answers":   {Status: "ERROR", Host: theHost},
		"the server, and Nova still knows in which cell it is": {Status: "ERROR", Host: theHost, Cell: "cell2"},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := openstacktest.NewInEnvironment(t)
			if server != nil {
				cloud.Servers[instance] = *server
			}
			cloud.Down = "cell2"
			answer := ansibletest.Call(t, module(), map[string]any{"instance_uuid": instance, "backup_dir": t.TempDir()})
			if !answer.Get("failed").Bool() || answer.Get("verdict").String() != "unknown" || answer.Get("outcome").String() != unknown {
				t.Errorf("got %s", answer)
			}
			if msg := answer.Get("msg").String(); !strings.Contains(msg, "Unexpected API Error") {
				t.Errorf("got %s", msg)
			}
			if writes := openstacktest.Writes(cloud.Requests()); len(writes) > 0 {
				t.Errorf("it sent %v", writes)
			}
		})
	}
}
