package placement_test

import (
	"context"
	"fmt"
	"maps"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
	"nova-orphan/internal/placement"
)

// reader is what reads all of Placement: the Client, and the Database.
type reader interface {
	Survey(context.Context) (*placement.Survey, error)
	Details(context.Context, []string) (map[string]placement.Allocation, error)
}

func TestTheFakePlacementKeepsTheContractOfASurvey(t *testing.T) {
	openstacktest.NewInEnvironment(t)
	testSurvey(t, func(_ *testing.T, w *world) reader { return w.Client })
}

func testSurvey(t *testing.T, of func(*testing.T, *world) reader) {
	for name, test := range map[string]func(*testing.T, *world, reader){
		"a survey knows each provider's tree, and which are shared":      surveysProviders,
		"a survey has what each consumer holds, on every provider":       surveysConsumers,
		"a consumer that holds nothing is in no survey":                  surveysNothing,
		"a consumer is told as Nova writes its uuid":                     surveysCapitals,
		"details are what the consumers' allocations are, the empty too": tellsDetails,
		"details of nobody are none":                                     tellsNoDetails,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			test(t, w, of(t, w))
		})
	}
}

func surveyed(t *testing.T, r reader) *placement.Survey {
	t.Helper()
	survey, err := r.Survey(openstacktest.Context(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(survey.Failures) > 0 {
		t.Fatalf("it failed at %v", survey.Failures)
	}
	return survey
}

func surveysProviders(t *testing.T, w *world, r reader) {
	survey := surveyed(t, r)
	for _, want := range []placement.SurveyProvider{
		{UUID: w.root, Name: name("root", w.root), Root: w.root},
		{UUID: w.child, Name: name("child", w.child), Root: w.root},
		{UUID: w.sharing, Name: name("sharing", w.sharing), Root: w.sharing, Sharing: true},
		{UUID: w.second, Name: name("second", w.second), Root: w.second, Compute: true},
	} {
		if got := survey.Providers[want.UUID]; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if got, found := survey.ProviderNamed(want.Name); !found || got != want {
			t.Errorf("by its name: got %+v, want %+v", got, want)
		}
		if got, err := w.SurveyProvider(openstacktest.Context(t), want.UUID); err != nil || got != want {
			t.Errorf("alone: got %+v, %v, want %+v", got, err, want)
		}
	}
	if got, found := survey.ProviderNamed("no-such-provider"); found {
		t.Errorf("got %+v", got)
	}
}

// other is a second consumer, on the root alone.
func (w *world) other(t *testing.T) placement.Allocation {
	t.Helper()
	return w.holdingAs(t, openstacktest.UUID())
}

func (w *world) holdingAs(t *testing.T, consumer string) placement.Allocation {
	t.Helper()
	other := placement.Allocation{Consumer: consumer, ProjectID: "project 2", UserID: "user 2",
		Providers: map[string]placement.Resources{w.root: {"VCPU": 1}}}
	if err := w.Replace(openstacktest.Context(t), other); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		now, err := w.Allocation(openstacktest.Context(t), other.Consumer)
		now.Providers = nil
		if err == nil {
			err = w.Replace(openstacktest.Context(t), now)
		}
		if err != nil {
			t.Error(err)
		}
	})
	return other
}

func surveysConsumers(t *testing.T, w *world, r reader) {
	for _, want := range []placement.Allocation{w.holding(t), w.other(t)} {
		survey := surveyed(t, r)
		if diff := cmp.Diff(want.Providers, survey.Held(want.Consumer)); diff != "" {
			t.Error(diff)
		}
		consumers := maps.Collect(survey.Consumers())
		if got, want := consumers[want.Consumer], slices.Sorted(maps.Keys(want.Providers)); !slices.Equal(got, want) {
			t.Errorf("it holds on %v, not on %v", got, want)
		}
	}
}

func surveysCapitals(t *testing.T, w *world, r reader) {
	consumer := openstacktest.UUID()
	w.holdingAs(t, strings.ToUpper(consumer))
	if held := surveyed(t, r).Held(consumer); len(held) != 1 {
		t.Errorf("it holds %v", held)
	}
}

