//go:build lab

// Package novalab gives tests their own databases with Nova's own schema, on
// the MariaDB of the lab host that they run on.
package novalab

import (
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"

	"nova-orphan/internal/openstack/openstacktest"
)

// Socket is where the lab's MariaDB listens.
const Socket = "/run/mysqld/mysqld.sock"

// Databases are scratch databases: an API database, a cell0 and a cell1.
type Databases struct {
	API, Cell0, Cell1 *sql.DB
	// Conf is a nova.conf that leads to them, and to the fake Cloud.
	Conf string
	// Cloud has the volumes and ports of the instances.
	Cloud *openstacktest.Cloud
	// Prefix begins their names.
	Prefix string
}

// schemas are the lab's, by what ends the name of their clone.
var schemas = map[string]string{"api": "nova_api", "cell0": "nova_cell0", "cell1": "nova"}

// tablesOf are the tables of each clone, once there are clones.
var tablesOf = map[string][]string{}

func prefix() string { return fmt.Sprintf("test_%d_", os.Getpid()) }

// Tests are those of a package that calls New: when they have run, the clones are dropped.
type Tests struct{ *testing.M }

// Run runs them.
func (m Tests) Run() int {
	status := m.M.Run()
	for name := range tablesOf {
		root, err := connect("")
		if err == nil {
			_, err = root.Exec("DROP DATABASE " + prefix() + name)
			_ = root.Close()
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "drop the clone of %s: %v\n", schemas[name], err)
			status = 1
		}
	}
	return status
}

// New gives the test the databases with the lab's schemas, and no row but those of two cells. They are cloned for the
// first test of a package and emptied for each of the others, so that none may change a schema.
func New(t *testing.T) *Databases {
	t.Helper()
	d := &Databases{Prefix: prefix(), Cloud: openstacktest.New()}
	t.Cleanup(d.Cloud.Close)
	for name, schema := range schemas {
		if tablesOf[name] != nil {
			empty(t, d.Prefix+name, tablesOf[name])
			continue
		}
		Exec(t, Open(t, ""), "CREATE DATABASE "+d.Prefix+name)
		tablesOf[name] = clone(t, schema, d.Prefix+name)
	}
	d.open(t)
	// An id beyond 1, so that deleted = 1 is not right by chance.
	Exec(t, d.Cell1, "ALTER TABLE instances AUTO_INCREMENT = 41")
	return d
}

// open connects to the databases, and maps the cells.
func (d *Databases) open(t *testing.T) {
	t.Helper()
	d.API, d.Cell0, d.Cell1 = Open(t, d.Prefix+"api"), Open(t, d.Prefix+"cell0"), Open(t, d.Prefix+"cell1")
	d.Map(t, 1, "00000000-0000-0000-0000-000000000000", "cell0", d.URL("root", "", "cell0"))
	d.Map(t, 2, "11111111-1111-4111-8111-111111111111", "cell1", "{scheme}://{username}@{hostname}/"+d.Prefix+"cell1?{query}")
	d.Conf = d.WriteConf(t, d.URL("root", "", "api"))
}

// clone makes the tables of a schema again, with their keys and without their rows, and returns their names.
func clone(t *testing.T, schema, name string) []string {
	t.Helper()
	from := Open(t, schema)
	tables := texts(t, from, "SHOW TABLES")
	if len(tables) == 0 {
		t.Fatalf("%s has no tables", schema)
	}
	to := unchecked(t, name)
	for _, table := range tables {
		Exec(t, to, rows(t, from, "SHOW CREATE TABLE "+table)[0]["Create Table"])
	}
	return tables
}

// empty deletes what an earlier test has left.
func empty(t *testing.T, name string, tables []string) {
	t.Helper()
	db := unchecked(t, name)
	for _, table := range used(t, db, tables) {
		Exec(t, db, "DELETE FROM "+table)
	}
}

// used are those of the tables that have rows.
func used(t *testing.T, db *sql.DB, tables []string) []string {
	t.Helper()
	looks := make([]string, len(tables))
	for i, table := range tables {
		looks[i] = "(SELECT '" + table + "' FROM `" + table + "` LIMIT 1)"
	}
	return texts(t, db, strings.Join(looks, " UNION ALL "))
}

// unchecked connects to a database in a session that need not heed foreign keys.
func unchecked(t *testing.T, name string) *sql.DB {
	t.Helper()
	db := Open(t, name)
	db.SetMaxOpenConns(1)
	Exec(t, db, "SET foreign_key_checks = 0")
	return db
}
