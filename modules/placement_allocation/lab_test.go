//go:build lab

package main

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"
	"github.com/rogpeppe/go-internal/testscript"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
	"nova-orphan/internal/placement"
)

// The OS_* environment (an openrc file of an admin) says where the real services are.
func TestTheModuleOnTheRealServices(t *testing.T) {
	if os.Getenv("OS_AUTH_URL") == "" {
		t.Fatal("OS_AUTH_URL is not set: source an openrc file")
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/lab", Cmds: ansibletest.Commands(name), Setup: setUpLab,
	})
}

// setUpLab makes a root and a child for the script, and takes them away again.
func setUpLab(env *testscript.Env) error {
	var names []string
	for _, variable := range os.Environ() {
		if name, value, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "OS_") {
			env.Setenv(name, value)
			names = append(names, name)
		}
	}
	env.Setenv("CALL_ENVIRONMENT", strings.Join(names, " "))
	env.Setenv("HOME", env.WorkDir)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	env.Defer(cancel)
	cloud, err := openstack.Connect(ctx, openstack.Auth{}, func(...string) {})
	if err != nil {
		return err
	}
	service, err := cloud.Placement()
	if err != nil {
		return err
	}
	consumer, root := openstacktest.UUID(), ""
	for _, kind := range []string{"ROOT", "CHILD"} {
		uuid := openstacktest.UUID()
		options := resourceproviders.CreateOpts{Name: "test-" + uuid, UUID: uuid, ParentProviderUUID: root}
		if err := resourceproviders.Create(ctx, service, options).Err; err != nil {
			return err
		}
		env.Defer(func() { _ = resourceproviders.Delete(ctx, service, uuid).ExtractErr() })
		inventory := resourceproviders.UpdateInventoriesOpts{Inventories: map[string]resourceproviders.Inventory{
			"VCPU": {Total: 8, MaxUnit: 8, MinUnit: 1, StepSize: 1, AllocationRatio: 1},
		}}
		if err := resourceproviders.UpdateInventories(ctx, service, uuid, inventory).Err; err != nil {
			return err
		}
		env.Setenv(kind, uuid)
		root = uuid
	}
	env.Setenv("CONSUMER", consumer)
	env.Defer(func() {
		client := placement.New(service)
		if now, err := client.Allocation(ctx, consumer); err == nil && !now.Empty() {
			_ = client.Replace(ctx, now.Without(slices.Sorted(maps.Keys(now.Providers))))
		}
	})
	return nil
}
