//go:build releases

package releases_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible/ansibletest"
)

// instances are those of the cloud: the host that each is on, and how it is. Each test has its own, so that none depends on another.
var instances = map[string][]any{
	"live":           {up, options{"vm_state": "active"}},
	"locked":         {down, options{"vm_state": "error", "locked": true, "locked_by": "admin"}},
	"without a host": {up, options{"vm_state": "error", "host": nil, "node": nil, "compute_id": nil}},
	"in error":       {down, options{"vm_state": "error"}},
	"deleting":       {down, options{"vm_state": "error", "task_state": "deleting"}},
	"by force":       {down, options{"vm_state": "error", "task_state": "deleting"}},
	"with volumes":   {down, options{"vm_state": "error"}},
	"forced down":    {up, options{"vm_state": "error", "task_state": "deleting"}},
	"by database":    {up, options{"vm_state": "error", "task_state": "deleting"}},
	"zombie":         {up, options{"vm_state": "error", "task_state": "deleting"}},
	"reaped":         {up, options{"vm_state": "error", "task_state": "deleting"}},
	"found":          {up, options{"vm_state": "error", "task_state": "deleting"}},
	"half gone":      {down, options{"vm_state": "error"}},
	"with others":    {down, options{"vm_state": "error"}},
	"not allowed":    {down, options{"vm_state": "error", "task_state": "deleting"}},
}

// wantsGone fails unless Nova's database and API and Placement's API say that the instance is gone as Nova leaves one.
func wantsGone(t *testing.T, uuid string) {
	t.Helper()
	if row := selected(t, "SELECT deleted = id, vm_state, task_state FROM cell1.instances WHERE uuid = ?", uuid); row != "1 deleted NULL" {
		t.Errorf("its row is %q", row)
	}
	if row := selected(t, "SELECT queued_for_delete FROM api.instance_mappings WHERE instance_uuid = ?", uuid); row != "1" {
		t.Errorf("its mapping is queued for delete: %q", row)
	}
	if shown := status(t, uuid); shown != "" {
		t.Errorf("Nova shows it as %s", shown)
	}
	if left := held(t, uuid); left != "" {
		t.Errorf("it holds %s", left)
	}
}

func TestNovasOwnWaysDeleteAnInstanceAndOnlyOneThatMayGo(t *testing.T) {
	for _, test := range []struct {
		name, instance string
		options        options
		by             string // the method that helped, or none
	}{
		{"one without a host", "without a host", nil, "delete"},
		{"one in ERROR on a host that is down", "in error", nil, "delete"},
		{"one in the middle of a delete", "deleting", options{"methods": []string{"delete", "reset_state", "force_delete"}}, "reset_state"},
		{"one by force", "by force", options{"methods": "force_delete"}, "force_delete"},
		{"not one that is live", "live", nil, ""},
		{"not one that is locked", "locked", nil, ""},
		{"one that is locked, and may go", "locked", options{"allow_locked": true}, "delete"},
	} {
		t.Run(test.name, func(t *testing.T) {
			uuid, before := the.Instances[test.instance], everyRow(t)
			all := options{"instance_uuid": uuid, "backup_dir": t.TempDir()}
			for name, value := range test.options {
				all[name] = value
			}
			all["_ansible_check_mode"] = true
			check := start(t, "nova_instance_delete", all).Answer()
			if diff := cmp.Diff(before, everyRow(t)); diff != "" {
				t.Errorf("a check changed %s", diff)
			}
			delete(all, "_ansible_check_mode")
			if test.by == "" {
				answer := start(t, "nova_instance_delete", all).Failed(false)
				if diff := cmp.Diff(before, everyRow(t)); !check.Get("failed").Bool() || answer.Get("outcome").String() != "refused" || diff != "" {
					t.Errorf("got %s after %s, which changed %s", answer, check, diff)
				}
				return
			}
			answer := start(t, "nova_instance_delete", all).Done(true)
			if by := answer.Get(`tries.#(outcome=="gone").method`).String(); !check.Get("changed").Bool() || by != test.by {
				t.Errorf("by %s: %s after %s", by, answer, check)
			}
			wantsGone(t, uuid)
			start(t, "nova_instance_delete", all).Done(false)
		})
	}
}

