//go:build releases

// Package releases_test holds the modules, as `make build` has built them, to the real Keystone, nova-api and Placement of a release of
// OpenStack, which lab/releases/cloud.py runs: `make releases-api`.
package releases_test

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	_ "github.com/go-sql-driver/mysql" // for database/sql
	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
)

// The hosts of the cloud. No nova-compute runs, but the service of one counts as up.
const (
	up   = "compute1"
	down = "compute2"
)

const root = "../.."

// python is that of the release's environment.
func python() string {
	return filepath.Join(root, ".cache/releases", os.Getenv("RELEASE"), "bin/python")
}

// cloud is what cloud.py tells of it.
type cloud struct {
	AuthURL       string `json:"auth_url"`
	Password      string
	NovaConf      string            `json:"nova_conf"`
	ServiceConf   string            `json:"service_conf"`   // whose [placement] has the role service alone
	PlacementConf string            `json:"placement_conf"` // the service's own
	Instances     map[string]string // by what instances calls them
	Providers     map[string]string // by host
}

var (
	the       cloud
	databases *sql.DB
	beside    = &others{}
)

func TestMain(m *testing.M) {
	status, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// run runs the tests beside a cloud of RELEASE, and ends it.
func run(m *testing.M) (status int, err error) {
	if databases, err = sql.Open("mysql", "root@unix("+os.Getenv("LAB_SOCKET")+")/?time_zone=%27%2B00%3A00%27"); err != nil {
		return 0, err
	}
	server := httptest.NewServer(beside)
	defer server.Close()
	wanted, err := json.Marshal(instances)
	if err != nil {
		return 0, err
	}
	command := exec.Command(python(), filepath.Join(root, "lab/releases/cloud.py"), server.URL, string(wanted))
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		return 0, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err = command.Start(); err != nil {
		return 0, err
	}
	defer func() {
		_ = stdin.Close()
		_ = command.Wait() // its tests are over
	}()
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		return 0, fmt.Errorf("the cloud of %s does not come up: %w", os.Getenv("RELEASE"), err)
	}
	if err = json.Unmarshal(line, &the); err != nil {
		return 0, err
	}
	library, err := filepath.Abs(filepath.Join(root, "playbooks/library"))
	if err != nil {
		return 0, err
	}
	for name, value := range map[string]string{
		"PATH":        library + ":" + os.Getenv("PATH"),
		"OS_AUTH_URL": the.AuthURL, "OS_USERNAME": "admin", "OS_PASSWORD": the.Password, "OS_PROJECT_NAME": "admin",
		"OS_USER_DOMAIN_ID": "default", "OS_PROJECT_DOMAIN_ID": "default", "OS_REGION_NAME": "RegionOne",
	} {
		if err = os.Setenv(name, value); err != nil {
			return 0, err
		}
	}
	return m.Run(), nil
}

// others stands for Cinder, Glance and Neutron, which have nothing and let go of everything. Nova asks them when it deletes by itself.
type others struct {
	mu       sync.Mutex
	requests []string
}

func (o *others) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.requests = append(o.requests, r.Method+" "+r.URL.Path)
	o.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	kind := filepath.Base(r.URL.Path)
	var body any
	switch status := http.StatusOK; {
	case kind == "volume" || kind == "v3": // cinderclient asks what there is
		body = map[string]any{"versions": []any{map[string]any{"id": "v3.0", "status": "CURRENT", "version": "3.71", "min_version": "3.0",
			"links": []any{map[string]any{"rel": "self", "href": "http://" + r.Host + "/volume/v3/"}}}}}
	case r.Method == http.MethodGet && strings.Count(kind, "-") == 4:
		w.WriteHeader(http.StatusNotFound)
		body = map[string]any{"itemNotFound": map[string]any{"message": kind}}
	case r.Method == http.MethodGet:
		body = map[string]any{strings.ReplaceAll(kind, "-", "_"): []any{}}
		if kind == "detail" {
			body = map[string]any{filepath.Base(filepath.Dir(r.URL.Path)): []any{}}
		}
	default:
		body = map[string]any{"attachments": []any{}}
		if strings.Contains(r.URL.Path, "/volumes/") {
			status = http.StatusAccepted
		}
		w.WriteHeader(status)
	}
	_ = json.NewEncoder(w).Encode(body) // to a client that is gone
}

// asked are the requests that change something since the last call.
func (o *others) asked() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	writes := openstacktest.Writes(o.requests)
	o.requests = nil
	return writes
}

// options are a module's.
type options = map[string]any

// start calls a module with the account of nova.conf, and backups of its own.
func start(t *testing.T, module string, more options) *ansibletest.Process {
	t.Helper()
	all := options{"nova_conf": the.NovaConf}
	for key, value := range more {
		all[key] = value
	}
	return ansibletest.Start(t, module, all, os.Environ())
}

// selected is what a statement selects, its rows as lines.
func selected(t *testing.T, statement string, args ...any) string {
	t.Helper()
	rows, err := databases.QueryContext(openstacktest.Context(t), statement, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		values, fields := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			fields[i] = &values[i]
		}
		if err := rows.Scan(fields...); err != nil {
			t.Fatal(err)
		}
		var line []string
		for _, value := range values {
			line = append(line, map[bool]string{true: value.String, false: "NULL"}[value.Valid])
		}
		lines = append(lines, strings.Join(line, " "))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// everyRow is all that Nova's databases have, by table.
func everyRow(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, table := range strings.Fields(selected(t,
		"SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables WHERE table_schema IN ('api', 'cell1')")) {
		if rows := selected(t, "SELECT * FROM "+table); rows != "" && table != "cell1.services" { // in which nova-api reports itself
			lines := strings.Split(rows, "\n")
			slices.Sort(lines)
			all[table] = strings.Join(lines, "\n")
		}
	}
	return all
}

// nova asks Nova's API, without the modules' client, at a microversion of each release.
func nova(t *testing.T, method, path string, wanted ...int) gjson.Result {
	t.Helper()
	client := openstacktest.Client(t, (*openstack.Cloud).Compute)
	client.Microversion = "2.85"
	return openstacktest.REST{T: t, Client: client}.Ask(method, path, nil, wanted...)
}

// status is empty for a server that the API does not find.
func status(t *testing.T, uuid string) string {
	t.Helper()
	return nova(t, http.MethodGet, "servers/"+uuid, http.StatusOK, http.StatusNotFound).Get("server.status").String()
}

// held is what a consumer holds, as Placement's API says.
func held(t *testing.T, consumer string) string {
	t.Helper()
	return allocations(t, http.MethodGet, consumer, nil).Get(`allocations.*.resources|@pretty:{"sortKeys":true}|@ugly`).Raw
}

func allocations(t *testing.T, method, consumer string, body any) gjson.Result {
	t.Helper()
	client := openstacktest.Client(t, (*openstack.Cloud).Placement)
	client.Microversion = "1.28"
	return openstacktest.REST{T: t, Client: client}.Ask(method, "allocations/"+consumer, body)
}
