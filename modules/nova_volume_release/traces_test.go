package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/backup"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/openstack/openstacktest"
	"nova-orphan/internal/orphan"
)

// rowless are databases in which no cell has a row of the instance.
type rowless struct{ finding nova.Finding }

func (r rowless) FindAll(_ context.Context, uuids []string) (map[string]nova.Finding, error) {
	r.finding.UUID, r.finding.MappedCell = uuids[0], nova.Value{Text: "1"}
	return map[string]nova.Finding{uuids[0]: r.finding}, nil
}

func left(cells ...nova.Cell) nova.Finding {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range cells {
		cells[i].ID, cells[i].Name, cells[i].Now = "1", "cell1", now
	}
	return nova.Finding{Now: now, Cells: cells}
}

func rows(rows ...nova.Row) nova.Table { return nova.Table{Rows: rows} }

func text(value string) nova.Value { return nova.Value{Text: value} }

// remainders is a cloud in which the instance has a volume and three ports, and another has what was the instance's.
func remainders(t *testing.T) *openstacktest.Cloud {
	t.Helper()
	cloud, _ := portsOf(t)
	cloud.Ports = append(cloud.Ports, &openstacktest.Port{ID: "untold", Device: instance, Owner: "compute:nova"})
	cloud.Volumes = []*openstacktest.Volume{{ID: "v1", Status: "in-use"}, {ID: "v2", Status: "in-use"}}
	cloud.Attachments = []*openstacktest.Attachment{{ID: "a1", Volume: "v1", Instance: instance, Status: "attached"},
		{ID: "b2", Volume: "v2", Instance: "another", Status: "attached"}}
	return cloud
}

// ask releases what an instance has of which nothing is left in the databases but this.
func ask(t *testing.T, cloud *openstacktest.Cloud, finding nova.Finding, more map[string]any) gjson.Result {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nova.conf")
	conf := fmt.Sprintf("[placement]\nauth_url = %s\nusername = placement\npassword = %s\nproject_name = service\n", cloud.AuthURL(),
		openstacktest.Password)
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	options := map[string]any{"nova_conf": file}
	maps.Copy(options, more)
	return inProcessWith(t, cloud, &fromDatabases{databases: rowless{finding}}, options)
}

func TestWhatALostInstanceHasIsReleasedWhereATraceProvesThatItWasThisClouds(t *testing.T) {
	spec := left(nova.Cell{})
	spec.RequestSpec = true
	mapping := left(nova.Cell{})
	mapping.API = nova.Record{"instance_mappings": rows(nova.Row{"cell_id": text("1")})}
	archived := left(nova.Cell{Archived: true,
		Record: nova.Record{"instances": rows(nova.Row{"id": text("9"), "uuid": text(instance), "deleted": text("9")})}})
	seen := map[string]any{"traces": map[string]any{strings.ToUpper(instance): "compute1: domain instance-00000009 has its metadata"}}
	for _, test := range []struct {
		name    string
		finding nova.Finding
		more    map[string]any
		verdict orphan.Verdict
		proof   string
	}{
		{"K2 a request spec", spec, nil, orphan.Lost, "request_specs still has a row"},
		{"K1 a mapping", mapping, nil, orphan.Lost, "instance_mappings still has a row"},
		{"a migration", left(nova.Cell{Left: nova.Record{"migrations": rows(nova.Row{"id": text("7"), "deleted": text("7")})}}), nil, orphan.Lost,
			"migrations still has rows"},
		{"archived", archived, nil, orphan.Archived, "shadow_instances"},
		{"what the caller has seen", left(nova.Cell{}), seen, orphan.Lost, "domain instance-00000009"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cloud := remainders(t)
			got := ask(t, cloud, test.finding, test.more)
			if got.Get("failed").Bool() || !got.Get("changed").Bool() || got.Get("verdict").String() != string(test.verdict) ||
				!strings.Contains(got.Get("reasons").String(), test.proof) ||
				strings.Contains(got.Get("plan").String(), "nova does not know") != (test.verdict == orphan.Archived) {
				t.Errorf("got %s", got)
			}
			if len(cloud.Attachments) != 1 || cloud.Attachments[0].ID != "b2" || cloud.Volumes[0].Status != "available" {
				t.Errorf("attachments %v", cloud.Attachments)
			}
			// Nobody knows any more who made them, so that none is deleted.
			for id, device := range map[string]string{"users": "", "novas": "", "untold": "", "others": "another"} {
				if port := portIn(cloud, id); port == nil || port.Device != device {
					t.Errorf("port %s is %+v", id, port)
				}
			}
			cloud.Requests()
			if again := ask(t, cloud, test.finding, test.more); again.Get("changed").Bool() || again.Get("failed").Bool() {
				t.Errorf("again: %s", again)
			}
			if writes := openstacktest.Writes(cloud.Requests()); len(writes) > 0 {
				t.Errorf("again: %v", writes)
			}
		})
	}
}

