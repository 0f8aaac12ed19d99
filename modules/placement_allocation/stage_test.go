package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"

	"nova-orphan/internal/ansible/ansibletest"
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
	service := openstacktest.Client(t, (*openstack.Cloud).Placement)
	s := &stage{
		t: t, client: placement.New(service), service: service, nova: nova, folder: t.TempDir(), consumer: openstacktest.UUID(),
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
	cloud := openstacktest.NewInEnvironment(t)
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
	uuid := openstacktest.UUID()
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
			UUID: openstacktest.UUID(), Type: "evacuation", Status: "done", Instance: uuid, SourceHost: from, SourceNode: from,
		})
	})
}

// newProvider is named KIND-UUID.
func (s *stage) newProvider(kind, parent string) string {
	s.t.Helper()
	uuid := openstacktest.UUID()
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
	if found, err := s.client.Provider(stageContext(s.t), provider); err == nil {
		generation = found.Generation
	}
	options := resourceproviders.UpdateInventoriesOpts{ResourceProviderGeneration: generation,
		Inventories: map[string]resourceproviders.Inventory{
			"VCPU": {Total: total, MaxUnit: 8, MinUnit: 1, StepSize: 1, AllocationRatio: 1},
		}}
	if err := resourceproviders.UpdateInventories(stageContext(s.t), s.service, provider, options).Err; err != nil {
		s.t.Fatal(err)
	}
}

func named(kind, uuid string) string { return kind + "-" + uuid }

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

type arguments map[string]any

// start calls the module as Ansible does.
func (s *stage) start(options arguments) *ansibletest.Process {
	s.t.Helper()
	all := arguments{"backup_dir": filepath.Join(s.folder, "backups"), "timeout": 20}
	for option, value := range options {
		all[option] = value
	}
	return ansibletest.Start(s.t, name, all, append(os.Environ(), "OS_AUTH_URL="+s.proxy.AuthURL()))
}

// backups are the files of a consumer, the oldest first.
func (s *stage) backups(consumer string) []string {
	s.t.Helper()
	return ansibletest.Backups(s.t, filepath.Join(s.folder, "backups"), consumer)
}

func (s *stage) wants(consumer string, want holdings) {
	s.t.Helper()
	if got := s.holds(consumer); fmt.Sprint(got) != fmt.Sprint(want) {
		s.t.Errorf("%s holds %v, want %v", consumer, got, want)
	}
}
