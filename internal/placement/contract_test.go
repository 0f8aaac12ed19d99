package placement_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/resourceproviders"

	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
	"nova-orphan/internal/placement"
)

func TestTheFakePlacementKeepsTheContract(t *testing.T) {
	openstacktest.NewInEnvironment(t)
	testContract(t)
}

func TestAPlacementThatIsOlderThanConsumerTypesIsAskedForThemOnce(t *testing.T) {
	cloud := openstacktest.NewInEnvironment(t)
	cloud.BeforeTypes = true
	w := newWorld(t)
	cloud.Requests()
	if now := w.holding(t); now.Type != "" || now.Generation == nil {
		t.Errorf("got %+v", now)
	}
	w.now(t)
	if asked := cloud.Requests(); len(asked) != 4 { // the write, the read twice, and the second one once
		t.Errorf("it asked %v", asked)
	}
}

// world is a tree of providers (a root, a child), a sharing provider and a
// second root, made for one test in the Placement of the OS_* environment.
type world struct {
	*placement.Client
	service                      *gophercloud.ServiceClient
	root, child, sharing, second string
	consumer                     string
}

func testContract(t *testing.T) {
	for name, test := range map[string]func(*testing.T, *world){
		"a consumer that holds nothing reads as empty":            readsAsEmpty,
		"what is written is read back":                            isReadBack,
		"a tree is a root and its children":                       isATree,
		"a provider is found by uuid and by name":                 isFound,
		"a provider lists its consumers":                          listsConsumers,
		"one tree is taken out and the rest stays":                takesOneTree,
		"a removal leaves nothing, and can be made good":          removes,
		"a wrong consumer generation is a concurrent conflict":    refusesGeneration,
		"more than the capacity is a conflict, not a race":        refusesCapacity,
		"an unknown resource class is refused, not a conflict":    refusesClass,
		"to remove what is not there is an error, not a write":    refusesEmpty,
		"a consumer that was written at 1.28 is of no known type": tellsType,
		"an unknown provider has no consumers, which is no gap":   refusesProvider,
	} {
		t.Run(name, func(t *testing.T) { test(t, newWorld(t)) })
	}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	service := openstacktest.Client(t, (*openstack.Cloud).Placement)
	w := &world{Client: placement.New(service), service: service, consumer: openstacktest.UUID()}
	t.Cleanup(func() { w.remove(t) })
	w.root = w.newProvider(t, "root", "", "VCPU", "MEMORY_MB")
	w.child = w.newProvider(t, "child", w.root, "VGPU")
	w.sharing = w.newProvider(t, "sharing", "", "DISK_GB")
	w.give(t, w.sharing, "MISC_SHARES_VIA_AGGREGATE")
	w.second = w.newProvider(t, "second", "", "VCPU", "MEMORY_MB")
	w.give(t, w.second, "COMPUTE_NODE")
	return w
}

func (w *world) newProvider(t *testing.T, kind, parent string, classes ...string) string {
	t.Helper()
	uuid := openstacktest.UUID()
	options := resourceproviders.CreateOpts{Name: name(kind, uuid), UUID: uuid, ParentProviderUUID: parent}
	made := resourceproviders.Create(openstacktest.Context(t), w.service, options)
	if made.Err != nil {
		t.Fatal(made.Err)
	}
	inventories := map[string]resourceproviders.Inventory{}
	for _, class := range classes {
		inventories[class] = resourceproviders.Inventory{Total: 8, MaxUnit: 8, MinUnit: 1, StepSize: 1, AllocationRatio: 1}
	}
	update := resourceproviders.UpdateInventoriesOpts{Inventories: inventories}
	if err := resourceproviders.UpdateInventories(openstacktest.Context(t), w.service, uuid, update).Err; err != nil {
		t.Fatal(err)
	}
	return uuid
}

// give a provider a trait.
func (w *world) give(t *testing.T, provider, trait string) {
	t.Helper()
	found, err := w.Provider(openstacktest.Context(t), provider)
	if err != nil {
		t.Fatal(err)
	}
	update := resourceproviders.UpdateTraitsOpts{ResourceProviderGeneration: found.Generation, Traits: []string{trait}}
	if err := resourceproviders.UpdateTraits(openstacktest.Context(t), w.service, provider, update).Err; err != nil {
		t.Fatal(err)
	}
}

