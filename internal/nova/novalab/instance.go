//go:build lab

package novalab

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/openstack/openstacktest"
)

// Insert writes a row and returns its id.
func Insert(t *testing.T, db *sql.DB, table string, row map[string]any) int64 {
	t.Helper()
	columns := slices.Sorted(maps.Keys(row))
	values := make([]any, len(columns))
	for i, column := range columns {
		values[i] = row[column]
	}
	result := Exec(t, db, "INSERT INTO "+table+" (`"+strings.Join(columns, "`, `")+"`) VALUES ("+
		strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ")+")", values...)
	id, err := result.LastInsertId()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Instance is what an instance of the tests is made of.
type Instance struct {
	UUID string
	ID   int64
}

// NewInstance makes an instance in cell1, with every kind of row that Nova
// keeps about it: in ERROR, on host compute1, left alone for an hour. The Cloud has its
// volume and its port.
func (d *Databases) NewInstance(t *testing.T, uuid string) Instance {
	t.Helper()
	at := time.Now().UTC().Add(-time.Hour).Format(time.DateTime)
	row := func(more map[string]any) map[string]any {
		all := map[string]any{"created_at": at, "deleted": 0, "instance_uuid": uuid}
		maps.Copy(all, more)
		return all
	}
	id := Insert(t, d.Cell1, "instances", map[string]any{
		"uuid": uuid, "created_at": at, "updated_at": at, "deleted": 0, "vm_state": "error", "display_name": "caf\u00e9 " + uuid[:4],
		"project_id": "project", "user_id": "user", "host": "compute1", "node": "compute1.example", "hidden": 0, "power_state": 1,
		"progress": 30, "vcpus": 1, "memory_mb": 64, "root_gb": 1, "ephemeral_gb": 0, "cleaned": 0, "locked": 0, "launch_index": 0,
	})
	insert := func(table string, more map[string]any) { t.Helper(); Insert(t, d.Cell1, table, row(more)) }
	insert("security_group_instance_association", map[string]any{})
	insert("instance_info_caches", map[string]any{"network_info": `[{"id": "` + uuid[:35] + `9", "address": "fa:16:3e:00:00:01"}]`})
	insert("instance_metadata", map[string]any{"key": "role", "value": "db"})
	insert("instance_faults", map[string]any{"code": 500, "message": "it broke"})
	insert("instance_extra",
		map[string]any{"flavor": `{"cur": {"nova_object.name": "Flavor", "nova_object.namespace": "nova", "nova_object.version": "1.2", "nova_object.changes": [],` +
			` "nova_object.data": {"id": 1, "flavorid": "1", "name": "m1.nano", "memory_mb": 128, "vcpus": 2, "root_gb": 3, "ephemeral_gb": 4, "swap": 5, "rxtx_factor": 1.0,` +
			` "vcpu_weight": null, "disabled": false, "is_public": true, "extra_specs": {}, "description": null, "created_at": null, "updated_at": null, "deleted_at": null, "deleted": false}}, "old": null, "new": null}`})
	insert("instance_system_metadata", map[string]any{"key": "boot_roles", "value": "member"})
	insert("instance_system_metadata", map[string]any{"key": "image_min_disk", "value": "1"})
	insert("block_device_mapping", map[string]any{"uuid": uuid[:35] + "a", "source_type": "image", "destination_type": "local",
		"boot_index": 0, "device_name": "/dev/vda"})
	insert("block_device_mapping", map[string]any{"uuid": uuid[:35] + "b", "source_type": "volume", "destination_type": "volume",
		"device_name": "/dev/vdb",
		"volume_id":   uuid[:35] + "c", "attachment_id": uuid[:35] + "d", "delete_on_termination": 1})
	insert("migrations", map[string]any{"uuid": uuid[:35] + "e", "status": "error", "migration_type": "migration",
		"source_compute": "compute1", "dest_compute": "compute2", "updated_at": at})
	insert("virtual_interfaces", map[string]any{"uuid": uuid[:35] + "f", "address": "fa:16:3e:00:00:01/" + uuid[:35] + "9"})
	Insert(t, d.Cell1, "instance_id_mappings", map[string]any{"created_at": at, "deleted": 0, "uuid": uuid})
	Insert(t, d.Cell1, "tags", map[string]any{"resource_id": uuid, "tag": "tagged"})
	Insert(t, d.Cell1, "console_auth_tokens", map[string]any{"created_at": at, "token_hash": uuid, "console_type": "novnc", "host": "h",
		"port": 1, "expires": 1, "instance_uuid": uuid})
	insert("instance_actions", map[string]any{"action": "create", "request_id": "req-" + uuid[:8]})
	Insert(t, d.API, "instance_mappings", map[string]any{"created_at": at, "instance_uuid": uuid, "cell_id": 2, "project_id": "project",
		"user_id": "user", "queued_for_delete": 0})
	Insert(t, d.API, "request_specs", map[string]any{"created_at": at, "instance_uuid": uuid, "spec": "{}"})
	d.Cloud.Do(func() {
		volume, attachment, port := uuid[:35]+"c", uuid[:35]+"d", uuid[:35]+"9"
		d.Cloud.Volumes = append(d.Cloud.Volumes, &openstacktest.Volume{ID: volume, Status: "in-use"})
		d.Cloud.Attachments = append(d.Cloud.Attachments,
			&openstacktest.Attachment{ID: attachment, Volume: volume, Instance: uuid, Status: "attached"})
		d.Cloud.Ports = append(d.Cloud.Ports, &openstacktest.Port{ID: port, Device: uuid, Owner: "compute:nova", Host: "compute1"})
	})
	return Instance{uuid, id}
}

// Exec runs a statement, for the instance with the uuid where it has one placeholder.
func Exec(t *testing.T, db *sql.DB, statement string, args ...any) sql.Result {
	t.Helper()
	result, err := db.Exec(statement, args...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return result
}

// Text is the one value that a query gives, or "NULL".
func Text(t *testing.T, db *sql.DB, query string, args ...any) string {
	t.Helper()
	values := texts(t, db, query, args...)
	if len(values) == 0 {
		t.Fatalf("%s: no rows", query)
	}
	return values[0]
}

// texts are the values of a query with one column.
func texts(t *testing.T, db *sql.DB, query string, args ...any) (values []string) {
	t.Helper()
	for _, row := range rows(t, db, query, args...) {
		values = slices.AppendSeq(values, maps.Values(row))
	}
	return values
}

// cellTables and apiTables are those with rows about an instance, with the column that names it.
var (
	cellTables = map[string]string{
		"instances": "uuid", "security_group_instance_association": "instance_uuid", "instance_info_caches": "instance_uuid",
		"instance_metadata": "instance_uuid", "instance_faults": "instance_uuid", "instance_extra": "instance_uuid",
		"instance_system_metadata": "instance_uuid", "block_device_mapping": "instance_uuid", "migrations": "instance_uuid",
		"virtual_interfaces": "instance_uuid", "instance_id_mappings": "uuid", "tags": "resource_id",
		"console_auth_tokens": "instance_uuid", "instance_actions": "instance_uuid", "pci_devices": "instance_uuid",
	}
	apiTables = map[string]string{"instance_mappings": "instance_uuid", "build_requests": "instance_uuid", "request_specs": "instance_uuid",
		"instance_group_member": "instance_uuid"}
)

// Dump is everything that cell1 has about an instance, for comparing: with
// raw as it is; else with "deleted" as whether it is right, times as whether
// they are of the last minute, and without what is each instance's own.
func (d *Databases) Dump(t *testing.T, uuid string, raw bool) map[string][]string {
	t.Helper()
	return dump(t, d.Cell1, cellTables, uuid, raw)
}

// Everything is all that both databases have about an instance, as it is.
func (d *Databases) Everything(t *testing.T, uuid string) map[string][]string {
	t.Helper()
	all := d.Dump(t, uuid, true)
	maps.Copy(all, dump(t, d.API, apiTables, uuid, true))
	return all
}

func dump(t *testing.T, db *sql.DB, tables map[string]string, uuid string, raw bool) map[string][]string {
	t.Helper()
	dump := map[string][]string{}
	for table, key := range tables {
		for _, row := range rows(t, db, "SELECT * FROM "+table+" WHERE "+key+" = ?", uuid) {
			if !raw {
				normalize(row, uuid)
			}
			var line strings.Builder
			for _, column := range slices.Sorted(maps.Keys(row)) {
				fmt.Fprintf(&line, "%s=%s ", column, row[column])
			}
			dump[table] = append(dump[table], line.String())
		}
		slices.Sort(dump[table])
	}
	return dump
}

// normalize makes rows of two instances alike.
func normalize(row map[string]string, uuid string) {
	if row["deleted"] != "0" && row["deleted"] == row["id"] {
		row["deleted"] = "id"
	}
	delete(row, "id")
	for column, value := range row {
		if at, err := time.Parse(time.DateTime, value); err == nil {
			value = map[bool]string{true: "recent", false: "old"}[time.Since(at).Abs() < time.Minute]
		}
		row[column] = strings.ReplaceAll(strings.ReplaceAll(value, uuid[:35], "UUID"), uuid[:8], "UUID")
	}
}

// rows are those of a query, by column.
func rows(t *testing.T, db *sql.DB, query string, args ...any) (found []map[string]string) {
	t.Helper()
	result, err := db.Query(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer result.Close()
	columns, err := result.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for result.Next() {
		values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := result.Scan(into...); err != nil {
			t.Fatal(err)
		}
		row := map[string]string{}
		for i, value := range values {
			if row[columns[i]] = "NULL"; value.Valid {
				row[columns[i]] = value.String
			}
		}
		found = append(found, row)
	}
	if err := result.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}
