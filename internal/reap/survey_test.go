package reap

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/nova"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
	"nova-orphan/internal/orphan"
)

// instance is one whose row names a volume and a port that it has, each by its number.
func instance(n int) (uuid, volume, port string) {
	return fmt.Sprintf("%08d-0000-4000-8000-000000000000", n), fmt.Sprint("volume", n), fmt.Sprint("port", n)
}

// found is what Nova's databases say of it.
func found(n int) nova.Finding {
	uuid, volume, port := instance(n)
	return nova.Finding{UUID: uuid, Cells: []nova.Cell{{Name: "cell1", Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Record: nova.Record{
		"instances": {Rows: []nova.Row{{"uuid": {Text: uuid}, "id": {Text: "43"}, "deleted": {Text: "0"}}}},
		"block_device_mapping": {Rows: []nova.Row{{"id": {Text: "5"}, "deleted": {Text: "0"}, "volume_id": {Text: volume},
			"attachment_id": {Text: "of-" + volume}, "destination_type": {Text: "volume"}, "delete_on_termination": {Text: "1"}}}},
		"instance_info_caches": {Rows: []nova.Row{{"network_info": {Text: `[{"id": "` + port + `", "preserve_on_delete": true}]`}}}},
	}}}}
}

// surveyed is a cloud with instances from 1 to n, as Nova's databases and as the services have them.
func surveyed(t *testing.T, n int) (cloud *openstacktest.Cloud, findings []nova.Finding) {
	t.Helper()
	cloud = openstacktest.NewInEnvironment(t)
	cloud.Do(func() {
		cloud.Cinder.PageSize, cloud.Neutron.PageSize = 1000, 1000
		for i := 1; i <= n; i++ {
			uuid, volume, port := instance(i)
			cloud.Volumes = append(cloud.Volumes, &openstacktest.Volume{ID: volume, Status: "in-use"})
			cloud.Attachments = append(cloud.Attachments,
				&openstacktest.Attachment{ID: "of-" + volume, Volume: volume, Instance: uuid, Status: "attached"})
			cloud.Ports = append(cloud.Ports, &openstacktest.Port{ID: port, Device: uuid, Host: "compute1"})
			findings = append(findings, found(i))
		}
	})
	return cloud, findings
}

func services() *Cloud { return New(openstack.Auth{}, func(...string) {}) }

func survey(t *testing.T, findings ...nova.Finding) map[string]Outlook {
	t.Helper()
	outlooks, unread := services().Survey(t.Context(), findings)
	if len(unread) > 0 || len(outlooks) != len(findings) {
		t.Fatalf("got %d outlooks, unread %v", len(outlooks), unread)
	}
	return outlooks
}

func TestASurveyTakesAboutAsManyRequestsForFiftyAsForOne(t *testing.T) {
	for _, test := range []struct{ instances, requests int }{
		// A token, whether the user sees all, the volumes, the attachments of the instance and of the volume (each with
		// the empty page that is the last), the instances' ports, those that the caches name.
		{1, 9},
		// All attachments at once, and the rest as for one.
		{50, 7},
		// A query more for each hundred volumes, instances and ports.
		{200, 10},
	} {
		cloud, findings := surveyed(t, test.instances)
		outlooks := survey(t, findings...)
		if requests := cloud.Requests(); len(requests) != test.requests {
			t.Errorf("%d instances: %d requests, want %d:\n%.3000s", test.instances, len(requests), test.requests, strings.Join(requests, "\n"))
		}
		for i := range test.instances {
			uuid, volume, port := instance(i + 1)
			want := Outlook{
				Plan: []string{"afterwards nova-compute DELETES volume " + volume + ": its delete_on_termination is set",
					"afterwards nova-compute unbinds port " + port + ", which it did not make"},
				Remains: []orphan.Remnant{{What: orphan.RemainsVolume, ID: volume, State: "attached"},
					{What: orphan.RemainsPort, ID: port, Host: "compute1", State: "ACTIVE"}},
			}
			if diff := cmp.Diff(want, outlooks[uuid]); diff != "" {
				t.Fatal(diff)
			}
		}
	}
}