func name(kind, uuid string) string { return "test-" + kind + "-" + uuid }

func (w *world) remove(t *testing.T) {
	now, err := w.Allocation(openstacktest.Context(t), w.consumer)
	if err != nil {
		t.Error(err)
	}
	if !now.Empty() {
		now.Providers = nil
		if err := w.Replace(openstacktest.Context(t), now); err != nil {
			t.Error(err)
		}
	}
	for _, uuid := range []string{w.child, w.root, w.sharing, w.second} {
		if uuid == "" {
			continue
		}
		if err := resourceproviders.Delete(openstacktest.Context(t), w.service, uuid).ExtractErr(); err != nil {
			t.Error(err)
		}
	}
}

// holding gives the consumer something on the root, the child, the sharing and
// the second provider: a doubled allocation, as an evacuation leaves it.
func (w *world) holding(t *testing.T) placement.Allocation {
	t.Helper()
	err := w.Replace(openstacktest.Context(t), placement.Allocation{Consumer: w.consumer, ProjectID: "project", UserID: "user",
		Providers: map[string]placement.Resources{
			w.root: {"VCPU": 2, "MEMORY_MB": 4}, w.child: {"VGPU": 1}, w.sharing: {"DISK_GB": 3}, w.second: {"VCPU": 2, "MEMORY_MB": 4},
		}})
	if err != nil {
		t.Fatal(err)
	}
	return w.now(t)
}

