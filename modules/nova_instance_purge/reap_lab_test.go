//go:build lab

package main

import (
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/cinder/cinderlab"
	"nova-orphan/internal/neutron/neutronlab"
	"nova-orphan/internal/nova/novalab"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
)

// reaper is nova-compute's own periodic task. Its database, Cinder and Neutron are real; the
// hypervisor says that it has the domains, and prints what it would let go of.
const reaper = `
import sys
from unittest import mock
from nova import config, context, objects
config.parse_args(['test', '--config-file', sys.argv[1]], default_config_files=[sys.argv[1]])
objects.register_all()
from nova.compute import manager
from nova.network import neutron
from nova.volume import cinder
M = manager.ComputeManager
self = M.__new__(M)
self.host = 'compute1'
self.volume_api, self.network_api, self.instance_events = cinder.API(), neutron.API(), mock.MagicMock()
self.driver = mock.MagicMock()
self.driver.list_instance_uuids.return_value = sys.argv[2:]
self.driver.get_volume_connector.return_value = {'host': 'compute1', 'ip': '127.0.0.1', 'initiator': 'iqn.1993-08.org.debian:01:test',
    'platform': 'x86_64', 'os_type': 'linux', 'multipath': False, 'do_local_attach': False}
M._cleanup_running_deleted_instances(self, context.get_admin_context())
for (_, instance, vifs, disks), _ in self.driver.destroy.call_args_list:
    print(instance.uuid, 'unplugged', sorted(vif['id'] for vif in vifs))
    print(instance.uuid, 'disconnected', sorted(disk.volume_id for disk in disks['block_device_mapping']))
`

// reapLab has instances in databases of its own, with volumes and ports of the real
// services. Those are made once: to make a volume takes longer than all else.
type reapLab struct {
	*novalab.Databases
	*cinderlab.Lab
	ports *neutronlab.Lab
	t     *testing.T
	// uuid is the instance of now, rival a server that takes over.
	uuid, rival string
	// deleted are the instances whose domain is still there.
	deleted []string
	conf    string
	backup  string
}

func newReapLab(t *testing.T) *reapLab {
	t.Helper()
	network := openstacktest.Client(t, (*openstack.Cloud).Network)
	s := &reapLab{Databases: novalab.New(t), Lab: cinderlab.New(t), ports: neutronlab.New(t, network), t: t, rival: openstacktest.UUID(),
		backup: t.TempDir()}
	s.conf = s.RealConf(t, "cell0")
	return s
}

// scene is another instance, without volumes.
func (s *reapLab) scene() {
	s.t.Helper()
	s.uuid = openstacktest.UUID()
	s.NewInstance(s.t, s.uuid)
	novalab.Exec(s.t, s.Cell1, "DELETE FROM block_device_mapping WHERE volume_id IS NOT NULL AND instance_uuid = ?", s.uuid)
	novalab.Exec(s.t, s.Cell1, "UPDATE instance_info_caches SET network_info = '[]' WHERE instance_uuid = ?", s.uuid)
}

// row is Nova's record of a volume; detached is how it looks after its owner detached it.
func (s *reapLab) row(volume, attachment string, detached, destroy bool) {
	s.t.Helper()
	id := novalab.Insert(s.t, s.Cell1, "block_device_mapping", map[string]any{
		"instance_uuid": s.uuid, "uuid": openstacktest.UUID(), "deleted": 0, "source_type": "volume", "destination_type": "volume",
		"volume_id":   volume,
		"device_name": "/dev/vdb", "delete_on_termination": destroy, "connection_info": `{"driver_volume_type": "rbd", "data": {}, "serial": "` +
			volume + `"}`,
	})
	if attachment != "" {
		novalab.Exec(s.t, s.Cell1, "UPDATE block_device_mapping SET attachment_id = ? WHERE id = ?", attachment, id)
	}
	if detached {
		novalab.Exec(s.t, s.Cell1, "UPDATE block_device_mapping SET deleted = id, deleted_at = UTC_TIMESTAMP() - INTERVAL 1 HOUR WHERE id = ?",
			id)
	}
}