func surveysNothing(t *testing.T, w *world, r reader) {
	survey := surveyed(t, r)
	if held := survey.Held(w.consumer); held == nil || len(held) > 0 {
		t.Errorf("it holds %v", held)
	}
	if on, found := maps.Collect(survey.Consumers())[w.consumer]; found {
		t.Errorf("it holds on %v", on)
	}
}

func tellsDetails(t *testing.T, w *world, r reader) {
	other, nobody := w.other(t), openstacktest.UUID()
	want := map[string]placement.Allocation{w.consumer: w.holding(t), nobody: {Consumer: nobody, Providers: map[string]placement.Resources{}}}
	now, err := w.Allocation(openstacktest.Context(t), other.Consumer)
	if err != nil {
		t.Fatal(err)
	}
	want[other.Consumer] = now
	got, err := r.Details(openstacktest.Context(t), slices.Collect(maps.Keys(want)))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, %s", err, diff)
	}
}

func tellsNoDetails(t *testing.T, _ *world, r reader) {
	if got, err := r.Details(openstacktest.Context(t), nil); err != nil || len(got) > 0 {
		t.Errorf("got %v, %v", got, err)
	}
}

// cloudOf is a fake cloud of so many providers, of which each has one consumer, and the Client for it.
func cloudOf(t *testing.T, providers int) (*openstacktest.Cloud, *placement.Client) {
	t.Helper()
	cloud := openstacktest.NewInEnvironment(t)
	cloud.Do(func() {
		for i := range providers {
			cloud.AddProvider(fmt.Sprintf("compute%03d", i), provider(i), "", map[string]int{"VCPU": 8})
			cloud.Allocate(consumer(i), provider(i), map[string]int{"VCPU": 1})
		}
	})
	client := placement.New(openstacktest.Client(t, (*openstack.Cloud).Placement))
	cloud.Requests()
	return cloud, client
}

func provider(i int) string { return fmt.Sprintf("11111111-0000-4000-8000-%012d", i) }
func consumer(i int) string { return fmt.Sprintf("22222222-0000-4000-8000-%012d", i) }

