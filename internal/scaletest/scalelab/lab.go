// Package scalelab brings a made-up cloud to life on the lab's controller: in databases with the schemas of Nova and of
// Placement, with a real Placement of its own, and a nova.conf that leads to both. Run as root.
package scalelab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"nova-orphan/internal/scaletest"
)

const (
	socket = "/run/mysqld/mysqld.sock"
	// region is Placement's in Keystone's catalog.
	region   = "scale"
	endpoint = "127.0.0.1:18778"
	unit     = "nova-orphan-scale-placement"
)

// catalog gives a region the endpoint of its Placement, and the lab's own Cinder and Neutron, which have nothing of the cloud; with
// no endpoint it empties it. It is one process instead of several commands of two seconds each.
const catalog = `
import sys, openstack
region, placement = sys.argv[1:]
identity = openstack.connect(cloud="lab").identity
if placement:
    identity.create_region(id=region)
of = {service.id: service.type for service in identity.services()}
for endpoint in list(identity.endpoints(interface="public")):
    if endpoint.region_id == region:
        identity.delete_endpoint(endpoint)
    elif placement and of[endpoint.service_id] in ("placement", "volumev3", "network"):
        url = placement if of[endpoint.service_id] == "placement" else endpoint.url
        identity.create_endpoint(service_id=endpoint.service_id, region_id=region, interface="public", url=url)
if not placement:
    identity.delete_region(region)
`

// schemas are the lab's own, by the name that the made-up cloud has for its database.
var schemas = map[string]string{scaletest.API: "nova_api", scaletest.Cell0: "nova_cell0", scaletest.Cell1: "nova", scaletest.Cell2: "nova",
	scaletest.Placement: "placement"}

// accounts are those of the services that use them.
var accounts = map[string]string{scaletest.API: "nova_api", scaletest.Cell0: "nova", scaletest.Cell1: "nova", scaletest.Cell2: "nova",
	scaletest.Placement: "placement"}

// connection is a cell's as deployment tools write it: Nova fills it in from its own [database].
func connection(cell string) string {
	return "{scheme}://{username}:{password}@{hostname}/" + database(cell)
}

func database(name string) string { return "scale_" + name }

// Lab is a cloud that runs.
type Lab struct {
	// Folder has the files: nova.conf, placement.conf, hypervisors.json (what nova_orphan_info takes as domains) and truth.json.
	Folder string
	cloud
	// Loading is how long the rows took.
	Loading time.Duration
}

// cloud is what truth.json has.
type cloud struct {
	Size  scaletest.Size  `json:"size"`
	Truth scaletest.Truth `json:"truth"`
}

// Conf is a nova.conf that leads to the cloud.
func (l *Lab) Conf() string { return filepath.Join(l.Folder, "nova.conf") }

// PlacementConf is the placement.conf of its Placement.
func (l *Lab) PlacementConf() string { return filepath.Join(l.Folder, "placement.conf") }

// Hypervisors is what its hypervisors have.
func (l *Lab) Hypervisors() string { return filepath.Join(l.Folder, "hypervisors.json") }

// Up makes the cloud, instead of one that there was, and waits for its Placement.
func Up(ctx context.Context, folder string, size scaletest.Size) (*Lab, error) {
	l := &Lab{Folder: folder}
	if err := Down(ctx, folder); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	for name, schema := range schemas {
		// mysqldump has the tables in an order that their foreign keys allow.
		if err := run(ctx, "sh", "-ec", `mysql -e "CREATE DATABASE $2; GRANT ALL ON $2.* TO '$3'@'%'"
			mysqldump --no-data "$1" | mysql "$2"`, "copy", schema, database(name), accounts[name]); err != nil {
			return nil, err
		}
	}
	if err := run(ctx, "mysql", "-e", "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'; "+
		"INSERT INTO scale_placement.resource_classes SELECT * FROM placement.resource_classes; "+
		"INSERT INTO scale_placement.alembic_version SELECT * FROM placement.alembic_version"); err != nil {
		return nil, err
	}
	if err := l.configure("/etc/nova/nova.conf", l.Conf()); err != nil {
		return nil, err
	}
	if err := l.configure("/etc/placement/placement.conf", l.PlacementConf()); err != nil {
		return nil, err
	}
	if err := l.load(ctx, size); err != nil {
		return nil, err
	}
	return l, l.startPlacement(ctx)
}

