//go:build lab

package placement_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"nova-orphan/internal/nova"
	"nova-orphan/internal/nova/novalab"
	"nova-orphan/internal/openstack/openstacktest"
	"nova-orphan/internal/placement"
)

func TestTheDocumentedGrantsAreEnoughAndNoneIsTooMany(t *testing.T) {
	block, err := os.ReadFile("testdata/grants.sql")
	if err != nil {
		t.Fatal(err)
	}
	const user, password = "nova_orphan_placement_test", "l3ast@grants"
	root := novalab.Open(t, "placement")
	statements := strings.Split(strings.TrimSpace(strings.NewReplacer("nova_orphan_reader@'%'", user+"@localhost", "'...'", "'"+password+"'").
		Replace(string(block))), "\n")
	for i, statement := range statements {
		novalab.Exec(t, root, statement)
		if i == 0 {
			t.Cleanup(func() { novalab.Exec(t, novalab.Open(t, ""), "DROP USER "+user+"@localhost") })
		}
	}
	db, err := nova.OpenReadOnly("mysql+pymysql://"+user+":"+strings.ReplaceAll(password, "@", "%40")+"@localhost/placement?unix_socket="+
		novalab.Socket, nil, func(...string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	read := func(ctx context.Context) error {
		if _, err := (placement.Database{DB: db}).Survey(ctx); err != nil {
			return err
		}
		_, err := placement.Database{DB: db}.Details(ctx, []string{openstacktest.UUID()})
		return err
	}
	if err := read(t.Context()); err != nil {
		t.Fatalf("with all grants: %v", err)
	}
	if testing.Short() {
		return // one without the other: make minimal
	}
	for _, grant := range statements[1:] {
		novalab.Exec(t, root, strings.Replace(strings.Replace(grant, "GRANT", "REVOKE", 1), " TO ", " FROM ", 1))
		if err := read(t.Context()); err == nil || !strings.Contains(err.Error(), "denied") {
			t.Errorf("without %s: %v", grant, err)
		}
		novalab.Exec(t, root, grant)
	}
	t.Logf("grants of SECURITY.md, each needed: %d", len(statements)-1)
}
