// Package openstacktest is a small cloud in memory: Keystone, Nova, Placement, Cinder,
// Neutron and Glance as far as the modules ask them. It counts requests, and can be told to fail.
//
// Placement behaves as release 8.0 (Zed) was seen to; the contract suite of package
// placement holds it to the real service.
package openstacktest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
)

// Token is the first that the fake Keystone issues, Password the one it wants.
const (
	Token    = "token-of-the-fake-cloud"
	Password = "password-of-the-fake-cloud"
	// ServiceUser is the account whose tokens are service tokens.
	ServiceUser = "nova-service"
	// NetworkUser is the account by which Nova speaks to Neutron, and to nothing else.
	NetworkUser = "neutron"
)

// Cloud is the fake cloud. Change it only within Do.
type Cloud struct {
	Placement
	Nova
	Cinder
	Neutron
	Glance
	// Secrets are passwords and application credentials' secrets that Keystone takes
	// beside Password.
	Secrets []string
	// Nobody listens where the catalog says that this service is, as "compute".
	Nobody string

	server *httptest.Server

	mu       sync.Mutex
	requests []string
	failures []*Failure
	expired  int // tokens that have expired
}

// Failure is what goes wrong with the next requests of a method and path prefix.
type Failure struct {
	Method, Path string // any method, if that is empty
	Status       int    // 0: the connection is cut
	Body         string // JSON, else it is served as HTML
	Times        int    // how many requests it befalls
	// Lost: the service has carried the request out, only its answer is lost.
	Lost bool
	// Meanwhile, if set, is all that happens: it runs, and then the service answers.
	Meanwhile func()
	// Answer, if set, answers in the service's place.
	Answer http.HandlerFunc
	// Next, if set, is arranged when this one has befallen its last request.
	Next *Failure
}

// New starts a cloud; Close ends it.
func New() *Cloud {
	cloud := &Cloud{}
	cloud.Placement.init()
	cloud.Nova.init()
	cloud.Cinder.init(&cloud.Nova)
	cloud.Neutron.init()
	cloud.server = httptest.NewServer(http.HandlerFunc(cloud.serve))
	return cloud
}

// Close ends the cloud.
func (c *Cloud) Close() { c.server.Close() }

// AuthURL is Keystone's.
func (c *Cloud) AuthURL() string { return c.server.URL + "/identity/v3" }

// Environment is what an openrc file of this cloud would set.
func (c *Cloud) Environment() map[string]string {
	return map[string]string{
		"OS_AUTH_URL": c.AuthURL(), "OS_USERNAME": "admin", "OS_PASSWORD": Password, "OS_PROJECT_NAME": "admin",
		"OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_ID": "default", "OS_REGION_NAME": "RegionOne",
	}
}

// Do changes the cloud between two requests.
func (c *Cloud) Do(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// Fail arranges a failure.
func (c *Cloud) Fail(failure Failure) {
	c.Do(func() { c.failures = append(c.failures, &failure) })
}

// Token is the token that is valid now.
func (c *Cloud) Token() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token()
}

func (c *Cloud) token() string {
	if c.expired == 0 {
		return Token
	}
	return fmt.Sprint(Token, "-", c.expired)
}

// Expire lets all tokens that were issued so far expire.
func (c *Cloud) Expire() { c.Do(c.ExpireWithin) }

// ExpireWithin is Expire for use within Do, and for Meanwhile.
func (c *Cloud) ExpireWithin() { c.expired++ }

// Recover ends all failures; it is for use within Do.
func (c *Cloud) Recover() { c.failures = nil }

// Requests are the requests since the last call, as "METHOD /path".
func (c *Cloud) Requests() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	requests := c.requests
	c.requests = nil
	return requests
}

// Writes are those of the requests that change something.
func Writes(requests []string) []string {
	return slices.DeleteFunc(slices.Clone(requests), func(request string) bool {
		return strings.HasPrefix(request, "GET ") || strings.HasSuffix(request, "/auth/tokens")
	})
}

