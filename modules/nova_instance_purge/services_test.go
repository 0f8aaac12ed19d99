package main

import (
	"net/http"
	"strings"
	"testing"

	"nova-orphan/internal/nova"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
	"nova-orphan/internal/reap"
)

// services leads to those of the OS_* variables.
func services() *reap.Cloud { return reap.New(openstack.Auth{}, func(...string) {}) }

func TestWhereTheServicesCannotBeAskedNothingIsWritten(t *testing.T) {
	f := &fake{mappings: []nova.Row{{"id": {Text: "5"}, "deleted": {Text: "0"}, "volume_id": {Text: "v"},
		"destination_type": {Text: "volume"}}}}
	cloud := openstacktest.NewInEnvironment(t)
	refuses := func() {
		cloud.Fail(openstacktest.Failure{Path: "/volume", Status: http.StatusForbidden, Body: "{}", Times: 1})
	}
	leadsNowhere := func() { t.Setenv("OS_AUTH_URL", "") }
	for name, happens := range map[string]func(){"it refuses": refuses, "nothing leads there": leadsNowhere} {
		t.Setenv("OS_AUTH_URL", cloud.AuthURL())
		happens()
		got := callFakeIn(t, f, services(), nil)
		if f.writes > 0 || !got.Get("failed").Bool() || got.Get("changed").Bool() ||
			!strings.Contains(got.Get("msg").String(), "cannot tell what nova-compute would do to volumes [v]") ||
			!strings.Contains(got.Get("msg").String(), "by nova_conf, cloud, auth or OS_* variables") || got.Get("reap").Type.String() != "Null" {
			t.Errorf("%s: %d writes: %s", name, f.writes, got)
		}
	}
	t.Setenv("OS_AUTH_URL", cloud.AuthURL())
	saved := callFakeIn(t, f, services(), nil).Get("backup_file").String()
	f.writes = 0
	restored := map[string]any{"state": "present", "backup_file": saved}
	refuses()
	if got := callFakeIn(t, f, services(), restored); f.writes > 0 ||
		!strings.Contains(got.Get("msg").String(), "cannot tell whether volumes [v]") {
		t.Errorf("restore: %d writes: %s", f.writes, got)
	}
	if got := callFakeIn(t, f, services(), restored); got.Get("failed").Bool() || f.writes == 0 {
		t.Errorf("restore: %s", got)
	}
}

func TestADeletedInstanceWithArmedRowsOfOthersIsNotFinished(t *testing.T) {
	deleted := nova.Row{"id": {Text: "5"}, "deleted": {Text: "5"}, "deleted_at": {Text: "2020-01-01 00:00:00"}, "volume_id": {Text: "v"},
		"destination_type": {Text: "volume"}, "delete_on_termination": {Text: "1"}}
	cloud := openstacktest.NewInEnvironment(t)
	cloud.Do(func() { cloud.Volumes = []*openstacktest.Volume{{ID: "v", Status: "available"}} })
	f := &fake{deleted: true, queued: true, mappings: []nova.Row{deleted}}
	check := callFakeIn(t, f, services(), map[string]any{"_ansible_check_mode": true})
	got := callFakeIn(t, f, services(), nil)
	if !got.Get("changed").Bool() || got.Get("failed").Bool() || got.Get("verdict").String() != "deleted" ||
		check.Get("plan").Raw != got.Get("plan").Raw || !got.Get("reap.volumes.0.disarmed").Bool() {
		t.Errorf("got %s", got)
	}
	if again := callFakeIn(t, f, services(), nil); again.Get("changed").Bool() || again.Get("failed").Bool() {
		t.Errorf("again: %s", again)
	}
}
