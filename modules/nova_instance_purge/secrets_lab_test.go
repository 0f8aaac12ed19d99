//go:build lab

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nova-orphan/internal/nova/novalab"
)

// planted are passwords where the module reads them, each of an account that it
// then uses, or of one that it has no business with.
type planted struct {
	api, base, cell, login, file, query, broker, keystone string
}

func (p planted) all() []string {
	return []string{p.api, p.base, p.cell, p.login, p.file, p.query, p.broker, p.keystone}
}

// written is everything that a call writes: its output and error output, its
// backups, its syslog, and what the process list has of it.
type written struct {
	t       *testing.T
	backups string
	text    bytes.Buffer
}

func (w *written) run(arguments map[string]any) {
	w.t.Helper()
	content, err := json.Marshal(arguments)
	if err != nil {
		w.t.Fatal(err)
	}
	file := filepath.Join(w.t.TempDir(), "arguments.json")
	if err = os.WriteFile(file, content, 0o600); err != nil {
		w.t.Fatal(err)
	}
	output, err := exec.Command(name, file).CombinedOutput()
	if len(output) == 0 || !json.Valid(output) {
		w.t.Errorf("not one JSON object: %v: %s", err, output)
	}
	w.text.Write(output)
}

func (w *written) readBackups() {
	w.t.Helper()
	err := filepath.WalkDir(w.backups, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		w.text.Write(content)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *written) readProcess(pid int) {
	w.t.Helper()
	for _, file := range []string{"cmdline", "environ"} {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
		if err != nil {
			w.t.Fatal(err)
		}
		w.text.Write(content)
	}
}

func TestNoPlantedPasswordIsEverWritten(t *testing.T) {
	lab := novalab.New(t)
	secrets := planted{
		api: "pl4nted@api/pw:1", base: "pl4nted-base%pw2", cell: "pl4nted+cell pw3", login: "pl4nted'login\"pw4",
		file: "pl4nted#file;pw5", query: "pl4ntedquerypw6", broker: "pl4nted-broker-pw7", keystone: "pl4nted-keystone-pw8",
	}
	accounts := map[string]string{"pa": secrets.api, "pb": secrets.base, "pc": secrets.cell, "pl": secrets.login, "pf": secrets.file,
		"pq": secrets.query}
	for user, password := range accounts {
		novalab.Exec(t, lab.API, "CREATE OR REPLACE USER "+user+"@localhost IDENTIFIED BY '"+strings.ReplaceAll(password, "'", "''")+"'")
		t.Cleanup(func() { novalab.Exec(t, lab.API, "DROP USER "+user+"@localhost") })
		for _, database := range []string{"api", "cell0", "cell1"} {
			novalab.Exec(t, lab.API, "GRANT ALL ON "+lab.Prefix+database+".* TO "+user+"@localhost")
		}
	}
	lab.Cloud.Do(func() { lab.Cloud.Secrets = append(lab.Cloud.Secrets, secrets.keystone) })
	environment(t, lab)
	quoted := func(password string) string { return strings.ReplaceAll(url.QueryEscape(password), "+", "%20") }
	optionFile := filepath.Join(t.TempDir(), "my.cnf")
	if err := os.WriteFile(optionFile,
		[]byte("[client]\nuser = pf\npassword = \""+secrets.file+"\"\n[nova]\nuser = pq\npassword = "+secrets.query+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	novalab.Exec(t, lab.API, "UPDATE cell_mappings SET database_connection = ?, transport_url = ? WHERE id = 1",
		lab.URL("pc", quoted(secrets.cell), "cell0"), "rabbit://nova:"+secrets.broker+"@mq/")
	novalab.Exec(t, lab.API, "UPDATE cell_mappings SET database_connection = ? WHERE id = 2",
		"{scheme}://{username}:{password}@{hostname}/"+lab.Prefix+"cell1?{query}")
	conf := func(socket, api string) string {
		path := filepath.Join(t.TempDir(), "nova.conf")
		content := "[DEFAULT]\ntransport_url = rabbit://nova:" + secrets.broker + "@mq/\n[keystone_authtoken]\npassword = " + secrets.keystone +
			"\nauth_url = " + lab.Cloud.AuthURL() + "\nusername = nova\nproject_name = service\n[api_database]\nconnection = " +
			strings.Replace(api, novalab.Socket, socket, 1) +
			"\n[database]\nconnection = " + strings.Replace(lab.URL("pb", quoted(secrets.base), "cell0"), novalab.Socket, socket, 1) + "\n"
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	api := lab.URL("pa", quoted(secrets.api), "api")
	number := 0
	instance := func() string {
		number++
		uuid := fmt.Sprintf("%08x-0000-4000-8000-0000000000f0", 0x90000000+number)
		lab.NewInstance(t, uuid)
		return uuid
	}
	w := &written{t: t, backups: t.TempDir()}
	situations := 0
	run := func(options map[string]any) {
		t.Helper()
		situations++
		all := map[string]any{"backup_dir": w.backups, "timeout": 2, "_ansible_diff": true, "_ansible_verbosity": 4}
		maps.Copy(all, options)
		w.run(all)
	}
	// Each fault of the databases, purging and restoring.
	for _, trouble := range troubles() {
		uuid := instance()
		run(map[string]any{"uuid": uuid, "nova_conf": conf(trouble.proxy(t, lab).Socket, api)})
		run(map[string]any{"uuid": uuid, "nova_conf": conf(novalab.Socket, api)})
		files, err := filepath.Glob(filepath.Join(w.backups, uuid, "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no backup: %v: %s", trouble.name, err, w.text.String())
		}
		slices.Sort(files)
		for _, file := range files {
			run(map[string]any{"uuid": uuid, "nova_conf": conf(trouble.proxy(t, lab).Socket, api), "state": "present", "backup_file": file})
		}
	}
	// Each way to a password, right and wrong.
	login := func(options map[string]any) map[string]any {
		all := map[string]any{"uuid": instance(), "login_unix_socket": novalab.Socket, "login_db": lab.Prefix + "api"}
		maps.Copy(all, options)
		return all
	}
	for id, database := range map[int]string{1: "cell0", 2: "cell1"} {
		novalab.Exec(t, lab.API, "UPDATE cell_mappings SET database_connection = ? WHERE id = ?", lab.URL("pc", quoted(secrets.cell), database),
			id)
	}
	run(login(map[string]any{"login_user": "pl", "login_password": secrets.login}))
	run(login(map[string]any{"login_user": "pa", "login_password": secrets.login}))
	run(login(map[string]any{"login_user": "pl", "login_passwort": "mistyped", "login_password": secrets.login}))
	run(login(map[string]any{"config_file": optionFile}))
	run(login(map[string]any{"config_file": optionFile, "login_user": "pa"}))
	run(login(map[string]any{"login_user": "pl", "login_password": secrets.login, "backup_dir": "/dev/null"}))
	file := lab.URL("", "", "api") + "&read_default_file=" + optionFile + "&read_default_group=nova"
	run(map[string]any{"uuid": instance(), "nova_conf": conf(novalab.Socket, strings.Replace(file, ":@", "", 1))})
	// Each way to spoil the URL that has one.
	for _, broken := range []string{
		lab.URL("pb", quoted(secrets.api), "api"),
		lab.URL("pa", quoted(secrets.api), "no_such_database"),
		strings.Replace(api, "@localhost", "@localhost:None", 1),
		strings.Replace(api, "mysql+pymysql", "postgresql", 1),
		strings.Replace(api, "://", ":/", 1),
		strings.Replace(api, "?", "?%zz=", 1),
		"mysql+pymysql://pa:" + secrets.api + "@localhost/" + lab.Prefix + "api?ssl_ca=/no/ca.pem",
		api + "\n" + quoted(secrets.api),
	} {
		run(map[string]any{"uuid": instance(), "nova_conf": conf(novalab.Socket, broken)})
	}
	for _, mapping := range []string{"postgresql://pc:" + quoted(secrets.cell) + "@db/x",
		"{scheme}://{username}:{password}@{hostname}:{nonsense}/x", "pc:" + secrets.cell, lab.URL("pb", quoted(secrets.cell), "cell0")} {
		novalab.Exec(t, lab.API, "UPDATE cell_mappings SET database_connection = ? WHERE id = 1", mapping)
		run(map[string]any{"uuid": instance(), "nova_conf": conf(novalab.Socket, api)})
	}
	// What the process list has while it runs.
	held := lab.Proxy(t, func(_ int, statement string) novalab.Action {
		return novalab.Action{Hold: strings.HasPrefix(statement, "SELECT")}
	})
	command := start(t, login(map[string]any{"login_unix_socket": held.Socket, "login_user": "pl", "login_password": secrets.login,
		"backup_dir": w.backups}))
	<-held.Held
	w.readProcess(command.Process.Pid)
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	journal, err := exec.Command("journalctl", "--quiet", "--output=export", "--identifier=ansible-"+name, "--since=-10min").Output()
	if err != nil || len(journal) == 0 {
		t.Errorf("the syslog has nothing: %v", err)
	}
	w.text.Write(journal)
	w.readBackups()

	// What is no secret is found: in the answers, the backups, the process list and the syslog.
	for _, control := range []string{`"verdict":`, `"cell_tables":`, name + "\x00", "SYSLOG_IDENTIFIER=ansible-" + name} {
		if !bytes.Contains(w.text.Bytes(), []byte(control)) {
			t.Errorf("%q is not among what was written", control)
		}
	}
	for _, secret := range secrets.all() {
		asJSON, err := json.Marshal(secret)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{secret, quoted(secret), url.QueryEscape(secret), strings.Trim(string(asJSON), `"`)} {
			if at := bytes.Index(w.text.Bytes(), []byte(form)); at >= 0 {
				t.Errorf("%s is written: ...%s", form, w.text.Bytes()[max(0, at-200):min(w.text.Len(), at+80)])
			}
		}
	}
	t.Logf("planted secrets: %d, searched for in %d kB that %d calls wrote", len(secrets.all()), w.text.Len()/1024, situations)
}
