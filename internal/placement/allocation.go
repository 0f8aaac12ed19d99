package placement

import (
	"maps"
	"slices"
)

// Resources are amounts by resource class, in the class's unit (MEMORY_MB: MiB, DISK_GB: GiB).
type Resources map[string]int

// Allocation is all that one consumer (an instance's or a migration's uuid) holds.
type Allocation struct {
	Consumer  string
	ProjectID string
	UserID    string
	// Type is what kind of consumer it is: INSTANCE, MIGRATION, another service's own word, or
	// "unknown" for what was written before microversion 1.38, as Nova does. It is empty where
	// Placement is older than 6.0 (Xena), and for a consumer that holds nothing.
	Type string
	// Generation guards a write against others; nil when the consumer holds nothing.
	Generation *int
	// Providers maps the UUIDs of resource providers to what is held there.
	Providers map[string]Resources
}

// Empty says that the consumer holds nothing.
func (a Allocation) Empty() bool { return len(a.Providers) == 0 }

// Without is the allocation without these providers.
func (a Allocation) Without(providers []string) Allocation {
	a.Providers = maps.Clone(a.Providers)
	maps.DeleteFunc(a.Providers, func(uuid string, _ Resources) bool { return slices.Contains(providers, uuid) })
	return a
}

// With is the allocation with exactly these resources on this provider, and the
// other providers as they are.
func (a Allocation) With(provider string, resources Resources) Allocation {
	providers := map[string]Resources{}
	maps.Copy(providers, a.Providers)
	providers[provider] = resources
	a.Providers = providers
	return a
}

// Equal says that both hold the same for the same project and user; a consumer
// that holds nothing has neither.
func (a Allocation) Equal(b Allocation) bool {
	return a.Consumer == b.Consumer && maps.EqualFunc(a.Providers, b.Providers, maps.Equal[Resources, Resources]) &&
		(a.Empty() || a.ProjectID == b.ProjectID && a.UserID == b.UserID)
}
