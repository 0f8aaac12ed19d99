package openstacktest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"

	"github.com/tidwall/gjson"
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
	p.mu.Lock()
	defer p.mu.Unlock()
	first, rest, _ := strings.Cut(strings.TrimPrefix(uri, "/"), "/")
	if i, err := strconv.Atoi(first); err == nil && i < len(p.endpoints) {
		return p.endpoints[i], "/" + rest
	}
	return p.cloud, strings.TrimPrefix(uri, "/identity/v3")
}

func (p *Proxy) withOwnEndpoints(body []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, url := range gjson.GetBytes(body, "token.catalog.#.endpoints.#.url|@flatten").Array() {
		own := fmt.Sprintf("%q", fmt.Sprint(p.server.URL, "/", len(p.endpoints)))
		p.endpoints = append(p.endpoints, strings.TrimSuffix(url.String(), "/"))
		body = bytes.ReplaceAll(body, []byte(url.Raw), []byte(own))
	}
	return body
}