func TestVolumesStayWhoseFlagIsTakenBeforeTheDelete(t *testing.T) {
	uuid := the.Instances["with volumes"]
	flags := "SELECT COUNT(*), SUM(delete_on_termination) FROM cell1.block_device_mapping WHERE destination_type = 'volume' AND " +
		"connection_info IS NOT NULL AND deleted = 0 AND instance_uuid = ?"
	if before := selected(t, flags, uuid); before != "1 1" {
		t.Fatalf("it has no volume that would go: %q", before)
	}
	beside.asked()
	start(t, "nova_instance_delete", options{"instance_uuid": uuid, "backup_dir": t.TempDir(), "preserve_volumes": true}).Done(true)
	wantsGone(t, uuid)
	asked := strings.Join(beside.asked(), "\n")
	if !strings.Contains(asked, "DELETE /volume/v3/attachments/") || strings.Contains(asked, "DELETE /volume/v3/volumes/") {
		t.Errorf("Nova let go of its volume otherwise: %s", asked)
	}
	// Of one whose flag stays, Nova deletes it.
	uuid = the.Instances["with others"]
	start(t, "nova_instance_delete", options{"instance_uuid": uuid, "backup_dir": t.TempDir()}).Done(true)
	if asked = strings.Join(beside.asked(), "\n"); !strings.Contains(asked, "DELETE /volume/v3/volumes/") {
		t.Errorf("Nova kept its volume: %s", asked)
	}
}

func TestAnInstanceOfAHostThatAnswersNobodyGoesOnceThatIsForcedDown(t *testing.T) {
	uuid, backups := the.Instances["forced down"], t.TempDir()
	forcedDown := func() string {
		return nova(t, http.MethodGet, "os-services?binary=nova-compute&host="+up).Get("services.0.forced_down").Raw
	}
	deletion := options{"instance_uuid": uuid, "backup_dir": backups}
	if answer := start(t, "nova_instance_delete", deletion).Failed(false); answer.Get("outcome").String() != "still_there" {
		t.Fatalf("got %s", answer)
	}
	service := options{"host": up, "forced_down": true, "instance_uuid": uuid, "backup_dir": backups}
	forced := start(t, "nova_compute_service", service).Done(true)
	if forcedDown() != "true" {
		t.Fatalf("it is not forced down: %s", forced)
	}
	deletion["methods"] = []string{"reset_state", "force_delete"}
	start(t, "nova_instance_delete", deletion).Done(true)
	wantsGone(t, uuid)
	start(t, "nova_compute_service", options{"host": up, "instance_uuid": uuid, "backup_dir": backups,
		"backup_file": forced.Get("backup_file").String()}).Done(true)
	if forcedDown() != "false" {
		t.Error("it is still forced down")
	}
}

