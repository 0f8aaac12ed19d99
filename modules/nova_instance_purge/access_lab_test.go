//go:build lab

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/nova/novalab"
)

// account makes a database user with these privileges on the databases named after them.
func account(t *testing.T, lab *novalab.Databases, grants map[string]string) (user, password string) {
	t.Helper()
	user, password = fmt.Sprintf("test_%d", os.Getpid()), "s3cret@pass/word"
	novalab.Exec(t, lab.API, "CREATE USER "+user+"@localhost IDENTIFIED BY '"+password+"'")
	t.Cleanup(func() { novalab.Exec(t, lab.API, "DROP USER "+user+"@localhost") })
	for database, privileges := range grants {
		novalab.Exec(t, lab.API, "GRANT "+privileges+" ON "+lab.Prefix+database+".* TO "+user+"@localhost")
	}
	return user, password
}

func TestCheckModeNeedsNoMoreThanSelectAndTellsNoPassword(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "77777777-0000-4000-8000-000000000000"
	lab.NewInstance(t, uuid)
	user, password := account(t, lab, map[string]string{"api": "SELECT", "cell0": "SELECT", "cell1": "SELECT"})
	novalab.Exec(t, lab.API, "UPDATE cell_mappings SET database_connection = ? WHERE id = 1", lab.URL("nobody", "wrong", "cell0"))
	novalab.Exec(t, lab.API, "UPDATE cell_mappings SET database_connection = ? WHERE id = 2", lab.URL("nobody", "wrong", "cell1"))
	environment(t, lab)
	login := map[string]any{"nova_conf": nil, "login_unix_socket": novalab.Socket, "login_user": user, "login_password": password,
		"login_db": lab.Prefix + "api"}
	before := lab.Dump(t, uuid, true)

	check := call(t, "", t.TempDir(), uuid, true, login)
	if check.Get("failed").Bool() || !check.Get("changed").Bool() || check.Get("verdict").String() != "stuck" {
		t.Errorf("check: %s", check)
	}
	denied := call(t, "", t.TempDir(), uuid, false, login)
	if !denied.Get("failed").Bool() || denied.Get("changed").Bool() || !strings.Contains(denied.Get("msg").String(), "command denied") {
		t.Errorf("real: %s", denied)
	}
	if diff := cmp.Diff(before, lab.Dump(t, uuid, true)); diff != "" {
		t.Errorf("rows were changed: %s", diff)
	}
	login["login_password"] = password + "x"
	refused := call(t, "", t.TempDir(), uuid, true, login)
	if refused.Get("verdict").String() != "unknown" || !refused.Get("failed").Bool() {
		t.Errorf("wrong password: %s", refused)
	}
	for _, answer := range []gjson.Result{check, denied, refused} {
		if strings.Contains(answer.Raw, "s3cret") {
			t.Errorf("the password was told: %s", answer)
		}
	}
}

func TestARunCutOffBetweenTheDatabasesIsFinishedByTheNext(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "88888888-0000-4000-8000-000000000000"
	instance := lab.NewInstance(t, uuid)
	user, _ := account(t, lab, map[string]string{"api": "SELECT"})
	conf := lab.WriteConf(t, lab.URL(user, "s3cret%40pass%2Fword", "api"))
	cut := call(t, conf, t.TempDir(), uuid, false, nil)
	if !cut.Get("failed").Bool() || !cut.Get("changed").Bool() || !strings.Contains(cut.Get("msg").String(), "run the module again") {
		t.Errorf("cut off: %s", cut)
	}
	if got := novalab.Text(t, lab.API, "SELECT queued_for_delete FROM instance_mappings WHERE instance_uuid = ?", uuid); got != "0" {
		t.Errorf("queued_for_delete is %s", got)
	}
	again := call(t, lab.Conf, t.TempDir(), uuid, false, nil)
	if again.Get("failed").Bool() || !again.Get("changed").Bool() || again.Get("verdict").String() != "deleted" ||
		again.Get("rows_changed").Raw != `{"instance_mappings":1}` {
		t.Errorf("again: %s", again)
	}
	expectFinished(t, lab, instance)
}

