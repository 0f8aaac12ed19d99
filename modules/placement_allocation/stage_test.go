package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
	"nova-orphan/internal/placement"
)

// stage is a cloud, fake or real, with two hosts' trees and a shared storage made
// for one test, and a proxy by way of which the module sees it.
type stage struct {
	t       *testing.T
	client  *placement.Client
	service *gophercloud.ServiceClient
	proxy   *openstacktest.Proxy
	nova    novaStage
	folder  string
	// host has a child; other is the second host.
	host, child, other, storage string
	consumer                    string
}

// novaStage is what a test can do to Nova behind the module's back.
type novaStage interface {
	// boot makes a server, alive on this hypervisor, and returns its uuid.
	boot(hypervisor string) string
	// vanish deletes it, revive brings it back.
	vanish(uuid string)
	revive(uuid string)
	// evacuated is a migration of it from that host, done.
	evacuated(uuid, from string)
}

// newStage is in the cloud of the OS_* environment.
func newStage(t *testing.T, nova novaStage) *stage {
	t.Helper()
	cloud, err := openstack.Connect(stageContext(t), openstack.Auth{}, func(...string) {})
	if err != nil {
		t.Fatal(err)
	}
	service, err := cloud.Placement()
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{
		t: t, client: placement.New(service), service: service, nova: nova, folder: t.TempDir(), consumer: randomUUID(),
		proxy: openstacktest.NewProxy(os.Getenv("OS_AUTH_URL")),
	}
	t.Cleanup(s.proxy.Close)
	s.host = s.newProvider("host", "")
	s.child = s.newProvider("child", s.host)
	s.other = s.newProvider("other", "")
	s.storage = s.newProvider("storage", "")
	return s
}

func newFakeStage(t *testing.T) *stage {
	t.Helper()
	cloud := openstacktest.New()
	t.Cleanup(cloud.Close)
	for name, value := range cloud.Environment() {
		t.Setenv(name, value)
	}
	return newStage(t, fakeNova{cloud})
}

func stageContext(t *testing.T) context.Context {
	t.Helper()
	// Not t.Context(), which has ended when the clean-up runs.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

type fakeNova struct{ cloud *openstacktest.Cloud }

func (n fakeNova) boot(hypervisor string) string {
	uuid := randomUUID()
	n.cloud.Do(func() { n.cloud.Servers[uuid] = openstacktest.Server{Status: "ACTIVE", Host: hypervisor} })
	return uuid
}

func (n fakeNova) vanish(uuid string) { n.cloud.Do(func() { delete(n.cloud.Servers, uuid) }) }

func (n fakeNova) revive(uuid string) {
	n.cloud.Do(func() { n.cloud.Servers[uuid] = openstacktest.Server{Status: "ACTIVE", Host: "host"} })
}

func (n fakeNova) evacuated(uuid, from string) {
	n.cloud.Do(func() {
		n.cloud.Migrations = append(n.cloud.Migrations, openstacktest.Migration{
			UUID: randomUUID(), Type: "evacuation", Status: "done", Instance: uuid, SourceHost: from, SourceNode: from,
		})
	})
}

// newProvider is named KIND-UUID.
func (s *stage) newProvider(kind, parent string) string {
	s.t.Helper()
	uuid := randomUUID()
	options := resourceproviders.CreateOpts{Name: kind + "-" + uuid, UUID: uuid, ParentProviderUUID: parent}
	if err := resourceproviders.Create(stageContext(s.t), s.service, options).Err; err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		// What a test has left there goes first, in the order of the consumers.
		consumers, _ := s.client.Consumers(stageContext(s.t), uuid)
		for consumer := range consumers {
			s.set(consumer, nil)
		}
		if err := resourceproviders.Delete(stageContext(s.t), s.service, uuid).ExtractErr(); err != nil {
			s.t.Error(err)
		}
	})
	s.resize(uuid, 8)
	return uuid
}

// resize gives a provider this many VCPU, which may be less than are in use.
func (s *stage) resize(provider string, total int) {
	s.t.Helper()
	generation := 0
	if found, err := s.client.Provider(stageContext(s.t), provider, true); err == nil {
		generation = found.Generation
	}
	options := resourceproviders.UpdateInventoriesOpts{ResourceProviderGeneration: generation, Inventories: map[string]resourceproviders.Inventory{
		"VCPU": {Total: total, MaxUnit: 8, MinUnit: 1, StepSize: 1, AllocationRatio: 1},
	}}
	if err := resourceproviders.UpdateInventories(stageContext(s.t), s.service, provider, options).Err; err != nil {
		s.t.Fatal(err)
	}
}

