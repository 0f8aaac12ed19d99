package openstacktest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
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
	generation               int
	capacity                 map[string]int
}

type consumer struct {
	generation    int
	project, user string
	kind          string // "" as after a write before 1.38
	held          map[string]map[string]int
}

func (p *Placement) init() { p.consumers = map[string]*consumer{} }

func (p *Placement) serve(w http.ResponseWriter, r *http.Request, parts []string) {
	version := strings.TrimPrefix(r.Header.Get("OpenStack-API-Version"), "placement ")
	if version != "1.28" && (version != "1.38" || p.BeforeTypes) {
		refuse(w, http.StatusNotAcceptable, "", "Unacceptable version header: "+version)
		return
	}
	route := r.Method + " " + parts[0]
	if len(parts) == 3 {
		route += " " + parts[2]
	}
	switch route {
	case "GET allocations":
		p.showAllocation(w, parts[1], version)
	case "PUT allocations":
		p.putAllocation(w, r, parts[1])
	case "GET resource_providers":
		p.listProviders(w, r)
	case "POST resource_providers":
		p.createProvider(w, r)
	case "GET resource_providers allocations":
		p.showConsumers(w, parts[1])
	case "PUT resource_providers inventories":
		p.putInventories(w, r, parts[1])
	case "DELETE resource_providers":
		p.deleteProvider(w, parts[1])
	default:
		refuse(w, http.StatusNotFound, "", "The resource could not be found.")
	}
}

func refuse(w http.ResponseWriter, status int, code, detail string) {
	if code == "" {
		code = "placement.undefined_code"
	}
	if status == http.StatusConflict {
		detail = "There was a conflict when trying to complete your request.\n\n " + detail + "  "
	}
	reply(w, status, map[string]any{"errors": []any{map[string]any{"status": status, "title": http.StatusText(status), "code": code,
		"detail": detail}}})
}

func (p *Placement) provider(uuid string) *provider {
	for _, provider := range p.providers {
		if provider.uuid == uuid {
			return provider
		}
	}
	return nil
}

func (pr *provider) json() map[string]any {
	var parent any
	if pr.parent != "" {
		parent = pr.parent
	}
	return map[string]any{"uuid": pr.uuid, "name": pr.name, "generation": pr.generation, "parent_provider_uuid": parent,
		"root_provider_uuid": pr.root, "links": []any{}}
}

func (p *Placement) listProviders(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	found := []any{}
	for _, provider := range p.providers {
		tree := p.provider(query.Get("in_tree"))
		if query.Has("name") && provider.name != query.Get("name") || query.Has("uuid") && provider.uuid != query.Get("uuid") ||
			query.Has("in_tree") && (tree == nil || provider.root != tree.root) {
			continue
		}
		found = append(found, provider.json())
	}
	reply(w, http.StatusOK, map[string]any{"resource_providers": found})
}

