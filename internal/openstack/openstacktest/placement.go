package openstacktest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
)

// Placement is the fake Placement of release 8.0 (Zed), at microversion 1.28, and
// at 1.38 for reading an allocation.
type Placement struct {
	// BeforeTypes makes it older than consumer types (before 6.0, Xena).
	BeforeTypes bool

	providers []*provider
	consumers map[string]*consumer
}

type provider struct {
	uuid, name, parent, root string
	capacity                 map[string]int
	traits                   []string
}

type consumer struct {
	generation    int
	project, user string
	kind          string             // "" as after a write before 1.38
	held          map[string]holding // by provider
}

type holding struct {
	Resources map[string]int `json:"resources"`
}

func (p *Placement) routes() routes {
	p.consumers = map[string]*consumer{}
	return routes{
		"GET /allocations/{id}":                    p.showAllocation,
		"PUT /allocations/{id}":                    p.putAllocation,
		"GET /resource_providers":                  p.listProviders,
		"POST /resource_providers":                 p.createProvider,
		"DELETE /resource_providers/{id}":          p.deleteProvider,
		"PUT /resource_providers/{id}/inventories": p.putInventories,
		"PUT /resource_providers/{id}/traits":      p.putTraits,
		"GET /resource_providers/{id}/allocations": p.showConsumers,
	}
}

func (p *Placement) refuses(r *http.Request) (none answer) {
	version := r.Header.Get("OpenStack-API-Version")
	if version != "placement 1.28" && (version != readsType || p.BeforeTypes) {
		return refuse(http.StatusNotAcceptable, "", "Unacceptable version header: "+version)
	}
	return none
}

const readsType = "placement 1.38"

func refuse(status int, code, detail string) answer {
	if status == http.StatusConflict {
		detail = "There was a conflict when trying to complete your request.\n\n " + detail + "  "
	}
	return answer{status, object{"errors": []object{{"status": status, "title": http.StatusText(status),
		"code": cmp.Or(code, "placement.undefined_code"), "detail": detail}}}}
}

func (p *Placement) provider(uuid string) *provider {
	if at := slices.IndexFunc(p.providers, func(one *provider) bool { return one.uuid == uuid }); at >= 0 {
		return p.providers[at]
	}
	return nil
}

func (pr *provider) json() object {
	return object{"uuid": pr.uuid, "name": pr.name, "generation": 0, "parent_provider_uuid": orNull(pr.parent),
		"root_provider_uuid": pr.root, "links": []object{}}
}

func (p *Placement) listProviders(r *http.Request) answer {
	query := r.URL.Query()
	if tree := p.provider(query.Get("in_tree")); tree != nil {
		query.Set("in_tree", tree.root)
		r.URL.RawQuery = query.Encode()
	}
	providers := p.providers
	if trait := query.Get("required"); trait != "" {
		providers = slices.DeleteFunc(slices.Clone(providers), func(one *provider) bool { return !slices.Contains(one.traits, trait) })
	}
	page, _ := list(r, "resource_providers", shown(providers), math.MaxInt,
		map[string]string{"name": "name", "uuid": "uuid", "in_tree": "root_provider_uuid"})
	return page
}

func (p *Placement) createProvider(r *http.Request) answer {
	wanted := sent(r)
	uuid := wanted.Get("uuid").String()
	p.AddProvider(wanted.Get("name").String(), uuid, wanted.Get("parent_provider_uuid").String(), map[string]int{})
	return answer{http.StatusOK, p.provider(uuid).json()}
}

// AddProvider adds a provider with these amounts; parent is a UUID or "".
func (p *Placement) AddProvider(name, uuid, parent string, capacity map[string]int) {
	added := &provider{uuid: uuid, name: name, parent: parent, root: uuid, capacity: capacity}
	if above := p.provider(parent); above != nil {
		added.root = above.root
	}
	p.providers = append(p.providers, added)
}

// SetCapacity changes a provider's inventory, also to less than is in use.
func (p *Placement) SetCapacity(uuid, class string, amount int) {
	p.provider(uuid).capacity[class] = amount
}

func (p *Placement) putInventories(r *http.Request) answer {
	inventories, provider := sent(r).Get("inventories"), p.provider(r.PathValue("id"))
	if !inventories.IsObject() || provider == nil {
		return refuse(http.StatusBadRequest, "", "no inventories, or no provider")
	}
	for class, inventory := range inventories.Map() {
		provider.capacity[class] = int(inventory.Get("total").Int())
	}
	return answer{http.StatusOK, object{"resource_provider_generation": 0, "inventories": inventories.Value()}}
}

func (p *Placement) putTraits(r *http.Request) answer {
	traits := []string{}
	for _, trait := range sent(r).Get("traits").Array() {
		traits = append(traits, trait.String())
	}
	p.SetTraits(r.PathValue("id"), traits...)
	return answer{http.StatusOK, object{"resource_provider_generation": 0, "traits": traits}}
}

// SetTraits gives a provider these traits and no others; MISC_SHARES_VIA_AGGREGATE makes it a sharing one.
func (p *Placement) SetTraits(uuid string, traits ...string) { p.provider(uuid).traits = traits }

func (p *Placement) deleteProvider(r *http.Request) answer {
	if len(p.consumersOf(r.PathValue("id"))) > 0 {
		return refuse(http.StatusConflict, "placement.resource_provider.inuse", "Unable to delete resource provider: it has allocations")
	}
	p.RemoveProvider(r.PathValue("id"))
	return answer{http.StatusNoContent, nil}
}