func TestWhatIsPurgedByDatabaseIsDeletedForNovasAPIAndComesBack(t *testing.T) {
	for _, name := range []string{"by database", "zombie"} {
		t.Run(name, func(t *testing.T) {
			uuid := the.Instances[name]
			if name == "zombie" {
				if _, err := databases.Exec("UPDATE cell1.instances SET deleted = 1, deleted_at = UTC_TIMESTAMP() WHERE uuid = ?", uuid); err != nil {
					t.Fatal(err)
				}
			}
			before, shown := everyRow(t), status(t, uuid)
			deleted := func() string {
				all := nova(t, http.MethodGet, "servers/detail?all_tenants=True&deleted=True&uuid="+uuid)
				return all.Get("servers.0.status").String()
			}
			call := options{"instance_uuid": uuid, "backup_dir": t.TempDir(), "_ansible_check_mode": true}
			start(t, "nova_instance_purge", call).Done(true)
			if diff := cmp.Diff(before, everyRow(t)); diff != "" {
				t.Errorf("a check changed %s", diff)
			}
			delete(call, "_ansible_check_mode")
			answer := start(t, "nova_instance_purge", call).Done(true)
			if row := selected(t, "SELECT deleted = id, vm_state FROM cell1.instances WHERE uuid = ?", uuid); row != "1 deleted" {
				t.Errorf("its row is %q", row)
			}
			if status(t, uuid) != "" || deleted() != "DELETED" {
				t.Errorf("Nova shows it as %q, and among the deleted as %q", status(t, uuid), deleted())
			}
			start(t, "nova_instance_purge", call).Done(false)
			call["state"], call["backup_file"] = "present", answer.Get("backup_file").String()
			start(t, "nova_instance_purge", call).Done(true)
			if diff := cmp.Diff(before, everyRow(t)); diff != "" || status(t, uuid) != shown {
				t.Errorf("it comes back as %q, not %q, without %s", status(t, uuid), shown, diff)
			}
		})
	}
}

// F1, F5: what the release's own nova-compute still needs to clean up after the instance is there, and what it does not clean up is told.
func TestTheGuestOfAnInstanceThatIsPurgedByDatabaseIsReapedAsNovaReapsOne(t *testing.T) {
	uuid := the.Instances["reaped"]
	shares := func() string {
		return selected(t, "SELECT COUNT(*) FROM cell1.share_mapping WHERE instance_uuid = ?", uuid)
	}
	secret := selected(t, "SELECT value FROM cell1.instance_system_metadata WHERE `key` = 'vtpm_secret_uuid' AND instance_uuid = ?", uuid)
	if before := shares(); before != "2" || secret == "" {
		t.Fatalf("it has %s shares, and the secret %q of a vTPM", before, secret)
	}
	call := options{"instance_uuid": uuid, "backup_dir": t.TempDir()}
	answer := start(t, "nova_instance_purge", call).Done(true)
	if plan := answer.Get("plan").String(); !strings.Contains(plan, secret) {
		t.Errorf("the secret that stays is not told: %s", plan)
	}
	reap := exec.Command(python(), filepath.Join(root, "lab/releases/reap.py"), uuid)
	reap.Stderr = os.Stderr
	asked, err := reap.Output()
	// It detaches also what was detached before.
	if want := `{"destroy": 1, "umount_share": 2, "detach": 2, "deallocate": 1}`; err != nil || strings.TrimSpace(string(asked)) != want {
		t.Errorf("nova-compute asked for %s, %v", asked, err)
	}
	if left := shares(); left != "0" {
		t.Errorf("%s shares are left", left)
	}
	call["remove_share_mappings"] = true
	start(t, "nova_instance_purge", call).Done(false)
}

func TestAnAllocationOfADeletedInstanceIsFoundAndGoesAndComesBack(t *testing.T) {
	uuid := the.Instances["half gone"]
	holds := held(t, uuid)
	nova(t, http.MethodDelete, "servers/"+uuid)
	wantsGone(t, uuid)
	allocations(t, http.MethodPut, uuid, options{"project_id": "project", "user_id": "user", "consumer_generation": nil,
		"allocations": options{the.Providers[down]: options{"resources": options{"VCPU": 1, "MEMORY_MB": 128, "DISK_GB": 1}}}})
	if kind := found(audit(t, options{"min_age": 0}), uuid); kind != "allocation_without_row" {
		t.Errorf("it is found as %q", kind)
	}
	call := options{"consumer": uuid, "state": "absent", "backup_dir": t.TempDir(), "_ansible_check_mode": true}
	start(t, "placement_allocation", call).Done(true)
	if held(t, uuid) != holds {
		t.Errorf("a check left %s of %s", held(t, uuid), holds)
	}
	delete(call, "_ansible_check_mode")
	answer := start(t, "placement_allocation", call).Done(true)
	if left := held(t, uuid); left != "" {
		t.Errorf("it holds %s", left)
	}
	start(t, "placement_allocation", call).Done(false)
	start(t, "placement_allocation", options{"state": "present", "backup_file": answer.Get("backup_file").String(),
		"backup_dir": t.TempDir()}).Done(true)
	if held(t, uuid) != holds {
		t.Errorf("%s came back of %s", held(t, uuid), holds)
	}
	live := the.Instances["live"]
	start(t, "placement_allocation", options{"consumer": live, "state": "absent", "backup_dir": t.TempDir()}).Failed(false)
	if held(t, live) == "" {
		t.Error("a live instance has lost its allocation")
	}
}

