//go:build lab

// Package computelab makes servers in the lab's real Nova for tests that run on its
// controller, and changes them behind the modules' back.
package computelab

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/nova/novalab"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
)

// Nova is the lab's, seen by the admin of the OS_* environment.
type Nova struct{ openstacktest.REST }

// New connects.
func New(t *testing.T) *Nova {
	t.Helper()
	return &Nova{openstacktest.REST{T: t, Client: openstacktest.Client(t, (*openstack.Cloud).Compute)}}
}

// Ask sends a request at a microversion, and returns its answer. With wanted, only these statuses are right.
func (n *Nova) Ask(microversion, method, path string, body any, wanted ...int) gjson.Result {
	n.T.Helper()
	return n.at(microversion).Ask(method, path, body, wanted...)
}

func (n *Nova) at(microversion string) openstacktest.REST {
	client := *n.Client
	client.Microversion = microversion
	return openstacktest.REST{T: n.T, Client: &client}
}

// SQL runs a statement in the cells' databases, both that of the hosts' and cell0.
func (n *Nova) SQL(format string, values ...any) {
	n.T.Helper()
	for _, database := range []string{"nova", "nova_cell0"} {
		n.run(database, format, values...)
	}
}

// Cell runs a statement in the hosts' cell, and returns what it selects.
func (n *Nova) Cell(format string, values ...any) string {
	n.T.Helper()
	return n.run("nova", format, values...)
}

// API runs a statement in the API database.
func (n *Nova) API(format string, values ...any) {
	n.T.Helper()
	n.run("nova_api", format, values...)
}

func (n *Nova) run(database, format string, values ...any) string {
	n.T.Helper()
	return n.command("mysql", "--batch", "--skip-column-names", "--execute="+fmt.Sprintf(format, values...), database)
}

// Set sets columns of a server's row, as "vm_state = 'error', task_state = NULL". Its
// updated_at stays, if they do not say otherwise.
func (n *Nova) Set(uuid, columns string) {
	n.T.Helper()
	n.SQL("UPDATE instances SET %s WHERE uuid = '%s'", columns, uuid)
}

// Boot makes a server with a host, which is ACTIVE, or without one, which is in ERROR
// since no host has room for it.
func (n *Nova) Boot(host string) string {
	n.T.Helper()
	if host == "" {
		return n.boot("2.37", "ERROR", map[string]any{"flavorRef": n.flavor(true)})
	}
	return n.BootAs(map[string]any{"host": host})
}

// BootAs makes a server that becomes ACTIVE, with more or other properties.
func (n *Nova) BootAs(properties map[string]any) string {
	n.T.Helper()
	return n.boot("2.74", "ACTIVE", properties)
}

func (n *Nova) boot(microversion, status string, properties map[string]any) string {
	n.T.Helper()
	server := map[string]any{"name": "test", "imageRef": n.Image(), "networks": "none"}
	maps.Copy(server, properties)
	if server["flavorRef"] == nil {
		server["flavorRef"] = n.flavor(false)
	}
	uuid := n.Ask(microversion, http.MethodPost, "servers", map[string]any{"server": server}).Get("server.id").String()
	n.T.Cleanup(func() { n.Remove(uuid) })
	n.Until("server "+uuid+" is "+status, func() bool { return n.Status(uuid) == status })
	return uuid
}

// Remove takes away what a test has left, whatever it has made of it.
func (n *Nova) Remove(uuid string) {
	n.API("UPDATE instance_mappings SET cell_id = (SELECT id FROM cell_mappings WHERE name = 'cell1') WHERE instance_uuid = '%s' AND "+
		"cell_id IS NULL", uuid)
	n.SQL("UPDATE instances SET deleted = 0, deleted_at = NULL WHERE uuid = '%s' AND deleted NOT IN (0, id)", uuid)
	n.Set(uuid, "vm_state = 'error', task_state = NULL, locked = 0, locked_by = NULL, disable_terminate = 0")
	n.SQL("DELETE FROM migrations WHERE instance_uuid = '%s' AND source_compute = 'test'", uuid)
	n.SQL("DELETE FROM block_device_mapping WHERE instance_uuid = '%s' AND connection_info IN ('{}', 'no JSON')", uuid)
	n.Ask("2.59", http.MethodDelete, "servers/"+uuid, nil, http.StatusNoContent, http.StatusNotFound)
	n.Until("server "+uuid+" is removed", func() bool { return n.Status(uuid) == "" })
}

// Status is empty for a server that the API does not find.
func (n *Nova) Status(uuid string) string {
	n.T.Helper()
	return n.Ask("2.59", http.MethodGet, "servers/"+uuid, nil, http.StatusOK, http.StatusNotFound).Get("server.status").String()
}

// Volume attaches a volume in Nova's database alone, with delete_on_termination.
func (n *Nova) Volume(uuid, volume string) { n.attach(uuid, volume, "{}") }

// BrokenVolume attaches one over which nova-compute stumbles when it deletes the server.
func (n *Nova) BrokenVolume(uuid, volume string) { n.attach(uuid, volume, "no JSON") }

