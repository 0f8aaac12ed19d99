//go:build lab

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/orphan"
)

// policy is a service's, with the documented rules for the role nova_orphan.
type policy struct {
	t       *testing.T
	service string
	rules   []string
}

func documentedPolicy(t *testing.T, service string) policy {
	t.Helper()
	content, err := os.ReadFile("testdata/policy/" + service + ".rules")
	if err != nil {
		t.Fatal(err)
	}
	p := policy{t, service, strings.Split(strings.TrimSpace(string(content)), "\n")}
	t.Cleanup(func() { _ = os.Remove(p.file()) })
	return p
}

func (p policy) file() string {
	return filepath.Join("/etc", p.service, "policy.d", "nova-orphan.yaml")
}

// apply gives the role these rules; the service reads them with its next request.
func (p policy) apply(rules []string) {
	p.t.Helper()
	if err := os.WriteFile(p.file(), []byte(strings.Join(append(rules, ""), "\n")), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// becomeKeeper makes a user who has the role nova_orphan and no other, as whom the module is called from here on.
func becomeKeeper(t *testing.T) {
	t.Helper()
	openstack := func(arguments string) {
		t.Helper()
		if output, err := exec.Command("openstack", strings.Fields(arguments)...).CombinedOutput(); err != nil {
			t.Fatalf("openstack %s: %v: %s", arguments, err, output)
		}
	}
	openstack("role create nova_orphan")
	t.Cleanup(func() { openstack("role delete nova_orphan") })
	openstack("user create --password keeper keeper")
	t.Cleanup(func() { openstack("user delete keeper") })
	openstack("role add --user keeper --project service nova_orphan")
	t.Setenv("OS_USERNAME", "keeper")
	t.Setenv("OS_PASSWORD", "keeper")
	t.Setenv("OS_PROJECT_NAME", "service")
}

func TestTheDocumentedPolicyIsEnoughAndNoRuleIsTooMany(t *testing.T) {
	s := newRealStage(t)
	placement, nova := documentedPolicy(t, "placement"), documentedPolicy(t, "nova")
	becomeKeeper(t)
	// round shows a provider and removes a consumer, and returns the first answer that failed.
	round := func() gjson.Result {
		t.Helper()
		s.set(s.consumer, holdings{s.host: 1})
		for _, options := range []arguments{{"resource_provider": s.host}, s.removal()} {
			if answer := s.start(options).Answer(); answer.Get("failed").Bool() {
				return answer
			}
		}
		s.wants(s.consumer, holdings{})
		return gjson.Result{}
	}
	placement.apply(placement.rules)
	nova.apply(nova.rules)
	if failed := round(); failed.Exists() {
		t.Fatalf("with all rules: %s", failed)
	}
	if testing.Short() {
		return // one without the other: make minimal
	}
	for _, p := range []policy{placement, nova} {
		for i, rule := range p.rules {
			p.apply(slices.Delete(slices.Clone(p.rules), i, i+1))
			if failed := round(); !failed.Exists() {
				t.Errorf("it works without: %s", rule)
			} else if !strings.Contains(failed.Get("msg").String(), "403 Forbidden") {
				t.Errorf("without %s: %s", rule, failed)
			}
			p.apply(p.rules)
		}
	}
	t.Logf("rules of SECURITY.md, each needed: %d", len(placement.rules)+len(nova.rules))
}

// With all that can be granted to a user who is no administrator, Nova lists servers of all projects, but not
// those that can be restored, and answers 404 when asked for one.
func TestAServerThatNovaHidesFromTheUserIsNotTakenForGone(t *testing.T) {
	s, cell0 := newRealStage(t), &realNova{t: t}
	server := cell0.boot("")
	s.set(server, holdings{s.host: 1})
	placement, nova := documentedPolicy(t, "placement"), documentedPolicy(t, "nova")
	becomeKeeper(t)
	placement.apply(placement.rules)
	refused := func(verdict orphan.Verdict, words ...string) {
		t.Helper()
		answer := s.start(arguments{"consumer": server, "state": "absent"}).Failed(false, words...)
		if answer.Get("verdict").String() != string(verdict) {
			t.Errorf("got %s", answer)
		}
	}
	var all []string
	for _, rule := range []string{
		"servers:show", "servers:index", "servers:index:get_all_tenants", "servers:detail", "servers:detail:get_all_tenants",
		"servers:allow_all_filters", "os-extended-server-attributes", "os-migrations:index",
	} {
		all = append(all, `"os_compute_api:`+rule+`": "role:admin or role:nova_orphan"`)
	}
	nova.apply(all)
	refused(orphan.Live, server+" is a server that Nova's API knows")
	cell0.sql("UPDATE instances SET vm_state = 'soft-delete' WHERE uuid = '%s'", server)
	refused(orphan.Unknown, "cannot tell whether "+server+" is alive", "Only administrators may list deleted instances")
	nova.apply(nova.rules)
	refused(orphan.Live, server+" is a server that Nova's API knows")
	s.wants(server, holdings{s.host: 1})
}

func TestAServerThatHasLostItsMappingIsNotTakenForGone(t *testing.T) {
	s, nova := newRealStage(t), &realNova{t: t}
	server := nova.boot("")
	s.set(server, holdings{s.host: 1})
	mapped := func(cell string) {
		nova.sql("UPDATE nova_api.instance_mappings SET cell_id = %s WHERE instance_uuid = '%s'", cell, server)
	}
	t.Cleanup(func() { mapped("(SELECT id FROM nova_api.cell_mappings WHERE name = 'cell0')") })
	mapped("NULL")
	answer := s.start(arguments{"consumer": server, "state": "absent"}).Failed(false, server+" is a server that Nova's API knows")
	if answer.Get("verdict").String() != string(orphan.Live) {
		t.Errorf("got %s", answer)
	}
	s.wants(server, holdings{s.host: 1})
}
