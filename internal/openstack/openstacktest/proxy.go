package openstacktest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// Proxy stands between a module and a cloud, fake or real: it hands out the
// cloud's catalog with itself in every endpoint's place. A test can so do
// something at a named moment of the module's run, and the module has no part in it.
type Proxy struct {
	server *httptest.Server
	cloud  string // Keystone's URL

	mu        sync.Mutex
	endpoints []string // of the catalog; the number is the first part of the path here
	moments   []*moment
	passed    []string
}

// When is a moment in the life of a request.
type When int

const (
	// Arrived is when the module has sent it and the service has not seen it.
	Arrived When = iota
	// Answered is when the service has carried it out and the module does not know.
	Answered
)

type moment struct {
	when         When
	method, path string
	do           func() bool
}

// NewProxy starts a proxy for the cloud with this auth URL; Close ends it.
func NewProxy(authURL string) *Proxy {
	p := &Proxy{cloud: strings.TrimSuffix(authURL, "/")}
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	return p
}

// Close ends the proxy.
func (p *Proxy) Close() { p.server.Close() }

// AuthURL is Keystone's, by way of the proxy.
func (p *Proxy) AuthURL() string { return p.server.URL + "/identity/v3" }

// At arranges that do runs once, at this moment of the next request of this
// method whose path, after the endpoint's own, begins with path. If it returns
// false, the connection is cut.
func (p *Proxy) At(when When, method, path string, do func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moments = append(p.moments, &moment{when, method, path, do})
}

// Passed are the requests since the last call, as "METHOD /path".
func (p *Proxy) Passed() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	passed := p.passed
	p.passed = nil
	return passed
}

func (p *Proxy) pass(when When, method, path string) {
	p.mu.Lock()
	var due *moment
	for i, m := range p.moments {
		if m.when == when && m.method == method && strings.HasPrefix(path, m.path) {
			due = m
			p.moments = append(p.moments[:i:i], p.moments[i+1:]...)
			break
		}
	}
	p.mu.Unlock()
	if due != nil && !due.do() {
		panic(http.ErrAbortHandler)
	}
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	endpoint, path := p.route(r.URL.RequestURI())
	p.mu.Lock()
	p.passed = append(p.passed, r.Method+" "+path)
	p.mu.Unlock()
	p.pass(Arrived, r.Method, path)
	// What has arrived is carried out, also for a module that was killed.
	request, err := http.NewRequestWithContext(context.WithoutCancel(r.Context()), r.Method, endpoint+path, r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	request.Header, request.ContentLength = r.Header.Clone(), r.ContentLength
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if strings.HasSuffix(path, "/auth/tokens") {
		body = p.withOwnEndpoints(body)
	}
	p.pass(Answered, r.Method, path)
	for name, values := range response.Header {
		if name != "Content-Length" {
			w.Header()[name] = values
		}
	}
	w.WriteHeader(response.StatusCode)
	_, _ = w.Write(body)
}

// route finds the service's endpoint, and the path after it.
func (p *Proxy) route(uri string) (endpoint, path string) {
	if path, found := strings.CutPrefix(uri, "/identity/v3"); found {
		return p.cloud, path
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, endpoint := range p.endpoints {
		if path, found := strings.CutPrefix(uri, fmt.Sprintf("/%d/", i)); found {
			return endpoint, "/" + path
		}
	}
	return p.cloud, uri
}

func (p *Proxy) withOwnEndpoints(body []byte) []byte {
	var answer struct {
		Token map[string]any `json:"token"`
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&answer); err != nil {
		return body
	}
	catalog, _ := answer.Token["catalog"].([]any)
	for _, service := range catalog {
		endpoints, _ := service.(map[string]any)["endpoints"].([]any)
		for _, endpoint := range endpoints {
			entry := endpoint.(map[string]any)
			entry["url"] = p.own(strings.TrimSuffix(fmt.Sprint(entry["url"]), "/"))
		}
	}
	replaced, err := json.Marshal(answer)
	if err != nil {
		return body
	}
	return replaced
}

func (p *Proxy) own(endpoint string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endpoints = append(p.endpoints, endpoint)
	return fmt.Sprintf("%s/%d", p.server.URL, len(p.endpoints)-1)
}
