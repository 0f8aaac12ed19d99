//go:build lab

package main

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/nova/novalab"
)

// trouble is what befalls a module on its way through the databases.
type trouble struct {
	name string
	// at is how the statement begins at which it happens.
	at string
	// from and times say at which of these it does; times 0 is at all from there on.
	from, times int
	action      novalab.Action
	// told is in the message of the failure, "" where the module overcomes it; warned is in its warnings.
	told, warned string
	changed      bool
}

const always = 0

func troubles() []trouble {
	refuse := func(number uint16, message string) novalab.Action {
		return novalab.Action{Refuse: number, Message: message}
	}
	const readOnly = "The MariaDB server is running with the --read-only option so it cannot execute this statement"
	return []trouble{
		{name: "the database is lost at the first reading", at: "START TRANSACTION", times: 1, action: novalab.Action{Cut: true}},
		{name: "the database is lost at every reading", at: "START TRANSACTION", times: always, action: novalab.Action{Cut: true},
			told: "read nova's API database"},
		{name: "the database is lost at a write", at: "UPDATE instances", times: 1, action: novalab.Action{Cut: true}},
		{name: "the database is lost in the middle of a cell's writes", at: "UPDATE migrations", times: 1,
			action: novalab.Action{CutAnswer: true}},
		{name: "the database is lost at every write", at: "UPDATE migrations", times: always, action: novalab.Action{CutAnswer: true},
			told: "run the module again"},
		{name: "the API database is lost at its write", at: "UPDATE instance_mappings", times: 1, action: novalab.Action{Cut: true}},
		{name: "the API database is lost at every write", at: "UPDATE instance_mappings", times: always, action: novalab.Action{Cut: true},
			told: "run the module again", changed: true},
		{name: "one deadlock", at: "UPDATE instances", times: 1, action: refuse(1213, "Deadlock found when trying to get lock")},
		{name: "nothing but deadlocks", at: "UPDATE instances", times: always, action: refuse(1213, "Deadlock found when trying to get lock"),
			told: "Error 1213"},
		{name: "one lock wait timeout", at: "SELECT id FROM instances WHERE uuid", times: 1, action: refuse(1205, "Lock wait timeout exceeded")},
		{name: "nothing but lock wait timeouts", at: "SELECT id FROM instances WHERE uuid", times: always,
			action: refuse(1205, "Lock wait timeout exceeded"), told: "Error 1205"},
		{name: "one deadlock in the API database", at: "UPDATE instance_mappings", times: 1,
			action: refuse(1213, "Deadlock found when trying to get lock")},
		{name: "a read-only server", at: "UPDATE instances", times: always, action: refuse(1290, readOnly), told: "takes no writes"},
		{name: "a read-only transaction", at: "UPDATE instances", times: always,
			action: refuse(1792, "Cannot execute statement in a READ ONLY transaction"), told: "takes no writes"},
		{name: "a server in read-only mode", at: "UPDATE instances", times: always, action: refuse(1836, "Running in read-only mode"),
			told: "takes no writes"},
		{name: "a read-only API database", at: "UPDATE instance_mappings", times: always, action: refuse(1290, readOnly),
			told: "the cell is done, the API database is not", changed: true},
		{name: "Galera refuses a commit", at: "COMMIT", times: 1, action: refuse(1213, "Deadlock: wsrep aborted transaction")},
		{name: "Galera refuses every commit", at: "COMMIT", times: always, action: refuse(1213, "Deadlock: wsrep aborted transaction"),
			told: "Error 1213"},
		{name: "Galera refuses the API database's commit", at: "COMMIT", from: 1, times: 1,
			action: refuse(1213, "Deadlock: wsrep aborted transaction")},
		{name: "a Galera node that has lost its cluster", at: "SELECT", times: always,
			action: refuse(1047, "WSREP has not yet prepared node for application use"), told: "Error 1047"},
		{name: "a Galera node that loses its cluster at a commit", at: "COMMIT", times: 1,
			action: refuse(1047, "WSREP has not yet prepared node for application use")},
		{name: "the connection is lost at a commit that did not happen", at: "COMMIT", times: 1, action: novalab.Action{Cut: true}},
		{name: "the connection is lost at a commit that happened", at: "COMMIT", times: 1, action: novalab.Action{CutAnswer: true},
			warned: "read back, it had happened"},
		{name: "the connection is lost at the API database's commit that did not happen", at: "COMMIT", from: 1, times: 1,
			action: novalab.Action{Cut: true}},
		{name: "the connection is lost at the API database's commit that happened", at: "COMMIT", from: 1, times: 1,
			action: novalab.Action{CutAnswer: true}, warned: "read back, it had happened"},
		{name: "the connection is lost at every commit", at: "COMMIT", times: always, action: novalab.Action{Cut: true},
			told: "the outcome of the commit is not known"},
		{name: "the database hangs at a write", at: "UPDATE instances", times: 1, action: novalab.Action{Hold: true},
			told: "not finished within the timeout"},
		{name: "the database hangs at a commit", at: "COMMIT", times: 1, action: novalab.Action{HoldAnswer: true},
			told: "the outcome of the commit is not known"},
		{name: "the table is full", at: "UPDATE instances", times: always, action: refuse(1114, "The table 'instances' is full"),
			told: "Error 1114"},
	}
}