func (p *Placement) createProvider(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Name, UUID string
		Parent     string `json:"parent_provider_uuid"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		refuse(w, http.StatusBadRequest, "", err.Error())
		return
	}
	reply(w, http.StatusOK, p.addProvider(request.Name, request.UUID, request.Parent).json())
}

func (p *Placement) addProvider(name, uuid, parent string) *provider {
	added := &provider{uuid: uuid, name: name, parent: parent, root: uuid, capacity: map[string]int{}}
	if above := p.provider(parent); above != nil {
		added.root = above.root
	}
	p.providers = append(p.providers, added)
	return added
}

// AddProvider adds a provider with these amounts; parent is a UUID or "".
func (p *Placement) AddProvider(name, uuid, parent string, capacity map[string]int) {
	p.addProvider(name, uuid, parent).capacity = capacity
}

// SetCapacity changes a provider's inventory, also to less than is in use.
func (p *Placement) SetCapacity(uuid, class string, amount int) {
	p.provider(uuid).capacity[class] = amount
}

func (p *Placement) putInventories(w http.ResponseWriter, r *http.Request, uuid string) {
	var request struct {
		Inventories map[string]struct{ Total int }
	}
	provider := p.provider(uuid)
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || provider == nil {
		refuse(w, http.StatusBadRequest, "", fmt.Sprint("inventories: ", err))
		return
	}
	provider.generation++
	for class, inventory := range request.Inventories {
		provider.capacity[class] = inventory.Total
	}
	reply(w, http.StatusOK, map[string]any{"resource_provider_generation": provider.generation, "inventories": request.Inventories})
}

func (p *Placement) deleteProvider(w http.ResponseWriter, uuid string) {
	for _, consumer := range p.consumers {
		if consumer.held[uuid] != nil {
			refuse(w, http.StatusConflict, "placement.resource_provider.inuse", "Unable to delete resource provider: it has allocations")
			return
		}
	}
	p.providers = slices.DeleteFunc(p.providers, func(provider *provider) bool { return provider.uuid == uuid })
	reply(w, http.StatusNoContent, nil)
}

func (p *Placement) showConsumers(w http.ResponseWriter, uuid string) {
	provider := p.provider(uuid)
	if provider == nil {
		refuse(w, http.StatusNotFound, "", "Resource provider '"+uuid+"' not found")
		return
	}
	found := map[string]any{}
	for consumerUUID, consumer := range p.consumers {
		if held := consumer.held[uuid]; held != nil {
			found[consumerUUID] = map[string]any{"resources": held, "consumer_generation": consumer.generation}
		}
	}
	reply(w, http.StatusOK, map[string]any{"allocations": found, "resource_provider_generation": provider.generation})
}

// A consumer without allocations is not told apart from none, leaked or not.
func (p *Placement) showAllocation(w http.ResponseWriter, uuid, version string) {
	consumer := p.consumers[uuid]
	if consumer == nil || len(consumer.held) == 0 {
		reply(w, http.StatusOK, map[string]any{"allocations": map[string]any{}})
		return
	}
	held := map[string]any{}
	for provider, resources := range consumer.held {
		held[provider] = map[string]any{"resources": resources, "generation": p.provider(provider).generation}
	}
	body := map[string]any{
		"allocations": held, "project_id": consumer.project, "user_id": consumer.user, "consumer_generation": consumer.generation,
	}
	if version == "1.38" {
		body["consumer_type"] = cmp.Or(consumer.kind, "unknown")
	}
	reply(w, http.StatusOK, body)
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
	Allocations map[string]struct{ Resources map[string]int }
	Project     string `json:"project_id"`
	User        string `json:"user_id"`
	Generation  *int   `json:"consumer_generation"`
}

func (p *Placement) putAllocation(w http.ResponseWriter, r *http.Request, uuid string) {
	var request allocationRequest
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		refuse(w, http.StatusBadRequest, "", err.Error())
		return
	}
	if problem := p.invalid(request); problem != "" {
		refuse(w, http.StatusBadRequest, "", problem)
		return
	}
	known := p.consumers[uuid]
	if known == nil && request.Generation != nil || known != nil && (request.Generation == nil || *request.Generation != known.generation) {
		expected, got := "null", "null"
		if known != nil {
			expected = fmt.Sprint(known.generation)
		}
		if request.Generation != nil {
			got = fmt.Sprint(*request.Generation)
		}
		refuse(w, http.StatusConflict, "placement.concurrent_update", "consumer generation conflict - expected "+expected+" but got "+got)
		return
	}
	if problem := p.overCapacity(uuid, request); problem != "" {
		refuse(w, http.StatusConflict, "", problem)
		return
	}
	p.store(uuid, request)
	reply(w, http.StatusNoContent, nil)
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
		for class, amount := range allocation.Resources {
			used := amount
			for other, consumer := range p.consumers {
				if other != uuid {
					used += consumer.held[provider][class]
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

func (p *Placement) store(uuid string, request allocationRequest) {
	known := p.consumers[uuid]
	created := known == nil
	if created {
		known = &consumer{}
		p.consumers[uuid] = known
	}
	known.project, known.user, known.held = request.Project, request.User, map[string]map[string]int{}
	for provider, allocation := range request.Allocations {
		known.held[provider] = allocation.Resources
		p.provider(provider).generation++
	}
	switch {
	case len(known.held) > 0:
		known.generation++
	case !created:
		delete(p.consumers, uuid)
	}
	// An empty allocation for a consumer that was not known leaves it behind, generation 0.
}

// Allocate gives a consumer resources on a provider, beside what it holds.
func (p *Placement) Allocate(uuid, provider string, resources map[string]int) {
	known := p.consumers[uuid]
	if known == nil {
		known = &consumer{project: "project-1", user: "user-1", held: map[string]map[string]int{}}
		p.consumers[uuid] = known
	}
	known.held[provider] = resources
	known.generation++
}

// Leaked says that Placement keeps an empty row for this consumer.
func (p *Placement) Leaked(uuid string) bool {
	return p.consumers[uuid] != nil && len(p.consumers[uuid].held) == 0
}