func TestWhatIsNotInACellIsToldApart(t *testing.T) {
	lab := novalab.New(t)
	const absent, archived, twice, down = "99999991-0000-4000-8000-000000000000", "99999992-0000-4000-8000-000000000000",
		"99999993-0000-4000-8000-000000000000", "99999994-0000-4000-8000-000000000000"
	expect := func(uuid, verdict, message string, failed bool) gjson.Result {
		t.Helper()
		got := call(t, lab.Conf, t.TempDir(), uuid, true, nil)
		if got.Get("verdict").String() != verdict || got.Get("changed").Bool() != (verdict == "archived") || got.Get("failed").Bool() != failed ||
			!strings.Contains(got.Get("msg").String(), message) {
			t.Errorf("want %s, %q: %s", verdict, message, got)
		}
		return got
	}
	got := expect(absent, "absent", "no trace of it (2 cells, nova_api): nothing to do", false)
	if got.Get("instance").Type != gjson.Null {
		t.Errorf("an absent instance has a record: %s", got)
	}

	lab.NewInstance(t, archived)
	for table, key := range map[string]string{"instances": "uuid", "migrations": "instance_uuid", "instance_extra": "instance_uuid"} {
		novalab.Exec(t, lab.Cell1, "INSERT INTO shadow_"+table+" SELECT * FROM "+table+" WHERE "+key+" = ?", archived)
	}
	novalab.Exec(t, lab.Cell1, "SET STATEMENT foreign_key_checks = 0 FOR DELETE FROM instances WHERE uuid = ?", archived)
	got = expect(archived, "archived", "would finish the deletion", false)
	if got.Get("instance.flavor").String() != "m1.nano" || got.Get("instance.dead_migration_uuids.#").Int() != 1 {
		t.Errorf("the archived rows are not told: %s", got)
	}

	lab.NewInstance(t, twice)
	novalab.Insert(t, lab.Cell0, "instances", map[string]any{"uuid": twice, "deleted": 0, "vm_state": "error", "hidden": 1})
	got = expect(twice, "busy", "2 cells", true)
	if got.Get("instance.cell.name").String() != "cell1" {
		t.Errorf("the hidden row is told: %s", got)
	}

	lab.NewInstance(t, down)
	lab.Map(t, 3, "33333333-3333-4333-8333-333333333333", "cell3", "mysql+pymysql://root@localhost/nova?unix_socket=/no/mysqld.sock")
	expect(down, "unknown", "cell3: the cell could not be read", true)
	expect(absent, "unknown", "/no/mysqld.sock", true)
	novalab.Exec(t, lab.API, "UPDATE cell_mappings SET database_connection = 'postgresql://nova@db/nova' WHERE id = 3")
	expect(down, "unknown", "postgresql is not supported", true)
}

func TestADeadlockIsTriedAgain(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "aaaaaaaa-0000-4000-8000-000000000000"
	instance := lab.NewInstance(t, uuid)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	rival := lab.Rival(ctx, t, uuid)
	answers := make(chan gjson.Result, 1)
	backups := t.TempDir()
	go func() { answers <- call(t, lab.Conf, backups, uuid, false, nil) }()
	rival.Collide(ctx, t)
	rival.GiveUp(t)
	if got := <-answers; got.Get("failed").Bool() || !got.Get("changed").Bool() || got.Get("verdict").String() != "stuck" {
		t.Errorf("got %s", got)
	}
	expectFinished(t, lab, instance)
	expectFiles(t, backups, 1)
}

func TestEverySessionFirstAsksForWhatTheOtherNodesOfAGaleraHaveCommitted(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "aaaaaaa1-0000-4000-8000-000000000000"
	lab.NewInstance(t, uuid)
	sessions := 0
	for _, statement := range seen(t, lab, t.TempDir(), uuid, nil) {
		switch {
		case statement == "SET SESSION wsrep_sync_wait = 7":
			sessions++
		case sessions == 0 && !strings.HasPrefix(statement, "SET "):
			t.Errorf("before it: %s", statement)
		}
	}
	if sessions < 2 {
		t.Errorf("asked in %d sessions: the proxy sees that of the API database and that of cell1", sessions)
	}
}
