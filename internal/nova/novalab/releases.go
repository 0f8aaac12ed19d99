//go:build lab

package novalab

import (
	"compress/bzip2"
	"database/sql"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"nova-orphan/internal/openstack/openstacktest"
)

// Release is what a release of Nova makes of an instance that it deletes, as lab/releases/make has it from that
// release's own code: its tables, with one that is stuck and a live neighbour in them, before and after.
type Release struct {
	Nova, Orphan, Neighbour string
	// Databases are its tables by database, api and cell1, and name.
	Databases map[string]map[string]ReleaseTable
}

// ReleaseTable is a table of a release, with its definition.
type ReleaseTable struct {
	Create        string
	Before, After []map[string]string
}

// Releases reads a file of them.
func Releases(t *testing.T, file string) (releases map[string]Release) {
	t.Helper()
	content, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	if err := json.NewDecoder(bzip2.NewReader(content)).Decode(&releases); err != nil {
		t.Fatalf("read %s: %v", file, err)
	}
	return releases
}

// Load gives the test databases of the release with the rows before. The Cloud has the orphan's volumes and ports.
func (r Release) Load(t *testing.T) *Databases {
	t.Helper()
	d := &Databases{Prefix: prefix() + "release_", Cloud: openstacktest.New()}
	t.Cleanup(d.Cloud.Close)
	root := Open(t, "")
	for name := range schemas {
		Exec(t, root, "CREATE DATABASE "+d.Prefix+name)
		t.Cleanup(func() { Exec(t, root, "DROP DATABASE "+d.Prefix+name) })
		db := unchecked(t, d.Prefix+name)
		for table, content := range r.Databases[strings.Replace(name, "cell0", "cell1", 1)] {
			Exec(t, db, content.Create)
			for _, row := range content.Before {
				if name != "cell0" {
					Insert(t, db, table, values(row))
				}
			}
		}
	}
	d.open(t)
	r.fill(d.Cloud)
	return d
}

// values are a row's for Insert.
func values(row map[string]string) map[string]any {
	all := map[string]any{}
	for column, value := range row {
		if all[column] = value; value == "NULL" {
			all[column] = nil
		}
	}
	return all
}

func (r Release) fill(cloud *openstacktest.Cloud) {
	tables := r.Databases["cell1"]
	cloud.Do(func() {
		for _, row := range tables["block_device_mapping"].Before {
			if row["attachment_id"] != "NULL" && row["deleted"] == "0" {
				cloud.Volumes = append(cloud.Volumes, &openstacktest.Volume{ID: row["volume_id"], Status: "in-use"})
				cloud.Attachments = append(cloud.Attachments, &openstacktest.Attachment{ID: row["attachment_id"], Volume: row["volume_id"],
					Instance: row["instance_uuid"], Status: "attached"})
			}
		}
		for _, row := range tables["virtual_interfaces"].Before {
			cloud.Ports = append(cloud.Ports, &openstacktest.Port{ID: row["uuid"], Device: row["instance_uuid"], Owner: "compute:nova",
				Host: "compute1"})
		}
	})
}

// Rows is every row of the databases, by table.
func (d *Databases) Rows(t *testing.T) map[string][]map[string]string {
	t.Helper()
	all := map[string][]map[string]string{}
	for name, db := range map[string]*sql.DB{"api": d.API, "cell0": d.Cell0, "cell1": d.Cell1} {
		for _, table := range used(t, db, texts(t, db, "SHOW TABLES")) {
			all[name+"."+table] = rows(t, db, "SELECT * FROM "+table)
		}
	}
	return all
}
