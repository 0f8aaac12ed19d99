//go:build lab

package scalelab

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"nova-orphan/internal/scaletest"
)

// New gives the test a cloud, which is gone when it ends. There can be one at a time on a controller.
func New(t *testing.T, size scaletest.Size) *Lab {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "cloud")
	t.Cleanup(func() {
		// The test's own context has ended.
		if err := Down(context.Background(), folder); err != nil {
			t.Error(err)
		}
	})
	lab, err := Up(t.Context(), folder, size)
	if err != nil {
		t.Fatal(err)
	}
	return lab
}

// StopCell leads the cell to a database that nobody serves, until the test ends.
func (l *Lab) StopCell(t *testing.T, cell string) {
	t.Helper()
	db, err := open(database(scaletest.API))
	if err != nil {
		t.Fatal(err)
	}
	lead := func(to string) {
		if _, err := db.Exec("UPDATE cell_mappings SET database_connection = ? WHERE name = ?", to, cell); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() {
		lead(connection(cell))
		db.Close()
	})
	lead("mysql+pymysql://nova:secret@127.0.0.1:1/" + database(cell))
}

// FailHypervisor has the one with this domain not be read, until the test ends, and returns its host.
func (l *Lab) FailHypervisor(t *testing.T, domain string) (host string) {
	t.Helper()
	text, err := os.ReadFile(l.Hypervisors())
	if err != nil {
		t.Fatal(err)
	}
	var hypervisors []*scaletest.Hypervisor
	if err = json.Unmarshal(text, &hypervisors); err != nil {
		t.Fatal(err)
	}
	for _, h := range hypervisors {
		if slices.ContainsFunc(h.Domains, func(d *scaletest.Domain) bool { return d.UUID == domain }) {
			host = h.Host
			*h = scaletest.Hypervisor{Host: h.Host, Hostname: h.Hostname, Failure: "ssh: connect to host port 22: Connection timed out"}
		}
	}
	t.Cleanup(func() {
		if err := os.WriteFile(l.Hypervisors(), text, 0o600); err != nil {
			t.Error(err)
		}
	})
	if err := store(l.Hypervisors(), hypervisors); err != nil {
		t.Fatal(err)
	}
	return host
}
