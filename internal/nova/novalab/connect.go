//go:build lab

package novalab

import (
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql" // for database/sql

	"nova-orphan/internal/openstack/openstacktest"
)

// WriteConf writes a nova.conf with this connection to the API database.
func (d *Databases) WriteConf(t *testing.T, api string) string {
	t.Helper()
	return d.writeConf(t, api, d.URL("root", "", "cell0"))
}

// writeConf has also the connection that cell1's mapping is filled from.
func (d *Databases) writeConf(t *testing.T, api, base string) string {
	t.Helper()
	return write(t, "[api_database]\nconnection = "+api+"\n[database]\nconnection = "+base+"\n[placement]\nauth_url = "+d.Cloud.AuthURL()+
		"\nauth_type = password\nusername = placement\npassword = "+openstacktest.Password+
		"\nproject_name = service\nregion_name = RegionOne\n")
}

func write(t *testing.T, conf string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "nova.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// RealConf is the nova.conf of this controller, with its accounts for the real services,
// but with these databases: the API's, and a cell's as [database].
func (d *Databases) RealConf(t *testing.T, cell string) string {
	t.Helper()
	content, err := os.ReadFile("/etc/nova/nova.conf")
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for section, name := range map[string]string{"api_database": "api", "database": cell} {
		text = regexp.MustCompile(`(?m)^(\[`+section+`\]\nconnection = ).*`).ReplaceAllString(text, "${1}"+d.URL("root", "", name))
	}
	if strings.Count(text, d.Prefix) != 2 {
		t.Fatal("/etc/nova/nova.conf does not have the two connections")
	}
	return write(t, text)
}

// URL is how Nova's configuration names one of the databases.
func (d *Databases) URL(user, password, name string) string {
	return "mysql+pymysql://" + user + ":" + password + "@localhost/" + d.Prefix + name + "?unix_socket=" + Socket
}

// Map writes a row of cell_mappings.
func (d *Databases) Map(t *testing.T, id int, uuid, name, connection string) {
	t.Helper()
	Insert(t, d.API, "cell_mappings", map[string]any{"id": id, "uuid": uuid, "name": name, "transport_url": "none:///",
		"database_connection": connection})
}

// Open connects as root.
func Open(t *testing.T, name string) *sql.DB {
	t.Helper()
	db, err := connect(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func connect(name string) (*sql.DB, error) {
	return sql.Open("mysql", "root@unix("+Socket+")/"+name+"?time_zone=%27%2B00%3A00%27")
}
