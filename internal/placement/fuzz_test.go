package placement_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/placement"
)

const (
	fuzzConsumer = "6695eb01-f6a4-8304-79aa-97f2502e193f"
	fuzzProvider = "11111111-0000-4000-8000-000000000001"
)

// answering answers every request with the same.
type answering struct {
	status int
	body   []byte
}

func (a answering) RoundTrip(request *http.Request) (*http.Response, error) {
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: int64(len(a.body)),
	}, nil
}

// FuzzAnswers holds the client to this: whatever Placement answers, there is an
// error or a whole result, and no panic.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		`{"allocations": {"` + fuzzProvider +
			`": {"resources": {"VCPU": 1}, "generation": 2}}, "project_id": "p", "user_id": "u", "consumer_generation": 1, "consumer_type": "unknown"}`,
		`{"allocations": {}}`, `{"allocations": null}`, `{"allocations": []}`, `{}`, `[]`, `null`, `7`, ``,
		`{"resource_providers": [{"uuid": "` + fuzzProvider + `", "name": "compute1", "generation": 3, "root_provider_uuid": "` + fuzzProvider +
			`", "parent_provider_uuid": null, "links": []}]}`,
		`{"resource_providers": [{"uuid": "` + fuzzProvider + `", "name": null, "root_provider_uuid": "` + fuzzProvider +
			`"}], "allocations": {"` + fuzzConsumer + `": {"resources": {"VCPU": 1, "CUSTOM_A": 2}}, "b": {"resources": {"VCPU": 3}}}}`,
		`{"resource_providers": {}}`, `{"resource_providers": [null]}`, `{"resource_providers": [[]], "resource_providers_links": 7}`,
		`{"errors": [{"status": 409, "code": "placement.concurrent_update", "detail": "There was a conflict\n\n"}]}`,
	} {
		f.Add(200, []byte(body))
		f.Add(409, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return // not a status of HTTP
		}
		client := placement.New(&gophercloud.ServiceClient{
			ProviderClient: &gophercloud.ProviderClient{HTTPClient: http.Client{
				Transport:     answering{status, body},
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			}},
			Endpoint: "http://placement/",
		})
		ctx := t.Context()
		allocation, failure := client.Allocation(ctx, fuzzConsumer)
		if failure == nil && !allocation.Empty() && allocation.Generation == nil {
			t.Errorf("an allocation without a generation: %+v", allocation)
		}
		for provider, resources := range allocation.Providers {
			if failure == nil && len(resources) == 0 {
				t.Errorf("nothing is held on %s, which is no holding", provider)
			}
		}
		if provider, err := client.Provider(ctx, fuzzProvider); err == nil && provider.UUID == "" {
			t.Errorf("a provider without a uuid: %+v", provider)
		}
		if tree, err := client.Tree(ctx, fuzzProvider); err == nil {
			for _, provider := range tree {
				if provider.UUID == "" || provider.Root == "" {
					t.Errorf("a provider of no tree: %+v", provider)
				}
			}
		}
		if survey, err := client.Survey(ctx); err == nil {
			for consumer, on := range survey.Consumers() {
				if held := survey.Held(consumer); len(on) == 0 || len(held) != len(on) || len(held[on[0]]) == 0 {
					t.Errorf("a consumer that holds %v, on %v", held, on)
				}
			}
		}
		_, _ = client.Consumers(ctx, fuzzProvider)
		generation := 1
		err := client.Replace(ctx, placement.Allocation{Consumer: fuzzConsumer, ProjectID: "p", UserID: "u", Generation: &generation})
		if err != nil && strings.Contains(err.Error(), "placement refuses") && strings.Contains(err.Error(), "\n") {
			t.Errorf("a refusal of more than a line: %v", err)
		}
	})
}