func (n *Nova) attach(uuid, volume, connection string) {
	n.T.Helper()
	n.SQL("INSERT INTO block_device_mapping (created_at, device_name, delete_on_termination, volume_id, connection_info, instance_uuid, "+
		"deleted, source_type, destination_type, boot_index, uuid) SELECT UTC_TIMESTAMP(), '/dev/vdb', 1, '%s', '%s', uuid, 0, 'volume', "+
		"'volume', NULL, UUID() FROM instances WHERE uuid = '%s'", volume, connection, uuid)
}

// Migration makes a migration of the server.
func (n *Nova) Migration(uuid, migration, status string) {
	n.T.Helper()
	n.SQL("INSERT INTO migrations (created_at, uuid, instance_uuid, migration_type, status, source_compute, source_node, hidden, deleted, "+
		"cross_cell_move) SELECT UTC_TIMESTAMP(), '%s', uuid, 'migration', '%s', 'test', 'test-node', 0, 0, 0 FROM instances WHERE uuid = '%s'",
		migration, status, uuid)
}

// DownCell adds a cell with a host, whose database Nova's API comes to know, and which then
// is gone; it takes the cell away again when the test is over. It is for a test that runs
// alone: meanwhile every list leaves something out. Nova's API is begun again, since it keeps
// the list of its cells (nova/context.py load_cells). A database that it has never reached
// would be tried for 100 seconds each time ([database]max_retries).
func (n *Nova) DownCell(host string) {
	n.T.Helper()
	const name = "test_down"
	n.T.Cleanup(func() {
		n.API("DELETE FROM host_mappings WHERE cell_id = (SELECT id FROM cell_mappings WHERE name = '%[1]s'); DELETE FROM cell_mappings WHERE "+
			"name = '%[1]s'; DROP DATABASE IF EXISTS %[1]s", name)
		n.restartAPI()
	})
	n.API("DROP DATABASE IF EXISTS %[1]s; CREATE DATABASE %[1]s; GRANT ALL ON %[1]s.* TO nova@'%%'", name)
	n.command("sh", "-c", "mysqldump --no-data nova | mysql "+name)
	database := novalab.NewRelay(n.T, "tcp", "127.0.0.1:0", "127.0.0.1:3306", func(from, to net.Conn) {
		go func() { _, _ = io.Copy(to, from) }()
		_, _ = io.Copy(from, to)
	})
	cell1 := n.run("nova_api", "SELECT database_connection FROM cell_mappings WHERE name = 'cell1'")
	account, _, _ := strings.Cut(cell1, "@127.0.0.1")
	n.command("nova-manage", "cell_v2", "create_cell", "--name", name, "--transport-url", "none://nowhere/",
		"--database_connection", account+"@"+database.Addr().String()+"/"+name)
	n.API("INSERT INTO host_mappings (created_at, cell_id, host) SELECT UTC_TIMESTAMP(), id, '%s' FROM cell_mappings WHERE name = '%s'", host,
		name)
	n.restartAPI()
	var workers sync.WaitGroup
	for range 20 { // of which there are two
		workers.Go(func() { _, _ = n.at("2.59").Try(http.MethodGet, "servers?all_tenants=True&limit=1", nil) })
	}
	workers.Wait()
	database.End()
}

func (n *Nova) command(name string, arguments ...string) string {
	n.T.Helper()
	output, err := exec.Command(name, arguments...).CombinedOutput()
	if err != nil {
		n.T.Fatalf("%s %v: %v: %s", name, arguments, err, output)
	}
	return strings.TrimSpace(string(output))
}

func (n *Nova) restartAPI() {
	n.T.Helper()
	n.command("systemctl", "restart", "nova-api")
	n.Until("nova-api answers", func() bool {
		_, err := n.at("2.59").Try(http.MethodGet, "os-services", nil)
		return err == nil
	})
}

// Image is the lab's.
func (n *Nova) Image() string {
	n.T.Helper()
	return n.run("glance", "SELECT id FROM images WHERE name = 'tiny'")
}

// flavor is the lab's own, or one for which no host has room.
func (n *Nova) flavor(huge bool) string {
	n.T.Helper()
	if !huge {
		return n.run("nova_api", "SELECT flavorid FROM flavors WHERE name = 'm1.nano'")
	}
	body := map[string]any{"flavor": map[string]any{"name": fmt.Sprint("test-", time.Now().UnixNano()), "vcpus": 1, "ram": 64,
		"disk": 1_000_000}}
	id := n.REST.Ask(http.MethodPost, "flavors", body).Get("flavor.id").String()
	n.T.Cleanup(func() { n.Ask("2.59", http.MethodDelete, "flavors/"+id, nil) })
	return id
}

// ForcedDown says whether a host's nova-compute is forced down, by the database.
func (n *Nova) ForcedDown(host string) bool {
	n.T.Helper()
	return n.Cell("SELECT forced_down FROM services WHERE host = '%s' AND `binary` = 'nova-compute' AND deleted = 0", host) == "1"
}
