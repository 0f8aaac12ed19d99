package openstack_test

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/openstack"
)

// pages answers by the marker of a request.
type pages map[string]string

func (p pages) RoundTrip(request *http.Request) (*http.Response, error) {
	body := io.NopCloser(strings.NewReader(p[request.URL.Query().Get("marker")]))
	return &http.Response{StatusCode: http.StatusOK, Request: request, Header: http.Header{}, Body: body}, nil
}

func TestAListIsReadToItsLastPage(t *testing.T) {
	const next = `_links": [{"rel": "previous", "href": "/"}, {"rel": "next", "href": "/"}]`
	for name, test := range map[string]struct {
		path  string
		pages pages
		want  []string
		fails string
	}{
		"Nova and Neutron link to the next page": {"ports", pages{"": `{"ports": [{"id": "a"}, {"id": "b"}], "ports` + next + `}`,
			"b": `{"ports": [{"id": "c"}], "ports_links": [{"rel": "previous", "href": "/"}]}`}, []string{"a", "b", "c"}, ""},
		"a full last page is followed by an empty one": {"ports", pages{"": `{"ports": [{"id": "a"}], "ports` + next + `}`,
			"a": `{"ports": [], "ports` + next + `}`}, []string{"a"}, ""},
		"Glance says next": {"images", pages{"": `{"images": [{"id": "a"}], "next": "/v2/images?marker=a"}`, "a": `{"images": [{"id": "b"}]}`},
			[]string{"a", "b"}, ""},
		"Cinder does not link from page to page of attachments": {"attachments/detail", pages{"": `{"attachments": [{"id": "a"}]}`,
			"a": `{"attachments": [{"id": "b"}]}`, "b": `{"attachments": []}`}, []string{"a", "b"}, ""},
		"nothing there": {"ports", pages{"": `{"ports": []}`}, nil, ""},
		"a page that does not go on": {"ports", pages{"": `{"ports": [{"id": "a"}], "ports` + next + `}`,
			"a": `{"ports": [{"id": "a"}], "ports` + next + `}`}, nil, "the page after a does not go on"},
		"an answer without a list":     {"ports", pages{"": `{"servers": []}`}, nil, "the answer has no ports"},
		"a list that is none":          {"ports", pages{"": `{"ports": {}}`}, nil, "the answer has no ports"},
		"one of the list has no id":    {"ports", pages{"": `{"ports": [{"id": "a"}, null]}`}, nil, "the answer has one of ports without its id"},
		"one of the list is something": {"ports", pages{"": `{"ports": ["a"]}`}, nil, "read ports: json: cannot unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			provider := &gophercloud.ProviderClient{HTTPClient: http.Client{Transport: test.pages}}
			service := &gophercloud.ServiceClient{ProviderClient: provider, Endpoint: "http://service/"}
			type one struct{ ID string }
			found, err := openstack.Pages(t.Context(), service, test.path, url.Values{}, func(o one) string { return o.ID })
			var got []string
			for _, o := range found {
				got = append(got, o.ID)
			}
			if !slices.Equal(got, test.want) || (err == nil) != (test.fails == "") || err != nil && !strings.HasPrefix(err.Error(), test.fails) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