func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r.Method+" "+r.URL.RequestURI())
	for _, failure := range c.failures {
		if failure.Times == 0 || failure.Method != "" && failure.Method != r.Method || !strings.HasPrefix(r.URL.RequestURI(), failure.Path) {
			continue
		}
		if failure.Times--; failure.Times == 0 && failure.Next != nil {
			c.failures = append(c.failures, failure.Next)
		}
		if failure.Meanwhile != nil {
			failure.Meanwhile()
			break
		}
		if failure.Lost {
			c.route(httptest.NewRecorder(), r)
		}
		if failure.Answer != nil {
			// net/http notices that the client is gone only when it has read the request.
			_, _ = io.Copy(io.Discard, r.Body)
			failure.Answer(w, r)
			return
		}
		failure.answer(w)
		return
	}
	c.route(w, r)
}

func (f *Failure) answer(w http.ResponseWriter) {
	if f.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	kind := "text/html"
	if strings.HasPrefix(f.Body, "{") {
		kind = "application/json"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(f.Status)
	_, _ = fmt.Fprint(w, f.Body)
}

func (c *Cloud) route(w http.ResponseWriter, r *http.Request) {
	if r.Method+r.URL.Path == "POST/identity/v3/auth/tokens" {
		c.issueToken(w, r)
		return
	}
	service, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	ofNetwork := service == "network" && r.Header.Get("X-Auth-Token") == "network-"+c.token()
	if r.Header.Get("X-Auth-Token") != c.token() && !ofNetwork {
		reply(w, http.StatusUnauthorized, map[string]any{"error": map[string]any{"message": "no valid token"}})
		return
	}
	parts := strings.Split(path, "/")
	switch service {
	case "placement":
		c.Placement.serve(w, r, parts)
	case "compute":
		c.Nova.serve(w, r, parts[1:])
	case "volume":
		c.Cinder.serve(w, r, parts[1:], "service-"+c.token())
	case "network":
		c.Neutron.serve(w, r, parts[1:], ofNetwork)
	case "image":
		c.Glance.serve(w, r, parts[1:])
	default:
		reply(w, http.StatusNotFound, nil)
	}
}

func (c *Cloud) issueToken(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Auth struct {
			Identity struct {
				Password struct {
					User struct{ Name, Password string }
				}
				ApplicationCredential struct{ Secret string } `json:"application_credential"`
			}
		}
	}
	err := json.NewDecoder(r.Body).Decode(&request)
	identity := request.Auth.Identity
	if err != nil || !slices.Contains(append(c.Secrets, Password), identity.Password.User.Password+identity.ApplicationCredential.Secret) {
		reply(w, http.StatusUnauthorized,
			map[string]any{"error": map[string]any{"message": "The request you have made requires authentication."}})
		return
	}
	catalog := []any{c.service("placement", "/placement")}
	if !c.Missing {
		catalog = append(catalog, c.service("compute", "/compute/v2.1"))
	}
	for _, service := range []struct {
		kind, path string
		missing    bool
	}{{"volumev3", "/volume/v3", c.NoCinder}, {"network", "/network", c.NoNeutron}, {"image", "/image", c.NoGlance}} {
		if !service.missing {
			catalog = append(catalog, c.service(service.kind, service.path))
		}
	}
	token := c.token()
	switch identity.Password.User.Name {
	case ServiceUser:
		token = "service-" + token
	case NetworkUser:
		token = "network-" + token
	}
	w.Header().Set("X-Subject-Token", token)
	reply(w, http.StatusCreated, map[string]any{"token": map[string]any{"expires_at": "2099-01-01T00:00:00.000000Z", "catalog": catalog}})
}

// nobody is a URL where nobody listens.
const nobody = "http://127.0.0.1:1/v3"

func (c *Cloud) service(kind, path string) map[string]any {
	address := c.server.URL + path
	if c.Nobody != "" && strings.HasPrefix(path, "/"+c.Nobody) {
		address = nobody
	}
	var endpoints []any
	for _, name := range []string{"public", "internal", "admin"} {
		endpoints = append(endpoints, map[string]any{"id": kind + name, "interface": name, "region_id": "RegionOne", "region": "RegionOne",
			"url": address})
	}
	return map[string]any{"id": kind, "type": kind, "name": kind, "endpoints": endpoints}
}

func reply(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