func TestOfALostInstanceWhoseRowsAreLeftPortsGoAsTheyTellAndOthersKeepTheirs(t *testing.T) {
	cloud := remainders(t)
	got := ask(t, cloud, left(nova.Cell{Left: nova.Record{
		"block_device_mapping": rows(nova.Row{"id": text("5"), "deleted": text("0"), "volume_id": text("v2")}),
		"instance_info_caches": rows(nova.Row{"id": text("6"), "deleted": text("0"), "network_info": text(`[{"id": "users", "preserve_on_delete": true},` +
			` {"id": "novas", "preserve_on_delete": false}, {"id": "others", "preserve_on_delete": false}]`)}),
	}}), nil)
	if got.Get("failed").Bool() || portIn(cloud, "novas") != nil || portIn(cloud, "users").Device != "" ||
		portIn(cloud, "others").Device != "another" || len(cloud.Attachments) != 1 {
		t.Errorf("%v: %s", cloud.Attachments, got)
	}
	for _, told := range []string{"volume v2 is untouched: others have it by now: another",
		"port others (192.0.2.7) is untouched: it is of another by now"} {
		if !strings.Contains(got.Get("remains").String(), told) {
			t.Errorf("%q is not told: %s", told, got.Get("remains"))
		}
	}
}

func TestAnInstanceOfWhichNovasDatabasesHaveNoTraceMayBeAnotherClouds(t *testing.T) {
	cloud, dir := remainders(t), t.TempDir()
	for _, check := range []bool{true, false} {
		got := ask(t, cloud, left(nova.Cell{}), map[string]any{"_ansible_check_mode": check, "backup_dir": dir,
			"traces": map[string]any{openstacktest.UUID(): []any{"another's"}}})
		if got.Get("failed").Bool() || got.Get("changed").Bool() || got.Get("verdict").String() != "absent" || got.Get("plan.#").Int() != 0 ||
			got.Get("msg").String() != "nova's databases have no trace of instance "+instance+": nothing to release" {
			t.Errorf("check %v: %s", check, got)
		}
		for _, told := range []string{"attachment a1 gives the instance volume v1", "port novas (192.0.2.7) has the instance as its device",
			"give it in traces: {" + instance} {
			if !strings.Contains(got.Get("remains").String(), told) {
				t.Errorf("%q is not told: %s", told, got.Get("remains"))
			}
		}
	}
	if writes := openstacktest.Writes(cloud.Requests()); len(writes) > 0 {
		t.Errorf("written: %v", writes)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("backups: %v, %v", files, err)
	}
	cloud.Attachments, cloud.Ports = nil, nil
	if got := ask(t, cloud, left(nova.Cell{}), nil); got.Get("remains.#").Int() != 0 || got.Get("failed").Bool() {
		t.Errorf("it has nothing: %s", got)
	}
}

// Its traces went after the first attachment: what was begun is finished.
func TestACallThatWasCutOffIsFinishedThoughTheTracesHaveGoneSince(t *testing.T) {
	for verdict, finished := range map[orphan.Verdict]bool{orphan.Lost: true, orphan.Zombie: true, orphan.Absent: false,
		orphan.Unknown: false} {
		cloud, dir := remainders(t), t.TempDir()
		if _, err := backup.Write(dir, backup.Backup{Module: name, UUID: instance, Data: record{Verdict: verdict}}); err != nil {
			t.Fatal(err)
		}
		got := ask(t, cloud, left(nova.Cell{}), map[string]any{"backup_dir": dir})
		if got.Get("failed").Bool() || got.Get("changed").Bool() != finished {
			t.Errorf("%s: %s", verdict, got)
		}
		if files, err := filepath.Glob(filepath.Join(dir, instance, "*")); err != nil || (len(files) == 2) != finished {
			t.Errorf("%s: backups %v, %v", verdict, files, err)
		}
	}
}