// cache writes the info cache, of ports that a user made.
func (s *reapLab) cache(ports ...string) {
	s.t.Helper()
	var vifs []string
	for _, port := range ports {
		vifs = append(vifs,
			`{"id": "`+port+`", "address": "fa:16:3e:00:00:01", "preserve_on_delete": true, "type": "ovs", "details": {}, "meta": {}, "network": {"id": "`+
				openstacktest.UUID()+`", "bridge": null, "label": "test", "subnets": [], "meta": {}}}`)
	}
	novalab.Exec(s.t, s.Cell1, "UPDATE instance_info_caches SET network_info = '["+strings.Join(vifs, ", ")+"]' WHERE instance_uuid = ?",
		s.uuid)
}

// attached says to whom a volume is attached.
func (s *reapLab) attached(volume string) string {
	s.t.Helper()
	list := []string{}
	for _, a := range s.Ask(http.MethodGet, "attachments?all_tenants=1&volume_id="+volume, nil).Get("attachments.#.instance").Array() {
		list = append(list, a.String())
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestTheReapTakesNothingThatIsNotTheInstancesAnyMore(t *testing.T) {
	s := newReapLab(t)
	// The owner's, a server's of today, and two of the instance.
	free, theirs, mine, own := s.Volume(false), s.Volume(false), s.Volume(false), s.Volume(false)
	s.Attach(theirs, s.rival)
	var kept, taken string
	for _, act := range []struct {
		name string
		play func()
	}{
		{"X1 X2 X4 a broken instance", func() { kept, taken = s.broken(free, theirs, mine) }},
		{"X1 preserve_volumes reaches what the reaper reads", func() { s.preserved(free, own) }},
		{"X1 an instance that was deleted already", func() { s.deletedBefore(free) }},
		{"X1 X2 X4 the reap", func() { s.reap(free, theirs, mine, own, kept, taken) }},
		{"X12 a restore", func() { s.restored(free, own) }},
	} {
		t.Run(act.name, func(t *testing.T) {
			s.t = t
			act.play()
		})
	}
}

func (s *reapLab) broken(free, theirs, mine string) (kept, taken string) {
	s.scene()
	s.deleted = append(s.deleted, s.uuid)
	s.row(mine, s.Attach(mine, s.uuid), false, true)
	s.row(free, openstacktest.UUID(), true, true)
	s.row(theirs, "", true, false)                   // attached before Queens, detached since
	s.row(theirs, openstacktest.UUID(), false, true) // Nova's record was never removed
	kept, taken = s.ports.Port(s.uuid), s.ports.Port(s.rival)
	s.cache(kept, taken)
	before := s.Everything(s.t, s.uuid)

	check := call(s.t, s.conf, s.backup, s.uuid, true, nil)
	if diff := cmp.Diff(before, s.Everything(s.t, s.uuid)); diff != "" {
		s.t.Errorf("a check changed rows: %s", diff)
	}
	answer := call(s.t, s.conf, s.backup, s.uuid, false, nil)
	if answer.Get("failed").Bool() || !answer.Get("changed").Bool() {
		s.t.Fatalf("got %s", answer)
	}
	for _, want := range []string{
		"afterwards nova-compute DELETES volume " + mine,
		"afterwards volume " + free + " stays as it is: it is available, and attached to nothing",
		"afterwards volume " + theirs + " stays as it is: it is attached to " + s.rival,
		"afterwards nova-compute unbinds port " + kept, "afterwards port " + taken + " stays as it is: " + s.rival + " has it",
	} {
		if !strings.Contains(check.Get("plan").String(), want) {
			s.t.Errorf("not foretold: %s: %s", want, check.Get("plan"))
		}
	}
	if check.Get("plan").Raw != answer.Get("plan").Raw || check.Get("reap").Raw != answer.Get("reap").Raw {
		s.t.Errorf("check and real foretell different things:\n%s\n%s", check, answer)
	}
	again := call(s.t, s.conf, s.backup, s.uuid, false, nil)
	if again.Get("changed").Bool() || again.Get("failed").Bool() {
		s.t.Errorf("again: %s", again)
	}
	return kept, taken
}

func (s *reapLab) reap(free, theirs, mine, own, kept, taken string) {
	output, err := exec.Command("python3", append([]string{"-c", reaper, s.RealConf(s.t, "cell1")}, s.deleted...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("nova's reaper: %v: %s", err, output)
	}
	for _, want := range []string{
		s.deleted[0] + " unplugged ['" + kept + "']", s.deleted[0] + " disconnected ['" + mine + "']",
		s.deleted[1] + " disconnected ['" + own + "']", s.deleted[2] + " disconnected []",
	} {
		if !strings.Contains(string(output), want) {
			s.t.Errorf("on the host nova-compute did not as it should: %s: %s", want, output)
		}
	}
	s.Await("volumes/"+mine, "volume.status", "")
	s.expect(map[string]string{free: "available ", theirs: "in-use " + s.rival, own: "available "})
	if got := s.ports.Show(taken); got.Get("device_id").String() != s.rival || got.Get(`binding:host_id`).String() != "compute1" {
		s.t.Errorf("the replacement's port is %s", got)
	}
	if got := s.ports.Show(kept).Get("device_id").String(); got != "" {
		s.t.Errorf("the instance's own port has still device %s", got)
	}
}

// expect compares the volumes' states and whose they are.
func (s *reapLab) expect(volumes map[string]string) {
	s.t.Helper()
	for volume, want := range volumes {
		if got := s.Status(volume) + " " + s.attached(volume); got != want {
			s.t.Errorf("volume %s is %q, want %q", volume, got, want)
		}
	}
}

func (s *reapLab) preserved(free, own string) {
	s.scene()
	s.deleted = append(s.deleted, s.uuid)
	s.row(own, s.Attach(own, s.uuid), false, true)
	s.row(free, openstacktest.UUID(), true, true)
	// A zombie whose rows were deleted by hand as well, as most are.
	novalab.Exec(s.t, s.Cell1, "UPDATE instances SET deleted = 1, deleted_at = UTC_TIMESTAMP() - INTERVAL 10 MINUTE, vm_state = 'deleted' "+
		"WHERE uuid = ?", s.uuid)
	novalab.Exec(s.t, s.Cell1, "UPDATE block_device_mapping SET deleted = 1, deleted_at = UTC_TIMESTAMP() - INTERVAL 10 MINUTE WHERE "+
		"deleted = 0 AND instance_uuid = ?", s.uuid)
	answer := call(s.t, s.conf, s.backup, s.uuid, false, map[string]any{"preserve_volumes": true})
	if answer.Get("failed").Bool() || !strings.Contains(answer.Get("plan").String(), "afterwards nova-compute detaches volume "+own) {
		s.t.Fatalf("got %s", answer)
	}
}

func (s *reapLab) deletedBefore(free string) {
	s.scene()
	s.deleted = append(s.deleted, s.uuid)
	if answer := call(s.t, s.conf, s.backup, s.uuid, false, nil); answer.Get("failed").Bool() {
		s.t.Fatalf("got %s", answer)
	}
	s.row(free, openstacktest.UUID(), true, true)
	answer := call(s.t, s.conf, s.backup, s.uuid, false, nil)
	if answer.Get("verdict").String() != "deleted" || !answer.Get("changed").Bool() || !answer.Get("reap.volumes.0.disarmed").Bool() {
		s.t.Fatalf("got %s", answer)
	}
	if left := answer.Get("rows_changed").Raw; left != `{"block_device_mapping":1}` {
		s.t.Errorf("changed were %s", left)
	}
}

func (s *reapLab) restored(detached, moved string) {
	s.scene()
	s.row(detached, openstacktest.UUID(), true, true)
	attachment := s.Attach(moved, s.uuid)
	s.row(moved, attachment, false, false)
	gone := openstacktest.UUID()
	s.row(gone, openstacktest.UUID(), false, false)
	taken, own := s.ports.Port(s.uuid), s.ports.Port(s.uuid)
	s.cache(taken, own)
	novalab.Exec(s.t, s.Cell1, "UPDATE virtual_interfaces SET address = 'fa:16:3e:00:00:01/"+taken+"' WHERE instance_uuid = ?", s.uuid)
	before := s.Everything(s.t, s.uuid)
	file := call(s.t, s.conf, s.backup, s.uuid, false, nil).Get("backup_file").String()
	deleted := s.Everything(s.t, s.uuid)
	if diff := cmp.Diff(before, deleted); !strings.Contains(diff, "delete_on_termination=0") {
		s.t.Fatalf("nothing is disarmed: %s", diff)
	}
	options := map[string]any{"state": "present", "backup_file": file}

	// Nothing is anybody else's: all of it comes back to the byte.
	if answer := call(s.t, s.conf, s.backup, s.uuid, false, options); answer.Get("failed").Bool() {
		s.t.Fatalf("got %s", answer)
	}
	if diff := cmp.Diff(before, s.Everything(s.t, s.uuid)); diff != "" {
		s.t.Errorf("not as it was: %s", diff)
	}
	file = call(s.t, s.conf, s.backup, s.uuid, false, nil).Get("backup_file").String()
	options["backup_file"] = file

	// A replacement takes the volume and a port.
	s.Ask(http.MethodDelete, "attachments/"+attachment, nil)
	s.Await("volumes/"+moved, "volume.status", "available")
	s.Attach(moved, s.rival)
	s.ports.Ask(http.MethodPut, "ports/"+taken, map[string]any{"port": map[string]any{"device_id": s.rival}})
	check := call(s.t, s.conf, s.backup, s.uuid, true, options)
	answer := call(s.t, s.conf, s.backup, s.uuid, false, options)
	for mode, answer := range map[string]string{"check": check.Get("warnings").String() + check.Get("plan").String(),
		"real": answer.Get("warnings").String() + answer.Get("plan").String()} {
		for _, want := range []string{"deleted: volume " + moved + ": " + s.rival + " has it by now", "deleted: port " + taken + ": " + s.rival +
			" has it by now"} {
			if strings.Count(answer, want) != 2 {
				s.t.Errorf("%s: not told: %s: %s", mode, want, answer)
			}
		}
	}
	if answer.Get("failed").Bool() || !answer.Get("changed").Bool() {
		s.t.Fatalf("got %s", answer)
	}
	for query, want := range map[string]string{
		"SELECT deleted = id FROM block_device_mapping WHERE volume_id = '" + moved + "' AND instance_uuid = ?":                "1",
		"SELECT deleted FROM block_device_mapping WHERE volume_id = '" + gone + "' AND instance_uuid = ?":                      "0",
		"SELECT delete_on_termination FROM block_device_mapping WHERE volume_id = '" + detached + "' AND instance_uuid = ?":    "1",
		"SELECT deleted = id FROM virtual_interfaces WHERE instance_uuid = ?":                                                  "1",
		"SELECT deleted FROM instances WHERE uuid = ?":                                                                         "0",
		"SELECT LOCATE('" + taken + "', network_info) FROM instance_info_caches WHERE instance_uuid = ?":                       "0",
		"SELECT LOCATE('" + own + "', network_info) > 0 FROM instance_info_caches WHERE instance_uuid = ?":                     "1",
		"SELECT COUNT(*) FROM block_device_mapping WHERE deleted = 0 AND volume_id = '" + moved + "' AND instance_uuid <> (?)": "0",
	} {
		if got := novalab.Text(s.t, s.Cell1, query, s.uuid); got != want {
			s.t.Errorf("%s: got %s, want %s", query, got, want)
		}
	}
	if again := call(s.t, s.conf, s.backup, s.uuid, false, options); again.Get("failed").Bool() || again.Get("changed").Bool() {
		s.t.Errorf("again: %s", again)
	}
}

func TestWhereCinderOrNeutronCannotTellNothingIsDeleted(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "67676767-0000-4000-8000-000000000000"
	instance := lab.NewInstance(t, uuid)
	before := lab.Everything(t, uuid)
	refuse := func(method, path string) func() {
		return func() {
			lab.Cloud.Fail(openstacktest.Failure{Method: method, Path: path, Status: http.StatusForbidden, Body: "{}", Times: 2})
		}
	}
	for _, test := range []struct {
		name  string
		world func()
		want  string
	}{
		{"from no administrator Cinder hides what others have", func() { lab.Cloud.Do(func() { lab.Cloud.NoVolumes = true }) },
			"ask cinder whether it shows all projects"},
		{"Keystone refuses", refuse(http.MethodPost, "/identity"), "keystone answered 403"},
		{"Cinder refuses", refuse(http.MethodGet, "/volume/v3/volumes/"), "cinder answered 403"},
		{"Cinder refuses the attachments", refuse(http.MethodGet, "/volume/v3/attachments/"), "cinder answered 403"},
		{"Neutron refuses the instance's ports", refuse(http.MethodGet, "/network/v2.0/ports?device_id="), "neutron answered 403"},
		{"Neutron refuses", refuse(http.MethodGet, "/network/v2.0/ports?id="), "neutron answered 403"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.world()
			for _, check := range []bool{true, false} {
				answer := call(t, lab.Conf, t.TempDir(), uuid, check, nil)
				if msg := answer.Get("msg").String(); !answer.Get("failed").Bool() || answer.Get("changed").Bool() ||
					!strings.Contains(msg, test.want) ||
					!strings.Contains(msg, "cannot tell what nova-compute would do to volumes") {
					t.Errorf("check %v: %s", check, answer)
				}
			}
			lab.Cloud.Do(func() { lab.Cloud.NoVolumes = false; lab.Cloud.Recover() })
		})
	}
	if diff := cmp.Diff(before, lab.Everything(t, uuid)); diff != "" {
		t.Errorf("rows were changed: %s", diff)
	}
	// A cloud that has no Cinder has no volume that could be harmed.
	lab.Cloud.Do(func() { lab.Cloud.NoCinder, lab.Cloud.NoNeutron = true, true })
	if answer := call(t, lab.Conf, t.TempDir(), uuid, false, nil); answer.Get("failed").Bool() ||
		answer.Get("reap.volumes.0.fate").String() != "gone" {
		t.Errorf("without Cinder and Neutron: %s", answer)
	}
	expectFinished(t, lab, instance)
}

// shares makes the table that 2024.1 brought, as 2025.1 has it, with two rows of the instance.
func shares(t *testing.T, lab *novalab.Databases, uuid string) {
	t.Helper()
	novalab.Exec(t, lab.Cell1,
		`CREATE TABLE IF NOT EXISTS share_mapping (created_at DATETIME, updated_at DATETIME, id BIGINT NOT NULL AUTO_INCREMENT, uuid VARCHAR(36), instance_uuid VARCHAR(36),
		share_id VARCHAR(36), status VARCHAR(32), tag VARCHAR(48), export_location TEXT, share_proto VARCHAR(32), PRIMARY KEY (id),
		KEY share_idx (share_id), KEY share_mapping_instance_uuid_share_id_idx (instance_uuid, share_id),
		UNIQUE KEY uniq_share_mapping0instance_uuid0share_id (instance_uuid, share_id),
		UNIQUE KEY uniq_share_mapping0instance_uuid0tag (instance_uuid, tag),
		CONSTRAINT share_mapping_ibfk_1 FOREIGN KEY (instance_uuid) REFERENCES instances (uuid)) DEFAULT CHARSET=utf8mb3`)
	for i := range 2 {
		novalab.Insert(t, lab.Cell1, "share_mapping", map[string]any{"uuid": fmt.Sprint("mapping", i), "instance_uuid": uuid,
			"share_id": fmt.Sprint("share", i),
			"status":   "active", "tag": fmt.Sprint("tag", i), "export_location": "10.0.0.1:/share", "share_proto": "NFS"})
	}
}

func TestSharesStayMappedUntilNoHostHasTheDomain(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "66666666-0000-4000-8000-000000000000"
	lab.NewInstance(t, uuid)
	shares(t, lab, uuid)
	left := func() string {
		return novalab.Text(t, lab.Cell1, "SELECT COUNT(*) FROM share_mapping WHERE instance_uuid = ?", uuid)
	}
	backups := t.TempDir()
	first := call(t, lab.Conf, backups, uuid, false, nil)
	if left() != "2" || first.Get("instance.shares.1.share_id").String() != "share1" ||
		!strings.Contains(first.Get("plan").String(), "unmounts 2 shares") {
		t.Errorf("%s are left: %s", left(), first)
	}
	if again := call(t, lab.Conf, backups, uuid, false, nil); again.Get("changed").Bool() {
		t.Errorf("again: %s", again)
	}
	remove := map[string]any{"remove_share_mappings": true}
	check, real := call(t, lab.Conf, backups, uuid, true, remove), call(t, lab.Conf, backups, uuid, false, remove)
	if left() != "0" || real.Get("rows_changed.share_mapping").Int() != 2 || check.Get("plan").Raw != real.Get("plan").Raw ||
		!strings.Contains(real.Get("plan").String(), "share_mapping: remove 2 rows") {
		t.Errorf("%s are left: %s", left(), real)
	}
	if again := call(t, lab.Conf, backups, uuid, false, remove); again.Get("changed").Bool() {
		t.Errorf("again: %s", again)
	}
	restored := back(t, lab, backups, uuid, first.Get("backup_file").String(), false)
	if restored.Get("failed").Bool() || !restored.Get("changed").Bool() ||
		!strings.Contains(restored.Get("warnings").String(), "share_mapping: 2 of 2 rows are gone since") {
		t.Errorf("restore: %s", restored)
	}
}
