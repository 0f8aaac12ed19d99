package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestWhatIsSavedIsPutBackByItsContent(t *testing.T) { testSaved(newFakeStage(t)) }

func testSaved(s *stage) {
	s.t.Helper()
	held := holdings{s.host: 2, s.child: 1, s.storage: 1}
	s.set(s.consumer, held)
	s.proxy.Passed()
	s.start(arguments{"consumer": s.consumer, "state": saved, "_ansible_check_mode": true}).Done(false)
	if files, err := os.ReadDir(s.folder + "/backups"); err == nil {
		s.t.Errorf("a check has written %v", files)
	}
	s.start(arguments{"consumer": s.consumer, "state": saved}).Done(false)
	if writes := openstacktest.Writes(s.proxy.Passed()); len(writes) > 0 {
		s.t.Errorf("it sent %v", writes)
	}
	s.wants(s.consumer, held)
	file := s.backups(s.consumer)[0]
	content, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := os.Remove(file); err != nil { // its content is all that the restore has
		s.t.Fatal(err)
	}
	s.set(s.consumer, nil)
	restore := arguments{"state": present, "backup_content": map[string]any{s.consumer: base64.StdEncoding.EncodeToString(content)}}
	s.start(restore).Done(true)
	s.wants(s.consumer, held)
	s.start(restore).Done(false)

	// A part of it was taken since: put back. Something else is held by now: refused.
	s.set(s.consumer, holdings{s.host: 2})
	s.start(restore).Done(true)
	s.wants(s.consumer, held)
	s.set(s.consumer, holdings{s.other: 1})
	s.start(restore).Failed(false, "holds something else by now on "+named("other", s.other))
	s.wants(s.consumer, holdings{s.other: 1})
}

func TestOnlyTheMigrationsOfTheInstanceThatIsNamedAreAsked(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	cloud.AddProvider("compute1", compute1, "", map[string]int{"VCPU": 8})
	consumers := map[string]string{"over": openstacktest.UUID(), "in flight": openstacktest.UUID()}
	instance := openstacktest.UUID()
	for status, consumer := range map[string]string{"done": consumers["over"], "migrating": consumers["in flight"]} {
		cloud.Allocate(consumer, compute1, map[string]int{"VCPU": 1})
		cloud.Migrations = append(cloud.Migrations, openstacktest.Migration{UUID: consumer, Status: status, Instance: instance,
			Updated: time.Now()})
	}
	call := func(consumer string) string {
		return ansibletest.Call(t, module(), map[string]any{
			"consumer": consumer, "instance_uuid": strings.ToUpper(instance), "state": absent, "backup_dir": t.TempDir(),
		}).Get("msg").String()
	}
	if got := call(consumers["over"]); !strings.Contains(got, "remove the allocation of "+consumers["over"]) {
		t.Errorf("got %s", got)
	}
	if got := call(consumers["in flight"]); !strings.Contains(got, "is a migration of "+instance+" in status migrating") {
		t.Errorf("got %s", got)
	}
	for _, request := range cloud.Requests() {
		if strings.Contains(request, "/os-migrations") && !strings.Contains(request, "instance_uuid="+instance) {
			t.Errorf("it asked %s", request)
		}
	}
}

func TestOfAListThatIsRestoredEachIsDoneForItself(t *testing.T) {
	s := newFakeStage(t)
	changed, damaged, noProvider, held := openstacktest.UUID(), openstacktest.UUID(), openstacktest.UUID(), holdings{s.host: 1, s.storage: 1}
	contents, gone := map[string]any{}, openstacktest.UUID()
	for _, consumer := range []string{s.consumer, changed, damaged, noProvider} {
		s.set(consumer, held)
		s.start(arguments{"consumer": consumer, "state": saved}).Done(false)
		content := ansibletest.Contents(t, s.folder+"/backups", consumer)[0]
		switch consumer {
		case damaged:
			content = content[:len(content)/2]
		case noProvider:
			content = []byte(strings.ReplaceAll(string(content), s.storage, gone))
		}
		contents[consumer] = base64.StdEncoding.EncodeToString(content)
		s.set(consumer, nil)
	}
	s.set(s.consumer, holdings{s.host: 1})
	s.set(changed, holdings{s.host: 2})
	list := []string{s.consumer, changed, damaged, noProvider}
	restore := arguments{"consumer": list, "state": present, "backup_content": contents}
	answer := s.start(restore).Failed(true, "3 of 4 consumers failed", "holds something else by now", "is no backup of nova-orphan", gone)
	if got := answer.Get("consumers.#.failed").Raw; got != "[false,true,true,true]" {
		t.Errorf("failed are %s", got)
	}
	if got := answer.Get("consumers.#.verdict").Raw; got != `["","","unknown",""]` {
		t.Errorf("the verdicts are %s", got)
	}
	s.wants(s.consumer, held)
	s.wants(changed, holdings{s.host: 2})
	s.wants(damaged, nil)
	s.wants(noProvider, nil)
	if got := fmt.Sprint(ansibletest.Kinds(t, s.folder+"/backups", s.consumer)); got != "[saved restore]" {
		t.Errorf("the backups are %s", got)
	}
	delete(restore, "consumer") // they are those of the backups
	s.start(restore).Failed(false, "3 of 4 consumers failed")
}
