package placement

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// sharingTrait is what makes a provider one that others share, outside of their trees
// (os_traits/misc.py).
const sharingTrait = "MISC_SHARES_VIA_AGGREGATE"

// computeTrait is what nova-compute gives its own provider (nova/compute/resource_tracker.py _update_to_placement).
const computeTrait = "COMPUTE_NODE"

// Survey is what all consumers hold on all resource providers. It tells the same whether
// it was read over the API or from the database, but over the API it is not of one moment:
// an allocation that moves meanwhile may be seen on both providers, or on neither. What
// one consumer holds is settled by Details.
type Survey struct {
	// Providers are by UUID.
	Providers map[string]SurveyProvider
	// Failures are in the order of the names; what is held on these providers is not known.
	Failures []ProviderFailure

	byName map[string]string // UUIDs of providers
	// texts are the UUIDs and names that held refers to by their places, in order.
	texts []string
	held  []holding // in order
}

// SurveyProvider is a resource provider. Root is as in Provider; Sharing says that
// providers of other trees share it.
type SurveyProvider struct {
	UUID, Name, Root string
	Sharing          bool
	// Compute: nova-compute made it for its compute node.
	Compute bool
}

// ProviderFailure is why the allocations on a provider could not be read.
type ProviderFailure struct {
	Provider SurveyProvider
	Err      error
}

// holding is one row of Placement's table allocations. There may be some hundred
// thousand, so that it is small and without a pointer.
type holding struct {
	consumer, provider, class uint32
	amount                    int32 // used is an Integer in Placement's database
}

// ProviderNamed finds a provider by its name, which Placement keeps unique.
func (s *Survey) ProviderNamed(name string) (SurveyProvider, bool) {
	provider, found := s.Providers[s.byName[name]]
	return provider, found
}

// Consumers are all that hold something, in the order of their UUIDs (in small letters, as Nova writes them: the
// database compares without regard to case), each with the UUIDs
// of the providers on which it does.
func (s *Survey) Consumers() iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		for rest := s.held; len(rest) > 0; {
			var own []holding
			own, rest = cutConsumer(rest)
			var providers []string
			for i, one := range own {
				if i == 0 || one.provider != own[i-1].provider {
					providers = append(providers, s.texts[one.provider])
				}
			}
			if !yield(s.texts[own[0].consumer], providers) {
				return
			}
		}
	}
}

// Held is what a consumer holds, by the UUIDs of the providers; empty for one that is not
// among Consumers.
func (s *Survey) Held(consumer string) map[string]Resources {
	held := map[string]Resources{}
	at, found := slices.BinarySearchFunc(s.held, consumer, func(one holding, consumer string) int {
		return strings.Compare(s.texts[one.consumer], consumer)
	})
	if !found {
		return held
	}
	own, _ := cutConsumer(s.held[at:])
	for _, one := range own {
		provider := s.texts[one.provider]
		if held[provider] == nil {
			held[provider] = Resources{}
		}
		held[provider][s.texts[one.class]] = int(one.amount)
	}
	return held
}

// cutConsumer cuts off what the first consumer holds.
func cutConsumer(held []holding) (own, rest []holding) {
	end := slices.IndexFunc(held, func(one holding) bool { return one.consumer != held[0].consumer })
	if end < 0 {
		end = len(held)
	}
	return held[:end], held[end:]
}

// builder puts a Survey together.
type builder struct {
	Survey
	places map[string]uint32 // of texts, so that each is kept once
}

func newBuilder() *builder {
	return &builder{Survey{Providers: map[string]SurveyProvider{}, byName: map[string]string{}}, map[string]uint32{}}
}

func (b *builder) addProvider(provider SurveyProvider) {
	b.Providers[provider.UUID], b.byName[provider.Name] = provider, provider.UUID
}

func (b *builder) removeProvider(provider SurveyProvider) {
	delete(b.Providers, provider.UUID)
	delete(b.byName, provider.Name)
}

// place is where a text is. The text may be a part of a large one, which is not kept.
func (b *builder) place(text string) uint32 {
	place, known := b.places[text]
	if !known {
		text, place = strings.Clone(text), uint32(len(b.texts))
		b.texts, b.places[text] = append(b.texts, text), place
	}
	return place
}

// addAnswer adds what the API's answer says is held on a provider, or nothing on an error.
func (b *builder) addAnswer(provider, answer string) (err error) {
	defer func(before int) {
		if err != nil {
			b.held = b.held[:before]
		}
	}(len(b.held))
	all := gjson.Get(answer, "allocations")
	if !all.IsObject() {
		return errors.New("the answer has no allocations")
	}
	on := b.place(provider)
	all.ForEach(func(consumer, held gjson.Result) bool {
		before := len(b.held)
		if resources := held.Get("resources"); resources.IsObject() {
			resources.ForEach(func(class, amount gjson.Result) bool {
				var used int64
				used, err = strconv.ParseInt(amount.Raw, 10, 32)
				b.held = append(b.held, holding{b.place(strings.ToLower(consumer.Str)), on, b.place(class.Str), int32(used)})
				return err == nil
			})
		}
		if err == nil && len(b.held) == before {
			err = fmt.Errorf("the answer has no resources for %s", consumer.Str)
		}
		return err == nil
	})
	return err
}

// survey is what was added, in order.
func (b *builder) survey() *Survey {
	order, ranks := make([]uint32, len(b.texts)), make([]uint32, len(b.texts))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(x, y uint32) int { return strings.Compare(b.texts[x], b.texts[y]) })
	texts := make([]string, len(order))
	for rank, place := range order {
		texts[rank], ranks[place] = b.texts[place], uint32(rank)
	}
	for i, one := range b.held {
		b.held[i] = holding{ranks[one.consumer], ranks[one.provider], ranks[one.class], one.amount}
	}
	slices.SortFunc(b.held, func(x, y holding) int {
		if x.consumer != y.consumer {
			return cmp.Compare(x.consumer, y.consumer)
		}
		return cmp.Or(cmp.Compare(x.provider, y.provider), cmp.Compare(x.class, y.class))
	})
	slices.SortFunc(b.Failures, func(x, y ProviderFailure) int { return strings.Compare(x.Provider.Name, y.Provider.Name) })
	b.texts = texts
	return &b.Survey
}