// 3 has been taken over by 4, whether few or many are asked about.
func TestWhatSomebodyElseHasByNowIsKept(t *testing.T) {
	for _, instances := range []int{5, 60} {
		cloud, findings := surveyed(t, instances)
		uuid, volume, port := instance(3)
		heir, heirsVolume, heirsPort := instance(4)
		cloud.Do(func() {
			cloud.Attachments[2].Instance, cloud.Ports[2].Device = heir, heir
			cloud.Attachments = append(cloud.Attachments,
				&openstacktest.Attachment{ID: "shared", Volume: "volume1", Instance: heir, Status: "reserved"})
		})
		outlooks := survey(t, findings...)
		first, _, _ := instance(1)
		both := []string{first, heir}
		want := map[string]Outlook{
			uuid: {
				Plan: []string{
					"cell1: block_device_mapping: disarm row 5 of volume " + volume + " (set destination_type = NULL, delete_on_termination = 0): " +
						"Cinder has no attachment of the instance for it",
					"cell1: instance_info_caches: disarm port " + port + " (take it out of network_info): " + heir + " has it",
					"afterwards volume " + volume + " stays as it is: it is attached to " + heir,
					"afterwards port " + port + " stays as it is: " + heir + " has it",
				},
				Keeps: []string{"volume " + volume + " stays as it is: it is attached to " + heir,
					"port " + port + " stays as it is: " + heir + " has it"},
			},
			first: {
				Plan: []string{
					"cell1: block_device_mapping: disarm row 5 of volume volume1 (set delete_on_termination = 0): others have it as well",
					"afterwards nova-compute detaches volume volume1, by attachment of-volume1",
					"afterwards nova-compute unbinds port port1, which it did not make"},
				Keeps: []string{"volume volume1 is detached from the instance only: it is attached to " + strings.Join(both, ", ")},
				Remains: []orphan.Remnant{{What: orphan.RemainsVolume, ID: "volume1", State: "attached"},
					{What: orphan.RemainsPort, ID: "port1", Host: "compute1", State: "ACTIVE"}},
			},
		}
		for uuid, want := range want {
			if diff := cmp.Diff(want, outlooks[uuid]); diff != "" {
				t.Errorf("%d instances, %s: %s", instances, uuid, diff)
			}
		}
		var ids []string
		for _, r := range outlooks[heir].Remains {
			ids = append(ids, r.ID)
		}
		slices.Sort(ids)
		if diff := cmp.Diff([]string{port, heirsPort, "volume1", volume, heirsVolume}, ids); diff != "" {
			t.Errorf("%d instances, the heir: %s", instances, diff)
		}
	}
}

func TestWhatNoRowNamesRemainsAndHasNoPlan(t *testing.T) {
	surveyed(t, 2)
	lost, volume, port := instance(1)
	archived := found(2)
	archived.Cells[0].Archived = true
	outlooks := survey(t, nova.Finding{UUID: lost}, archived)
	for uuid, outlook := range outlooks {
		if len(outlook.Plan)+len(outlook.Keeps) > 0 || len(outlook.Remains) != 2 {
			t.Errorf("%s: got %+v", uuid, outlook)
		}
	}
	if got := outlooks[lost].Remains; got[0].ID != volume || got[1].ID != port {
		t.Errorf("got %+v", got)
	}
}

func TestAServiceThatCannotBeAskedIsNamedAndNothingIsSaidOfIt(t *testing.T) {
	const ofVolumes, ofPorts = "nova-compute DELETES volume volume1", "nova-compute unbinds port port1"
	for _, test := range []struct {
		name, path string
		unread     map[string]string
		told       []string
	}{
		{"whether all is seen", "/volume/v3/os-services", map[string]string{"cinder": "cinder answered 403"}, []string{ofPorts}},
		{"volumes", "/volume/v3/volumes/", map[string]string{"cinder": "cinder answered 403"}, []string{ofPorts}},
		{"attachments", "/volume/v3/attachments", map[string]string{"cinder": "cinder answered 403"}, []string{ofPorts}},
		{"the instances' ports", "/network/v2.0/ports?device_id=", map[string]string{"neutron": "neutron answered 403"}, []string{ofVolumes}},
		{"the caches' ports", "/network/v2.0/ports?id=", map[string]string{"neutron": "neutron answered 403"}, []string{ofVolumes}},
		{"a token", "/identity", map[string]string{"cinder": "keystone answered 403", "neutron": "keystone answered 403"}, nil},
	} {
		for _, instances := range []int{2, 60} {
			t.Run(fmt.Sprintf("%s, of %d", test.name, instances), func(t *testing.T) {
				cloud, findings := surveyed(t, instances)
				cloud.Fail(openstacktest.Failure{Path: test.path, Status: http.StatusForbidden, Body: "{}", Times: 999})
				outlooks, unread := services().Survey(t.Context(), findings)
				if len(unread) != len(test.unread) {
					t.Errorf("unread: %v", unread)
				}
				for service, why := range test.unread {
					if unread[service] == nil || !strings.Contains(unread[service].Error(), why) || len(unread[service].Error()) > 1000 {
						t.Errorf("unread: %v", unread)
					}
				}
				uuid, _, _ := instance(1)
				outlook := outlooks[uuid]
				if len(outlook.Plan) != len(test.told) || len(outlook.Remains) != len(test.told) || len(outlook.Keeps) > 0 ||
					len(test.told) > 0 && !strings.Contains(outlook.Plan[0], test.told[0]) {
					t.Errorf("got %+v", outlook)
				}
			})
		}
	}
}