// proxy befalls a module with the trouble.
func (f trouble) proxy(t *testing.T, lab *novalab.Databases) *novalab.Proxy {
	t.Helper()
	met := 0
	return lab.Proxy(t, func(_ int, statement string) novalab.Action {
		if !strings.HasPrefix(statement, f.at) {
			return novalab.Action{}
		}
		met++
		if met <= f.from || f.times > 0 && met > f.from+f.times {
			return novalab.Action{}
		}
		return f.action
	})
}

func (f trouble) expect(t *testing.T, answer gjson.Result) {
	t.Helper()
	if answer.Get("failed").Bool() != (f.told != "") || answer.Get("changed").Bool() != (f.told == "" || f.changed) {
		t.Errorf("failed %v, changed %v: %s", answer.Get("failed"), answer.Get("changed"), answer)
	}
	if !strings.Contains(answer.Get("msg").String(), f.told) {
		t.Errorf("%q is not told: %s", f.told, answer.Get("msg"))
	}
	if !strings.Contains(answer.Get("warnings").String(), f.warned) {
		t.Errorf("%q is not warned of: %s", f.warned, answer.Get("warnings"))
	}
}

func TestEachFaultOfTheDatabaseIsToldAndThenOvercomeByTheNextRun(t *testing.T) {
	lab := novalab.New(t)
	for i, trouble := range troubles() {
		t.Run(trouble.name, func(t *testing.T) {
			uuid := fmt.Sprintf("%08x-0000-4000-d000-000000000000", 0x60000000+i)
			instance, backups := lab.NewInstance(t, uuid), t.TempDir()
			before := lab.Everything(t, uuid)
			timeout := map[string]any{"timeout": 3}

			trouble.expect(t, call(t, trouble.proxy(t, lab).Conf, backups, uuid, false, timeout))
			if again := call(t, lab.Conf, backups, uuid, false, nil); again.Get("failed").Bool() {
				t.Errorf("again: %s", again)
			}
			expectFinished(t, lab, instance)

			file := toRestore(t, backups)
			options := map[string]any{"state": "present", "backup_file": file}
			maps.Copy(options, timeout)
			trouble.expect(t, call(t, trouble.proxy(t, lab).Conf, backups, uuid, false, options))
			if again := back(t, lab, backups, uuid, file, false); again.Get("failed").Bool() {
				t.Errorf("restore again: %s", again)
			}
			if diff := cmp.Diff(before, lab.Everything(t, uuid)); diff != "" {
				t.Errorf("not as it was: %s", diff)
			}
		})
	}
	t.Logf("faults of the database: %d, each in a purge and in a restore", len(troubles()))
}

func TestADatabaseThatIsGoneIsNotAnAbsentInstance(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "eeeeeeee-0000-4000-8000-000000000000"
	lab.NewInstance(t, uuid)
	proxy := lab.Proxy(t, func(int, string) novalab.Action { return novalab.Action{} })
	proxy.Close()
	answer := call(t, proxy.Conf, t.TempDir(), uuid, false, nil)
	if !answer.Get("failed").Bool() || answer.Get("verdict").String() != "unknown" ||
		!strings.Contains(answer.Get("msg").String(), "read nova's API database") {
		t.Errorf("got %s", answer)
	}
}