func TestAProviderThatCannotBeReadIsNamedAndTheOthersAreRead(t *testing.T) {
	cloud, client := cloudOf(t, 3)
	for name, failure := range map[string]openstacktest.Failure{
		"an error":             {Status: 500, Body: "{}"},
		"a 404 of a proxy":     {Status: 404, Body: "<html>Not Found</html>"},
		"not an answer":        {Status: 200, Body: `{"allocations": []}`},
		"nothing held":         {Status: 200, Body: `{"allocations": {"C": {"resources": {"VCPU": 1}}, "D": {"resources": {}}}}`},
		"an amount beyond all": {Status: 200, Body: `{"allocations": {"C": {"resources": {"VCPU": 1, "DISK_GB": 4294967297}}}}`},
		"an amount in words":   {Status: 200, Body: `{"allocations": {"C": {"resources": {"VCPU": "one"}}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			failure.Path, failure.Times = "/placement/resource_providers/"+provider(1)+"/allocations", 1
			cloud.Fail(failure)
			survey, err := client.Survey(openstacktest.Context(t))
			if err != nil {
				t.Fatal(err)
			}
			if failed := survey.Failures; len(failed) != 1 || failed[0].Provider.Name != "compute001" ||
				!strings.HasPrefix(failed[0].Err.Error(), "read the allocations on compute001 ("+provider(1)+"): ") {
				t.Errorf("got %v", failed)
			}
			if got := slices.Collect(maps.Keys(maps.Collect(survey.Consumers()))); len(got) != 2 || slices.Contains(got, consumer(1)) {
				t.Errorf("the consumers are %v", got)
			}
			if _, listed := survey.Providers[provider(1)]; !listed {
				t.Error("the provider is not listed")
			}
		})
	}
}

func TestProvidersThatVanishMeanwhileHoldNothingHoweverManyTheyAre(t *testing.T) {
	cloud, client := cloudOf(t, 40)
	client.Workers = 1
	cloud.Fail(openstacktest.Failure{Path: "/placement/resource_providers/", Times: 1, Meanwhile: func() {
		for i := range 39 {
			cloud.RemoveProvider(provider(i))
		}
	}})
	survey := surveyed(t, client)
	if _, listed := survey.Providers[provider(39)]; !listed || len(survey.Providers) != 1 {
		t.Errorf("the providers are %v", survey.Providers)
	}
	if _, found := survey.ProviderNamed("compute001"); found {
		t.Error("one is found by its name")
	}
	if consumers := maps.Collect(survey.Consumers()); len(consumers) != 1 || consumers[consumer(39)] == nil {
		t.Errorf("the consumers are %v", consumers)
	}
}

func TestNoListOfProvidersIsNoSurvey(t *testing.T) {
	for _, path := range []string{"/placement/resource_providers", "/placement/resource_providers?required="} {
		cloud, client := cloudOf(t, 1)
		cloud.Fail(openstacktest.Failure{Path: path, Status: 500, Body: "{}", Times: 1})
		if survey, err := client.Survey(openstacktest.Context(t)); err == nil || survey != nil {
			t.Errorf("%s: got %v, %v", path, survey, err)
		}
	}
}

func TestAPlacementThatIsDownIsNotAskedOn(t *testing.T) {
	cloud, client := cloudOf(t, 200)
	cloud.Fail(openstacktest.Failure{Path: "/placement/resource_providers/", Status: 500, Body: "{}", Times: 1000})
	survey, err := client.Survey(openstacktest.Context(t))
	if err != nil || len(survey.Failures) != 200 {
		t.Fatalf("got %v, %v", survey, err)
	}
	if asked := len(cloud.Requests()); asked > 3+16+8 {
		t.Errorf("it asked %d times", asked)
	}
	if last := survey.Failures[199].Err.Error(); !strings.HasSuffix(last, "not asked for, since 16 requests before it failed") {
		t.Errorf("of the last it says %s", last)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	_, client := cloudOf(t, 80)
	var mu sync.Mutex
	waiting, made, together := 0, 0, make(chan struct{})
	ctx := httptrace.WithClientTrace(openstacktest.Context(t), &httptrace.ClientTrace{
		GetConn: func(string) {
			mu.Lock()
			now := together
			if waiting++; waiting <= 3 || (waiting-3)%client.Workers == 0 { // the lists; and all workers, whose connections are all idle now
				close(now)
				together = make(chan struct{})
			}
			mu.Unlock()
			<-now
		},
		GotConn: func(conn httptrace.GotConnInfo) {
			mu.Lock()
			defer mu.Unlock()
			if !conn.Reused {
				made++
			}
		},
	})
	if _, err := client.Survey(ctx); err != nil || made > client.Workers {
		t.Errorf("it made %d connections, %v", made, err)
	}
}

func TestDetailsThatCannotBeReadAreMissing(t *testing.T) {
	cloud, client := cloudOf(t, 3)
	cloud.Fail(openstacktest.Failure{Path: "/placement/allocations/" + consumer(1), Status: 500, Body: "{}", Times: 1})
	details, err := client.Details(openstacktest.Context(t), []string{consumer(0), consumer(1), consumer(2)})
	if err == nil || !strings.HasPrefix(err.Error(), "1 of 3 consumers could not be read, the first: read the allocation of "+consumer(1)) {
		t.Errorf("got %v", err)
	}
	if _, told := details[consumer(1)]; told || len(details) != 2 {
		t.Errorf("got %v", details)
	}
}

func TestTheURLOfADatabaseIsReadFromPlacementConf(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "placement.conf")
	for _, test := range []struct{ content, url, err string }{
		{"[placement_database]\nconnection = mysql+pymysql://p:s@h/placement\n", "mysql+pymysql://p:s@h/placement", ""},
		{"[placement_database]\n", "", "has no [placement_database]connection"},
		{"[placement_database]\nconnection = $url\n", "", "it refers to an option that no file sets"},
	} {
		if err := os.WriteFile(conf, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		url, err := placement.DatabaseURL(conf)
		if url != test.url || (err != nil) != (test.err != "") || !strings.Contains(fmt.Sprint(err), test.err) {
			t.Errorf("%q: got %q, %v", test.content, url, err)
		}
	}
	if _, err := placement.DatabaseURL(conf + "x"); err == nil {
		t.Error("read a file that is not there")
	}
}