// Open finds the one that is up.
func Open(folder string) (*Lab, error) {
	l := &Lab{Folder: folder}
	text, err := os.ReadFile(filepath.Join(folder, "truth.json"))
	if err != nil {
		return nil, err
	}
	return l, json.Unmarshal(text, &l.cloud)
}

// Down removes it, and all that it has on this host.
func Down(ctx context.Context, folder string) error {
	_ = run(ctx, "systemctl", "stop", unit) // it may not run
	for name := range schemas {
		if err := run(ctx, "mysql", "-e", "DROP DATABASE IF EXISTS "+database(name)); err != nil {
			return err
		}
		// There is no IF EXISTS of a grant.
		_ = run(ctx, "mysql", "-e", fmt.Sprintf("REVOKE ALL ON %s.* FROM '%s'@'%%'", database(name), accounts[name]))
	}
	return errors.Join(run(ctx, "python3", "-c", catalog, region, ""), os.RemoveAll(folder))
}

func (l *Lab) load(ctx context.Context, size scaletest.Size) error {
	start := time.Now()
	to, err := newLoader(ctx)
	if err != nil {
		return err
	}
	defer to.close()
	for name, id := range scaletest.CellIDs() {
		// Nova knows cell0 by its uuid (nova/objects/cell_mapping.py CELL0_UUID).
		row := scaletest.Row{"id": id, "uuid": fmt.Sprintf("00000000-0000-0000-0000-%012d", id-1), "name": name, "transport_url": "none:///",
			"database_connection": connection(name), "disabled": 0}
		if err = to.Write(scaletest.API, "cell_mappings", row); err != nil {
			return err
		}
	}
	made, err := scaletest.Generate(size, start, to)
	if err != nil {
		return err
	}
	if err = to.finish(); err != nil {
		return err
	}
	l.cloud, l.Loading = cloud{size, made.Truth}, time.Since(start)
	return errors.Join(store(l.Hypervisors(), made.Hypervisors), store(filepath.Join(l.Folder, "truth.json"), l.cloud))
}

func store(path string, value any) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	return errors.Join(json.NewEncoder(out).Encode(value), out.Flush(), file.Close())
}

// configure copies a service's own configuration, with the cloud's databases and its Placement.
func (l *Lab) configure(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	edited, section := strings.Builder{}, ""
	for line := range strings.Lines(string(text)) {
		key, _, _ := strings.Cut(line, "=")
		switch key = strings.TrimSpace(key); {
		case strings.HasPrefix(line, "["):
			section = strings.TrimSpace(line)
		case key == "connection":
			name := map[string]string{"[api_database]": scaletest.API, "[database]": scaletest.Cell1,
				"[placement_database]": scaletest.Placement}[section]
			line = line[:strings.LastIndex(line, "/")+1] + database(name) + "\n"
		case key == "region_name" && section == "[placement]":
			line = "region_name = " + region + "\n"
		}
		edited.WriteString(line)
	}
	return os.WriteFile(to, []byte(edited.String()), 0o600)
}

// startPlacement runs a second one as the first is run, but in as many processes as there are processors, and waits for it.
func (l *Lab) startPlacement(ctx context.Context) error {
	if err := run(ctx, "systemd-run", "--quiet", "--collect", "--unit="+unit, "--setenv=OS_PLACEMENT_CONFIG_DIR="+l.Folder,
		"uwsgi", "--ini=/etc/placement/placement-api-uwsgi.ini", "--processes=2", "--http-socket="+endpoint, "--uid=root", "--gid=root",
		"--logto="+filepath.Join(l.Folder, "placement.log")); err != nil {
		return err
	}
	if err := run(ctx, "python3", "-c", catalog, region, "http://"+endpoint); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+endpoint, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(answer.Status)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for placement (see %s/placement.log): %w", l.Folder, err)
		}
	}
}

func run(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
