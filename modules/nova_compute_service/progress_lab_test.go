//go:build lab

package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nova-orphan/internal/compute/computelab"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/nova/novalab"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/osloconf"
	"nova-orphan/internal/placement"
)

// around asks what is in progress on a host of the lab, and returns what is told of an instance.
func (s *stage) around(host, uuid string, orphans options) (what []string) {
	s.t.Helper()
	more := options{"host": host, "nova_conf": nova.DefaultConf, "instance_uuid": nil}
	if orphans != nil {
		more["orphans"] = orphans
	}
	answer := s.start(more).Done(false)
	if !answer.Get("in_progress").IsArray() {
		s.t.Fatalf("got %s", answer)
	}
	for _, entry := range answer.Get("in_progress").Array() {
		if entry.Get("instance_uuid").String() == uuid {
			what = append(what, entry.Get("what").String())
		}
	}
	return what
}

func (s *stage) wantsAround(what []string, words ...string) {
	s.t.Helper()
	if len(what) != len(words) {
		s.t.Fatalf("got %q, want %q", what, words)
	}
	for i := range words {
		if !strings.Contains(what[i], words[i]) {
			s.t.Errorf("got %q, want %q", what[i], words[i])
		}
	}
}

func TestWhatARestartWouldHarmIsReadInTheRealCloud(t *testing.T) {
	s := newRealStage(t)
	n := s.backstage.(realNova)
	uuid := n.Boot(theHost)
	s.wantsAround(s.around(theHost, uuid, nil))

	t.Run("a task, and an orphan that is left out while it is as it was judged", func(t *testing.T) {
		n.Set(uuid, "vm_state = 'error', task_state = 'deleting'")
		s.wantsAround(s.around(theHost, uuid, nil), "vm_state = error, task_state = deleting")
		s.wantsAround(s.around("compute2", uuid, nil))
		judged := judgedNow(t, uuid)
		s.wantsAround(s.around(theHost, uuid, options{uuid: judged}))
		n.Set(uuid, "updated_at = updated_at + INTERVAL 1 SECOND")
		s.wantsAround(s.around(theHost, uuid, options{uuid: judged}), "task_state = deleting")
		n.Set(uuid, "vm_state = 'active', task_state = NULL")
	})
	t.Run("a migration from and to the host, until it waits for its confirmation", func(*testing.T) {
		migration := openstacktest.UUID()
		n.Migration(uuid, migration, "running")
		for _, column := range []string{"source_compute", "dest_compute"} {
			n.SQL("UPDATE migrations SET source_compute = 'test', dest_compute = NULL WHERE uuid = '%s'", migration)
			s.wantsAround(s.around("compute2", uuid, nil))
			n.SQL("UPDATE migrations SET %s = 'compute2' WHERE uuid = '%s'", column, migration)
			s.wantsAround(s.around("compute2", uuid, nil), "migration "+migration+" from ")
		}
		n.SQL("UPDATE migrations SET status = 'finished', source_compute = 'test' WHERE uuid = '%s'", migration)
		s.wantsAround(s.around("compute2", uuid, nil))
	})
	t.Run("an allocation of which nothing else is known, and an orphan without a row", func(t *testing.T) {
		stranger := openstacktest.UUID()
		allocate(t, stranger, n.Cell("SELECT uuid FROM compute_nodes WHERE host = 'compute2' AND deleted = 0"))
		s.wantsAround(s.around("compute2", stranger, nil))
		s.wantsAround(s.around("compute2", stranger, options{stranger: options{}}))
		s.wantsAround(s.around(theHost, stranger, nil))
	})
	t.Run("an instance on its way to the host", func(t *testing.T) {
		homeless := n.Boot("")
		allocate(t, homeless, n.Cell("SELECT uuid FROM compute_nodes WHERE host = 'compute2' AND deleted = 0"))
		// What a failed build has left is none.
		s.wantsAround(s.around("compute2", homeless, nil))
		n.Set(homeless, "vm_state = 'building', task_state = 'scheduling'")
		s.wantsAround(s.around("compute2", homeless, nil), "task_state = scheduling: sent to compute2, and not there yet")
		n.Set(homeless, "vm_state = 'error', task_state = NULL")
	})
}