func name(kind, uuid string) string { return kind + "-" + uuid }

// holdings is what a consumer holds, as VCPU by provider.
type holdings map[string]int

// set makes this all that a consumer holds, behind the module's back.
func (s *stage) set(consumer string, held holdings) {
	s.t.Helper()
	now, err := s.client.Allocation(stageContext(s.t), consumer)
	if err != nil {
		s.t.Fatal(err)
	}
	if now.Empty() && len(held) == 0 {
		return
	}
	now.ProjectID, now.UserID, now.Providers = "p", "u", map[string]placement.Resources{}
	for provider, amount := range held {
		now.Providers[provider] = placement.Resources{"VCPU": amount}
	}
	if err := s.client.Replace(stageContext(s.t), now); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) holds(consumer string) holdings {
	s.t.Helper()
	now, err := s.client.Allocation(stageContext(s.t), consumer)
	if err != nil {
		s.t.Fatal(err)
	}
	held := holdings{}
	for provider, resources := range now.Providers {
		held[provider] = resources["VCPU"]
	}
	return held
}

// process is the module in its own process.
type process struct {
	t       *testing.T
	command *exec.Cmd
	stdout  *bytes.Buffer
	ended   chan struct{}
}

type arguments map[string]any

// start calls the module as Ansible does.
func (s *stage) start(options arguments) *process {
	s.t.Helper()
	all := arguments{"backup_dir": filepath.Join(s.folder, "backups"), "timeout": 20}
	for option, value := range options {
		all[option] = value
	}
	return startModule(s.t, all, append(os.Environ(), "OS_AUTH_URL="+s.proxy.AuthURL()))
}

func startModule(t *testing.T, options arguments, environment []string) *process {
	t.Helper()
	content, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.CreateTemp(t.TempDir(), "arguments")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(content); err != nil {
		t.Fatal(err)
	}
	file.Close()
	r := &process{t: t, command: exec.Command("placement_allocation", file.Name()), stdout: &bytes.Buffer{}, ended: make(chan struct{})}
	r.command.Stdout, r.command.Stderr, r.command.Env = r.stdout, r.stdout, environment
	if err := r.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.ended)
		_ = r.command.Wait() // the exit status is looked at where it matters
	}()
	return r
}

// kill is SIGKILL, and the certainty that the process is no more.
func (r *process) kill() {
	_ = r.command.Process.Kill()
	<-r.ended
}

// answer waits for the one JSON object.
func (r *process) answer() gjson.Result {
	r.t.Helper()
	<-r.ended
	line, rest, _ := strings.Cut(r.stdout.String(), "\n")
	answer := gjson.Parse(line)
	if rest != "" || !gjson.Valid(line) || !answer.IsObject() {
		r.t.Fatalf("it is not one JSON object: %q", r.stdout.String())
	}
	if code := r.command.ProcessState.ExitCode(); answer.Get("failed").Bool() != (code == 1) || code > 1 {
		r.t.Fatalf("exit status %d: %s", code, line)
	}
	return answer
}

// done wants success, refused a failure with these words.
func (r *process) done(changed bool) gjson.Result {
	r.t.Helper()
	answer := r.answer()
	if answer.Get("failed").Bool() || answer.Get("changed").Bool() != changed {
		r.t.Errorf("want success with changed %v, got %s", changed, answer)
	}
	return answer
}

func (r *process) refused(changed bool, words ...string) gjson.Result {
	r.t.Helper()
	answer := r.answer()
	for _, want := range words {
		if !strings.Contains(answer.Get("msg").String(), want) {
			r.t.Errorf("want %q in the message, got %s", want, answer)
		}
	}
	if !answer.Get("failed").Bool() || answer.Get("changed").Bool() != changed {
		r.t.Errorf("want a failure with changed %v, got %s", changed, answer)
	}
	return answer
}

// backups are the files of a consumer, the oldest first.
func (s *stage) backups(consumer string) []string {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.folder, "backups", consumer, "*.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	return files
}

func (s *stage) wants(consumer string, want holdings) {
	s.t.Helper()
	if got := s.holds(consumer); fmt.Sprint(got) != fmt.Sprint(want) {
		s.t.Errorf("%s holds %v, want %v", consumer, got, want)
	}
}

func randomUUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // version 4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
