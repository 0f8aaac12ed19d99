package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

// Whatever is asked before the first write, and however the answer fails to come, it is
// never taken for "nothing there".
func TestAReadThatFailsIsNeverAnAbsence(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	cloud.Servers[instance] = openstacktest.Server{
		Status: "ERROR", Host: "compute1", Volumes: map[string]bool{"v1": true},
		Attached: map[string]openstacktest.Attached{"v1": {Attachment: "a1", Device: "/dev/vda"}},
	}
	cloud.Volumes = []*openstacktest.Volume{{ID: "v1", Status: "in-use"}}
	cloud.Attachments = []*openstacktest.Attachment{{ID: "a1", Volume: "v1", Instance: instance, Status: "attached"}}
	cloud.Snapshots = []*openstacktest.Snapshot{{ID: "s1", Volume: "v1", Status: "available"}}
	cloud.Ports = []*openstacktest.Port{{ID: "p1", Device: instance, Owner: "compute:nova"}}
	for name, options := range map[string]map[string]any{
		"released": {"state": released, "preserve_volumes": true, "delete_snapshots": true},
		"shown":    {},
	} {
		options["instance_uuid"], options["timeout"], options["_ansible_check_mode"], options["backup_dir"] = instance, 1, true, t.TempDir()
		t.Run(name, func(t *testing.T) {
			openstacktest.FailEachRead(t, cloud, func(t *testing.T) bool {
				t.Helper()
				return ansibletest.Call(t, module(), options).Get("failed").Bool()
			})
		})
	}
}

// A port of Nova's rows that has another device by now is asked for by its id.
func TestAPortThatCannotBeReadIsNotGone(t *testing.T) {
	for _, status := range []int{0, 401, 403, 500} {
		cloud, witness := portsOf(t)
		witness.said.portIDs = []string{"others", "deleted"}
		cloud.Fail(openstacktest.Failure{Method: "GET", Path: "/network/v2.0/ports?id=deleted", Status: status, Times: 100,
			Body: `{"NeutronError": {"message": "no"}}`})
		if answer := inProcess(t, cloud, witness); !answer.Get("failed").Bool() || answer.Get("changed").Bool() {
			t.Errorf("%d: got %s", status, answer)
		}
		cloud.Do(cloud.Recover)
		answer := inProcess(t, cloud, witness)
		if got := answer.Get(`ports.#(gone==true)#.id`).String(); answer.Get("failed").Bool() || got != `["deleted","novas"]` {
			t.Errorf("gone are %s, got %s", got, answer)
		}
		if got := answer.Get("remains").String(); got != `["port others (192.0.2.7) is untouched: it is of another by now (compute:nova)"]` {
			t.Errorf("got %s", answer)
		}
		if got := portIn(cloud, "others"); got == nil || got.Device != "another" {
			t.Errorf("the port of another is %+v", got)
		}
	}
}

// However many instances there are: that Cinder shows all projects. Which images consist of snapshots is
// asked for those who ask at the same time; see shared.Question.
func TestWhatIsTheSameForAllInstancesIsAskedOnce(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	var instances []string
	for i := range 12 {
		uuid, volume := openstacktest.UUID(), fmt.Sprint("v", i)
		instances = append(instances, uuid)
		cloud.Volumes = append(cloud.Volumes, &openstacktest.Volume{ID: volume, Status: "in-use"})
		cloud.Attachments = append(cloud.Attachments, &openstacktest.Attachment{ID: fmt.Sprint("a", i), Volume: volume, Instance: uuid,
			Status: "attached"})
		cloud.Snapshots = append(cloud.Snapshots, &openstacktest.Snapshot{ID: fmt.Sprint("s", i), Volume: volume, Status: "available"})
	}
	cloud.Images = []openstacktest.Image{{ID: "i7", Mapping: `[{"snapshot_id": "s7"}]`}}
	answer := ansibletest.Call(t, module(), map[string]any{"instance_uuid": instances, "state": released, "delete_snapshots": true,
		"backup_dir": t.TempDir()})
	asked := map[string]int{}
	for _, request := range cloud.Requests() {
		asked[request]++
	}
	for _, request := range []string{"POST /identity/v3/auth/tokens", "GET /volume/v3/os-services?binary=cinder-scheduler"} {
		if asked[request] != 1 {
			t.Errorf("%s: %d times", request, asked[request])
		}
	}
	if answer.Get("failed").Bool() || len(cloud.Snapshots) != 1 || cloud.Snapshots[0].ID != "s7" || len(cloud.Attachments) > 0 {
		t.Errorf("left are %v and %v, got %s", cloud.Snapshots, cloud.Attachments, answer)
	}
}

func TestEachOfFiftyInstancesTakesFiveRequests(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	var instances []string
	for range 50 {
		device := openstacktest.UUID()
		instances = append(instances, device)
		cloud.Ports = append(cloud.Ports, &openstacktest.Port{ID: openstacktest.UUID(), Device: device, Owner: "compute:nova"})
	}
	answer := ansibletest.Call(t, module(), map[string]any{"instance_uuid": instances, "state": released, "backup_dir": t.TempDir()})
	requests := slices.DeleteFunc(cloud.Requests(), func(request string) bool { return strings.Contains(request, "marker=") })
	for i, instance := range instances {
		// The server, the lists of servers, attachments and images, and that of ports, which others share.
		if n := openstacktest.CountNaming(requests, instance); n != 5 {
			t.Errorf("%d requests for %s", n, instance)
		}
		if ports := answer.Get(fmt.Sprintf("instances.%d.ports.#.device_id", i)).String(); ports != `["`+instance+`"]` {
			t.Errorf("%s has ports of %s", instance, ports)
		}
	}
	if answer.Get("failed").Bool() {
		t.Error(answer.Get("msg"))
	}
	t.Logf("requests: %d", len(requests))
}