// allocate lets a consumer hold a little on a provider of the lab, until the test is over.
func allocate(t *testing.T, consumer, provider string) {
	t.Helper()
	cloud, err := openstack.Connect(t.Context(), openstack.Auth{}, func(...string) {})
	if err != nil {
		t.Fatal(err)
	}
	service, err := cloud.Placement()
	if err != nil {
		t.Fatal(err)
	}
	client := placement.New(service)
	held := placement.Allocation{Consumer: consumer, ProjectID: "test", UserID: "test"}.With(provider, placement.Resources{"MEMORY_MB": 1})
	if err = client.Replace(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// Not t.Context(), which has ended.
		ctx := context.Background()
		held, err := client.Allocation(ctx, consumer)
		if err == nil && !held.Empty() {
			err = client.Replace(ctx, held.Without([]string{provider}))
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// judgedNow is the instance as nova_instance_purge answers it.
func judgedNow(t *testing.T, uuid string) (judged options) {
	t.Helper()
	access, err := nova.FromConf(nova.DefaultConf, func(...string) {})
	if err != nil {
		t.Fatal(err)
	}
	databases, err := nova.Open(access, true)
	if err != nil {
		t.Fatal(err)
	}
	defer databases.Close()
	finding, err := databases.Find(t.Context(), uuid)
	if err != nil {
		t.Fatal(err)
	}
	instance, err := json.Marshal(finding.Instance(orphan.Judgement{Verdict: orphan.Stuck}))
	if err != nil {
		t.Fatal(err)
	}
	if err = json.Unmarshal(instance, &judged); err != nil {
		t.Fatal(err)
	}
	return judged
}

func TestARealBuildIsSeenOnItsWay(t *testing.T) {
	s := newRealStage(t)
	n := computelab.New(t)
	answer := n.Ask("2.74", http.MethodPost, "servers", options{"server": options{
		"name": "test", "imageRef": n.Image(), "networks": "none", "host": "compute2",
		"flavorRef": n.Cell("SELECT flavorid FROM nova_api.flavors WHERE name = 'm1.nano'"),
	}})
	uuid := answer.Get("server.id").String()
	t.Cleanup(func() { n.Remove(uuid) })
	var seen []string
	looks := 0
	for ; n.Status(uuid) == "BUILD"; looks++ {
		seen = append(seen, s.around("compute2", uuid, nil)...)
	}
	t.Logf("%d looks saw %q", looks, seen)
	if len(seen) == 0 || n.Status(uuid) != "ACTIVE" {
		t.Errorf("it is %s, and %d looks have not seen it", n.Status(uuid), looks)
	}
	s.wantsAround(s.around("compute2", uuid, nil))
}

func TestACellOrAPlacementThatCannotBeReadIsAFailure(t *testing.T) {
	s := newRealStage(t)
	t.Run("a cell that is down", func(t *testing.T) {
		lab := novalab.New(t)
		lab.Map(t, 3, "33333333-3333-4333-8333-333333333333", "cell-down", "mysql+pymysql://nova:x@127.0.0.1:1/nova")
		lab.Map(t, 4, "44444444-4444-4444-8444-444444444444", "cell-down-too", "mysql+pymysql://nova:x@127.0.0.1:1/nova")
		s.start(options{"nova_conf": s.conf(t, lab.URL("root", "", "api"), lab.URL("root", "", "cell0"))}).
			Failed(false, "cannot tell what is in progress on "+theHost+": cell-down could not be read: ", "; cell-down-too could not be read: ")
	})
	t.Run("Placement", func(t *testing.T) {
		real, err := osloconf.Load(nova.DefaultConf)
		if err != nil {
			t.Fatal(err)
		}
		api, err := real.Get("api_database", "connection")
		if err != nil {
			t.Fatal(err)
		}
		base, err := real.Get("database", "connection")
		if err != nil {
			t.Fatal(err)
		}
		conf := s.conf(t, api, base)
		s.start(options{"nova_conf": conf}).Done(false)
		const tries = 20 // more than the module and net/http make
		for range tries {
			s.proxy.At(arrived, http.MethodGet, "/resource_providers/", func() bool { return false })
		}
		s.start(options{"nova_conf": conf}).Failed(false, "cannot tell what is in progress on "+theHost, "placement gave no usable answer")
	})
}

// conf is a nova.conf that leads to these databases, and by way of the proxy to the cloud.
func (s *stage) conf(t *testing.T, api, base string) string {
	t.Helper()
	lines := []string{"[api_database]", "connection = " + api, "[database]", "connection = " + base, "[placement]", "auth_url = " +
		s.proxy.AuthURL()}
	for _, name := range []string{"USERNAME", "PASSWORD", "PROJECT_NAME", "USER_DOMAIN_NAME", "PROJECT_DOMAIN_NAME"} {
		lines = append(lines, strings.ToLower(name)+" = "+os.Getenv("OS_"+name))
	}
	path := filepath.Join(t.TempDir(), "nova.conf")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