func TestACellThatHangsMakesTheVerdictUnknownWithinTheTimeout(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "eeeeeee3-0000-4000-8000-000000000000"
	lab.NewInstance(t, uuid)
	file := purged(t, lab, uuid, nil)
	before := lab.Everything(t, uuid)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // the kernel accepts, nobody answers
	lab.Map(t, 3, "33333333-3333-4333-8333-333333333333", "cell3", "mysql+pymysql://nova:pw@"+listener.Addr().String()+"/nova")
	for name, options := range map[string]map[string]any{
		"absent": {"timeout": 4}, "present": {"timeout": 4, "state": "present", "backup_file": file},
	} {
		began := time.Now()
		answer := call(t, lab.Conf, t.TempDir(), uuid, false, options)
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("%s: it took %s", name, took)
		}
		if answer.Get("verdict").String() != "unknown" || !answer.Get("failed").Bool() ||
			!strings.Contains(answer.Get("msg").String(), "cell3: the cell could not be read: no answer within 2s") {
			t.Errorf("%s: %s", name, answer)
		}
		if answer.Get("instance.cell.name").String() != "cell1" {
			t.Errorf("%s: what the other cells have is not told: %s", name, answer)
		}
	}
	if diff := cmp.Diff(before, lab.Everything(t, uuid)); diff != "" {
		t.Errorf("rows were changed: %s", diff)
	}
}

func TestAReadOnlyServerIsTold(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "eeeeeee1-0000-4000-8000-000000000000"
	instance := lab.NewInstance(t, uuid)
	user, password := account(t, lab, map[string]string{"api": "ALL", "cell0": "ALL", "cell1": "ALL"})
	environment(t, lab)
	login := map[string]any{"nova_conf": nil, "login_unix_socket": novalab.Socket, "login_user": user, "login_password": password,
		"login_db": lab.Prefix + "api"}
	for id, name := range map[int]string{1: "cell0", 2: "cell1"} {
		novalab.Exec(t, lab.API, "UPDATE cell_mappings SET database_connection = ? WHERE id = ?", lab.URL("nobody", "wrong", name), id)
	}
	novalab.Exec(t, lab.API, "SET GLOBAL read_only = 1")
	t.Cleanup(func() { novalab.Exec(t, lab.API, "SET GLOBAL read_only = 0") })
	check := call(t, "", t.TempDir(), uuid, true, login)
	real := call(t, "", t.TempDir(), uuid, false, login)
	if check.Get("failed").Bool() || !real.Get("failed").Bool() || real.Get("changed").Bool() ||
		!strings.Contains(real.Get("msg").String(), "takes no writes") {
		t.Errorf("check: %s\nreal: %s", check, real)
	}
	novalab.Exec(t, lab.API, "SET GLOBAL read_only = 0")
	if again := call(t, "", t.TempDir(), uuid, false, login); again.Get("failed").Bool() {
		t.Errorf("again: %s", again)
	}
	expectFinished(t, lab, instance)
}

func TestWithoutRoomForABackupNothingIsChanged(t *testing.T) {
	lab := novalab.New(t)
	const uuid = "eeeeeee2-0000-4000-8000-000000000000"
	instance := lab.NewInstance(t, uuid)
	before := lab.Everything(t, uuid)
	full, readOnly := t.TempDir(), t.TempDir()
	for folder, options := range map[string]string{full: "size=4k", readOnly: "size=1m"} {
		if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, options); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(folder, 0) })
	}
	if err := os.WriteFile(filepath.Join(full, "full"), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", readOnly, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	faults := map[string]string{full: "no space left on device", readOnly: "read-only file system"}
	for folder, want := range faults {
		answer := call(t, lab.Conf, folder, uuid, false, nil)
		if !answer.Get("failed").Bool() || answer.Get("changed").Bool() || !strings.Contains(answer.Get("msg").String(), want) ||
			!strings.Contains(answer.Get("msg").String(), "nothing was changed") {
			t.Errorf("%s: %s", want, answer)
		}
	}
	if diff := cmp.Diff(before, lab.Everything(t, uuid)); diff != "" {
		t.Errorf("rows were changed: %s", diff)
	}
	file := purged(t, lab, uuid, nil)
	expectFinished(t, lab, instance)
	deleted := lab.Everything(t, uuid)
	for folder, want := range faults {
		if answer := back(t, lab, folder, uuid, file, false); !answer.Get("failed").Bool() || answer.Get("changed").Bool() ||
			!strings.Contains(answer.Get("msg").String(), want) {
			t.Errorf("restore, %s: %s", want, answer)
		}
	}
	if diff := cmp.Diff(deleted, lab.Everything(t, uuid)); diff != "" {
		t.Errorf("rows were changed: %s", diff)
	}
}