func (w *world) now(t *testing.T) placement.Allocation {
	t.Helper()
	now, err := w.Allocation(openstacktest.Context(t), w.consumer)
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func readsAsEmpty(t *testing.T, w *world) {
	now := w.now(t)
	if !now.Empty() || now.Generation != nil || now.ProjectID != "" || now.Consumer != w.consumer {
		t.Errorf("got %+v", now)
	}
}

func isReadBack(t *testing.T, w *world) {
	now := w.holding(t)
	want := placement.Allocation{Consumer: w.consumer, ProjectID: "project", UserID: "user", Type: "unknown", Generation: now.Generation,
		Providers: map[string]placement.Resources{
			w.root: {"VCPU": 2, "MEMORY_MB": 4}, w.child: {"VGPU": 1}, w.sharing: {"DISK_GB": 3}, w.second: {"VCPU": 2, "MEMORY_MB": 4},
		}}
	if diff := cmp.Diff(want, now); diff != "" || now.Generation == nil {
		t.Errorf("generation %v, %s", now.Generation, diff)
	}
}

func isATree(t *testing.T, w *world) {
	for _, of := range []string{w.root, w.child} {
		tree, err := w.Tree(openstacktest.Context(t), of)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, provider := range tree {
			got[provider.UUID] = provider.Name
			if provider.Root != w.root {
				t.Errorf("the root of %s is %s", provider.UUID, provider.Root)
			}
		}
		want := map[string]string{w.root: name("root", w.root), w.child: name("child", w.child)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if tree, err := w.Tree(openstacktest.Context(t), openstacktest.UUID()); err != nil || len(tree) > 0 {
		t.Errorf("an unknown provider: got %v, %v", tree, err)
	}
}

func isFound(t *testing.T, w *world) {
	for _, asked := range []string{w.child, strings.ToUpper(w.child), name("child", w.child)} {
		found, err := w.Provider(openstacktest.Context(t), asked)
		if err != nil || found.UUID != w.child || found.Name != name("child", w.child) {
			t.Errorf("%s: got %+v, %v", asked, found, err)
		}
	}
	for _, asked := range []string{"no-such-provider", name("child", w.child) + "x", openstacktest.UUID()} {
		if found, err := w.Provider(openstacktest.Context(t), asked); !errors.Is(err, placement.ErrNoProvider) {
			t.Errorf("%s: got %+v, %v", asked, found, err)
		}
	}
}

func listsConsumers(t *testing.T, w *world) {
	w.holding(t)
	got, err := w.Consumers(openstacktest.Context(t), w.child)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]placement.Resources{w.consumer: {"VGPU": 1}}, got); diff != "" {
		t.Error(diff)
	}
}

func takesOneTree(t *testing.T, w *world) {
	before := w.holding(t)
	if err := w.Replace(openstacktest.Context(t), before.Without([]string{w.root, w.child})); err != nil {
		t.Fatal(err)
	}
	now := w.now(t)
	want := map[string]placement.Resources{w.sharing: {"DISK_GB": 3}, w.second: {"VCPU": 2, "MEMORY_MB": 4}}
	if diff := cmp.Diff(want, now.Providers); diff != "" {
		t.Error(diff)
	}
	if now.Generation == nil || *now.Generation <= *before.Generation {
		t.Errorf("the generation went from %d to %v", *before.Generation, now.Generation)
	}
}

func removes(t *testing.T, w *world) {
	before := w.holding(t)
	gone := before
	gone.Providers = nil
	if err := w.Replace(openstacktest.Context(t), gone); err != nil {
		t.Fatal(err)
	}
	readsAsEmpty(t, w)
	before.Generation = nil
	if err := w.Replace(openstacktest.Context(t), before); err != nil {
		t.Fatal(err)
	}
	if now := w.now(t); !now.Equal(before) {
		t.Errorf("got %+v", now)
	}
}

func refusesGeneration(t *testing.T, w *world) {
	now := w.holding(t)
	wrong := *now.Generation + 7
	for name, generation := range map[string]*int{"wrong": &wrong, "none": nil} {
		now.Generation = generation
		assertConflict(t, name, w.Replace(openstacktest.Context(t), now), true)
	}
	now.Consumer, now.Generation = openstacktest.UUID(), &wrong
	assertConflict(t, "a consumer that is gone", w.Replace(openstacktest.Context(t), now), true)
}

func refusesCapacity(t *testing.T, w *world) {
	before := w.holding(t)
	assertConflict(t, "capacity", w.Replace(openstacktest.Context(t), before.With(w.root, placement.Resources{"VCPU": 9})), false)
	assertConflict(t, "no inventory", w.Replace(openstacktest.Context(t), before.With(w.root, placement.Resources{"PCPU": 1})), false)
	if now := w.now(t); !now.Equal(before) {
		t.Errorf("changed all the same: %+v", now)
	}
}

func assertConflict(t *testing.T, name string, err error, concurrent bool) {
	t.Helper()
	var conflict *placement.ConflictError
	if !errors.As(err, &conflict) {
		t.Errorf("%s: got %v", name, err)
		return
	}
	if conflict.Concurrent != concurrent || conflict.Detail == "" || strings.Contains(conflict.Detail, "\n") {
		t.Errorf("%s: got %+v", name, conflict)
	}
}

func refusesClass(t *testing.T, w *world) {
	err := w.Replace(openstacktest.Context(t), w.holding(t).With(w.root, placement.Resources{"CUSTOM_TEST_NOT_THERE": 1}))
	var failure *openstack.Failure
	if !errors.As(err, &failure) || failure.Status != 400 || openstack.Uncertain(err) {
		t.Errorf("got %v", err)
	}
}

func refusesEmpty(t *testing.T, w *world) {
	if err := w.Replace(openstacktest.Context(t), w.now(t)); err == nil {
		t.Error("wrote an empty allocation for a consumer that holds nothing")
	}
	// Had it left an empty consumer behind, this one would meet its generation.
	w.holding(t)
}

func tellsType(t *testing.T, w *world) {
	if now := w.now(t); now.Type != "" {
		t.Errorf("one that holds nothing: got %q", now.Type)
	}
	if now := w.holding(t); now.Type != "unknown" {
		t.Errorf("got %q", now.Type)
	}
}

func refusesProvider(t *testing.T, w *world) {
	if consumers, err := w.Consumers(openstacktest.Context(t), openstacktest.UUID()); !errors.Is(err, placement.ErrNoProvider) {
		t.Errorf("got %v, %v", consumers, err)
	}
}