func (p *Placement) consumersOf(provider string) object {
	found := object{}
	for uuid, consumer := range p.consumers {
		if held, ok := consumer.held[provider]; ok {
			found[uuid] = object{"resources": held.Resources, "consumer_generation": consumer.generation}
		}
	}
	return found
}

func (p *Placement) showConsumers(r *http.Request) answer {
	uuid := r.PathValue("id")
	if p.provider(uuid) == nil {
		return refuse(http.StatusNotFound, "", "Resource provider '"+uuid+"' not found")
	}
	return answer{http.StatusOK, object{"allocations": p.consumersOf(uuid), "resource_provider_generation": 0}}
}

// A consumer without allocations is not told apart from none, leaked or not.
func (p *Placement) showAllocation(r *http.Request) answer {
	consumer := p.consumers[r.PathValue("id")]
	if consumer == nil || len(consumer.held) == 0 {
		return shows("allocations", object{})
	}
	body := object{
		"allocations": consumer.held, "project_id": consumer.project, "user_id": consumer.user, "consumer_generation": consumer.generation,
	}
	if r.Header.Get("OpenStack-API-Version") == readsType {
		body["consumer_type"] = cmp.Or(consumer.kind, "unknown")
	}
	return answer{http.StatusOK, body}
}

// SetType gives a consumer a type, as a write at 1.38 would.
func (p *Placement) SetType(uuid, kind string) { p.consumers[uuid].kind = kind }

// Release takes all from a consumer, as DELETE does.
func (p *Placement) Release(uuid string) { delete(p.consumers, uuid) }

// RemoveProvider removes a provider with all that is held on it.
func (p *Placement) RemoveProvider(uuid string) {
	for _, consumer := range p.consumers {
		delete(consumer.held, uuid)
	}
	p.providers = slices.DeleteFunc(p.providers, func(provider *provider) bool { return provider.uuid == uuid })
}

type allocationRequest struct {
	Allocations map[string]holding
	Project     string `json:"project_id"`
	User        string `json:"user_id"`
	Generation  *int   `json:"consumer_generation"`
}

func (p *Placement) putAllocation(r *http.Request) answer {
	var request allocationRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return refuse(http.StatusBadRequest, "", err.Error())
	}
	if problem := p.invalid(request); problem != "" {
		return refuse(http.StatusBadRequest, "", problem)
	}
	uuid, expected, got := r.PathValue("id"), "null", "null"
	known := p.consumers[uuid]
	if known != nil {
		expected = fmt.Sprint(known.generation)
	}
	if request.Generation != nil {
		got = fmt.Sprint(*request.Generation)
	}
	if expected != got {
		return refuse(http.StatusConflict, "placement.concurrent_update", "consumer generation conflict - expected "+expected+" but got "+got)
	}
	if problem := p.overCapacity(uuid, request); problem != "" {
		return refuse(http.StatusConflict, "", problem)
	}
	switch {
	case known == nil: // an empty allocation for it leaves it behind, at generation 0
		known = &consumer{}
		p.consumers[uuid] = known
	case len(request.Allocations) == 0:
		delete(p.consumers, uuid)
	}
	known.project, known.user, known.held = request.Project, request.User, request.Allocations
	if len(known.held) > 0 {
		known.generation++
	}
	return answer{http.StatusNoContent, nil}
}

func (p *Placement) invalid(request allocationRequest) string {
	if request.Project == "" || request.User == "" {
		return "JSON does not validate: '' is too short"
	}
	for provider, allocation := range request.Allocations {
		if p.provider(provider) == nil {
			return "Allocation for resource provider '" + provider + "' that does not exist."
		}
		if len(allocation.Resources) == 0 {
			return "JSON does not validate: {} does not have enough properties"
		}
		for class, amount := range allocation.Resources {
			if amount < 1 {
				return fmt.Sprintf("JSON does not validate: %d is less than the minimum of 1", amount)
			}
			if !slices.Contains([]string{"VCPU", "PCPU", "MEMORY_MB", "DISK_GB", "VGPU"}, class) {
				return "No such resource class " + class + "."
			}
		}
	}
	return ""
}

// overCapacity looks at all providers of the request, changed or not: that is
// what Placement did before 14.0.
func (p *Placement) overCapacity(uuid string, request allocationRequest) string {
	for provider, allocation := range request.Allocations {
		for class, used := range allocation.Resources {
			for other, consumer := range p.consumers {
				if other != uuid {
					used += consumer.held[provider].Resources[class]
				}
			}
			capacity, ok := p.provider(provider).capacity[class]
			if !ok {
				return "Unable to allocate inventory: Inventory for '" + class + "' on resource provider '" + provider + "' invalid."
			}
			if used > capacity {
				return "Unable to allocate inventory: Unable to create allocation for '" + class + "' on resource provider '" + provider +
					"'. The requested amount would exceed the capacity."
			}
		}
	}
	return ""
}

// Allocate gives a consumer resources on a provider, beside what it holds.
func (p *Placement) Allocate(uuid, provider string, resources map[string]int) {
	known := p.consumers[uuid]
	if known == nil {
		known = &consumer{project: "project-1", user: "user-1", held: map[string]holding{}}
		p.consumers[uuid] = known
	}
	known.held[provider] = holding{resources}
	known.generation++
}