// audit is the picture of the whole cloud.
func audit(t *testing.T, more options) gjson.Result {
	t.Helper()
	answer := start(t, "nova_orphan_info", more).Done(false)
	if unread := answer.Get(`unread.#(source!="hypervisors")`); unread.Exists() {
		t.Errorf("it has not read %s", answer.Get("unread"))
	}
	return answer
}

// found is the kind of an instance's finding.
func found(audit gjson.Result, uuid string) string {
	return audit.Get(`findings.#(uuid=="` + uuid + `").kind`).String()
}

func TestTheOrphansOfTheCloudAreFoundByPlacementsAPIAndByItsDatabase(t *testing.T) {
	for way, more := range map[string]options{"API": nil, "database": {"placement_conf": the.PlacementConf}} {
		t.Run(way, func(t *testing.T) {
			picture := audit(t, more)
			for name, want := range map[string]string{"found": "deleting", "live": ""} {
				if got := found(picture, the.Instances[name]); got != want {
					t.Errorf("%s is found as %q", name, got)
				}
			}
			holds := picture.Get(`findings.#(uuid=="` + the.Instances["found"] + `").resources`)
			if want := `{"DISK_GB":1,"MEMORY_MB":128,"VCPU":1}`; holds.Raw != want {
				t.Errorf("it holds %s", holds)
			}
			var hosts []string
			for _, host := range picture.Get("hosts").Array() {
				hosts = append(hosts, host.Get("host").String()+" "+host.Get("service").String())
			}
			if want := []string{up + " up", down + " down"}; !slices.Equal(hosts, want) {
				t.Errorf("the hosts are %q", hosts)
			}
		})
	}
}

// F7: what is enough for Placement is not for Nova, and that is no reason to go on by a more forceful way.
func TestAnAccountThatNovaDoesNotLetIsToldBeforeAnythingIsChanged(t *testing.T) {
	uuid, before := the.Instances["not allowed"], everyRow(t)
	for _, check := range []bool{true, false} {
		answer := start(t, "nova_instance_delete", options{"instance_uuid": uuid, "backup_dir": t.TempDir(), "nova_conf": the.ServiceConf,
			"methods": []string{"delete", "reset_state", "force_delete"}, "_ansible_check_mode": check}).Failed(false, "403")
		if answer.Get("outcome").String() != "refused" || answer.Get(`tries.#(outcome=="still_there")`).Exists() {
			t.Errorf("got %s", answer)
		}
	}
	start(t, "nova_compute_service", options{"host": down, "forced_down": true, "nova_conf": the.ServiceConf, "backup_dir": t.TempDir()}).
		Failed(false, "403")
	backups := t.TempDir()
	start(t, "placement_allocation", options{"consumer": uuid, "state": "absent", "nova_conf": the.ServiceConf, "backup_dir": backups}).
		Failed(false, "403")
	if files := ansibletest.Backups(t, backups, uuid); len(files) > 0 || held(t, uuid) == "" {
		t.Errorf("it has lost its allocation: %v", files)
	}
	if diff := cmp.Diff(before, everyRow(t)); diff != "" {
		t.Errorf("it has changed %s", diff)
	}
}
