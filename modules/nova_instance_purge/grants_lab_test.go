//go:build lab

package main

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/nova/novalab"
)

// documentedGrants are the statements of SECURITY.md for the test's databases.
func documentedGrants(t *testing.T, lab *novalab.Databases) (grants []string, user, password string) {
	t.Helper()
	block, err := os.ReadFile(grantsFile)
	if err != nil {
		t.Fatal(err)
	}
	user, password = "nova_orphan_test", "l3ast@grants"
	for _, statement := range strings.Split(string(block), "\n") {
		statement = strings.NewReplacer("nova_orphan@'%'", user+"@localhost", "'...'", "'"+password+"'", "nova_api.",
			lab.Prefix+"api.").Replace(statement)
		switch {
		case strings.HasPrefix(statement, "CREATE USER"):
			novalab.Exec(t, lab.API, statement)
			t.Cleanup(func() { novalab.Exec(t, lab.API, "DROP USER "+user+"@localhost") })
		case strings.Contains(statement, " nova.") && strings.HasPrefix(statement, "GRANT"):
			grants = append(grants, strings.Replace(statement, " nova.", " "+lab.Prefix+"cell1.", 1))
			novalab.Exec(t, lab.API, strings.Replace(statement, " nova.", " "+lab.Prefix+"cell0.", 1))
		case strings.HasPrefix(statement, "GRANT"):
			grants = append(grants, statement)
		}
	}
	for _, grant := range grants {
		novalab.Exec(t, lab.API, grant)
	}
	return grants, user, password
}

func TestTheDocumentedGrantsAreEnoughAndNoneIsTooMany(t *testing.T) {
	lab := novalab.New(t)
	grants, user, password := documentedGrants(t, lab)
	for id, name := range map[int]string{1: "cell0", 2: "cell1"} {
		novalab.Exec(t, lab.API, "UPDATE cell_mappings SET database_connection = ? WHERE id = ?", lab.URL("nobody", "wrong", name), id)
	}
	environment(t, lab)
	login := map[string]any{"nova_conf": nil, "login_unix_socket": novalab.Socket, "login_user": user, "login_password": password,
		"login_db": lab.Prefix + "api"}
	// round checks, purges and restores an instance, and what is left of it when its row is gone, and returns the first
	// answer that failed.
	round := func(number int) (failed gjson.Result) {
		t.Helper()
		uuid, backups := fmt.Sprintf("f%07d-0000-4000-8000-000000000000", number), t.TempDir()
		lab.NewInstance(t, uuid)
		novalab.Exec(t, lab.API, "INSERT INTO build_requests (instance_uuid, project_id, created_at) VALUES (?, 'project', '2026-01-02')", uuid)
		before := lab.Everything(t, uuid)
		run := func(check bool, more map[string]any) bool {
			options := maps.Clone(login)
			maps.Copy(options, more)
			failed = call(t, "", backups, uuid, check, options)
			return !failed.Get("failed").Bool()
		}
		if !run(true, nil) || !run(false, nil) {
			return failed
		}
		novalab.Exec(t, lab.Cell1, "UPDATE instances SET cleaned = 1 WHERE uuid = ?", uuid)
		novalab.Exec(t, lab.Cell1, "INSERT INTO instance_system_metadata (instance_uuid, `key`, value, deleted) VALUES (?, 'clean_attempts', "+
			"'1', 0)", uuid)
		if !run(false, map[string]any{"state": "present", "backup_file": toRestore(t, backups)}) {
			return failed
		}
		if diff := cmp.Diff(before, lab.Everything(t, uuid)); diff != "" {
			t.Errorf("not as it was: %s", diff)
		}
		deleteRow(t, lab, uuid)
		before, backups = lab.Everything(t, uuid), t.TempDir()
		if !run(false, nil) || !run(false, map[string]any{"state": "present", "backup_file": toRestore(t, backups)}) {
			return failed
		}
		if diff := cmp.Diff(before, lab.Everything(t, uuid)); diff != "" {
			t.Errorf("what is left of it is not as it was: %s", diff)
		}
		return gjson.Result{}
	}
	if failed := round(0); failed.Exists() {
		t.Fatalf("with all grants: %s", failed)
	}
	if testing.Short() {
		return // one without the other: make minimal
	}
	for i, grant := range grants {
		novalab.Exec(t, lab.API, strings.Replace(strings.Replace(grant, "GRANT", "REVOKE", 1), " TO ", " FROM ", 1))
		if failed := round(i + 1); !failed.Exists() {
			t.Errorf("it works without: %s", grant)
		} else if !strings.Contains(failed.Get("msg").String(), "denied") {
			t.Errorf("without %s: %s", grant, failed)
		}
		novalab.Exec(t, lab.API, grant)
	}
	t.Logf("grants of SECURITY.md, each needed: %d", len(grants))
}
