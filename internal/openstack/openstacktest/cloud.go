// Package openstacktest is a small cloud in memory: Keystone, Nova, Placement, Cinder,
// Neutron and Glance as far as the modules ask them. It counts requests, and can be told to fail.
// The contract suites of the packages compute, placement, cinder and neutron hold it to the real services.
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

	"github.com/tidwall/gjson"
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
	mux    *http.ServeMux

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
	c := &Cloud{mux: http.NewServeMux()}
	c.mux.HandleFunc("POST /identity/v3/auth/tokens", c.issueToken)
	c.mount("placement", "/placement", c.Placement.refuses, c.Placement.routes())
	c.mount("nova", "/compute/v2.1", c.Nova.refuses, c.Nova.routes())
	c.mount("cinder", "/volume/v3", c.Cinder.refuses, c.Cinder.routes(&c.Nova, func() string { return "service-" + c.token() }))
	c.mount("neutron", "/network/v2.0", takesAll, c.Neutron.routes())
	c.mount("glance", "/image/v2", takesAll, c.Glance.routes())
	c.server = httptest.NewServer(http.HandlerFunc(c.serve))
	return c
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
func (c *Cloud) Fail(failure Failure) { c.Do(func() { c.failures = append(c.failures, &failure) }) }

// Token is the token that is valid now.
func (c *Cloud) Token() (token string) {
	c.Do(func() { token = c.token() })
	return token
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
func (c *Cloud) Requests() (requests []string) {
	c.Do(func() { requests, c.requests = c.requests, nil })
	return requests
}

// CountNaming is how many of the requests have this in their path or query.
func CountNaming(requests []string, name string) (n int) {
	for _, request := range requests {
		if strings.Contains(request, name) {
			n++
		}
	}
	return n
}

// Writes are those of the requests that change something.
func Writes(requests []string) []string {
	return slices.DeleteFunc(slices.Clone(requests), func(request string) bool {
		return strings.HasPrefix(request, "GET ") || strings.HasSuffix(request, "/auth/tokens")
	})
}

func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	var failure *Failure
	c.Do(func() {
		c.requests = append(c.requests, r.Method+" "+r.URL.RequestURI())
		failure = c.due(r)
		switch {
		case failure == nil:
			c.mux.ServeHTTP(w, r)
		case failure.Lost:
			c.mux.ServeHTTP(httptest.NewRecorder(), r)
		}
	})
	if failure != nil {
		// net/http notices that the client is gone only when it has read the request.
		_, _ = io.Copy(io.Discard, r.Body)
		failure.answer(w, r)
	}
}

// due is the failure that befalls a request, if any.
func (c *Cloud) due(r *http.Request) *Failure {
	for _, f := range c.failures {
		if f.Times == 0 || f.Method != "" && f.Method != r.Method || !strings.HasPrefix(r.URL.RequestURI(), f.Path) {
			continue
		}
		if f.Times--; f.Times == 0 && f.Next != nil {
			c.failures = append(c.failures, f.Next)
		}
		if f.Meanwhile == nil {
			return f
		}
		f.Meanwhile()
		break
	}
	return nil
}

func (f *Failure) answer(w http.ResponseWriter, r *http.Request) {
	switch {
	case f.Answer != nil:
		f.Answer(w, r)
	case f.Status == 0:
		panic(http.ErrAbortHandler)
	case strings.HasPrefix(f.Body, "{"):
		raw(f.Status, "application/json", f.Body)(w, r)
	default:
		raw(f.Status, "text/html", f.Body)(w, r)
	}
}

type object = map[string]any

// answer is a service's; without a body it has nothing but the status.
type answer struct {
	status int
	body   object
}

// shows is a success with one key.
func shows(key string, value any) answer { return answer{http.StatusOK, object{key: value}} }

// faults answers as Nova and Cinder do: with one key, which names the kind of error.
func faults(status int, kind, message string) answer {
	return answer{status, object{kind: object{"code": status, "message": message}}}
}

// sent is what a request has.
func sent(r *http.Request) gjson.Result {
	content, err := io.ReadAll(r.Body)
	if err != nil || !gjson.ValidBytes(content) {
		return gjson.Result{}
	}
	return gjson.ParseBytes(content)
}

// routes are a service's, as "GET /servers/{id}", below its endpoint.
type routes map[string]func(*http.Request) answer

func takesAll(*http.Request) (none answer) { return none }

// mount serves a service to those who have a token and whom it does not refuse.
func (c *Cloud) mount(name, path string, refuses func(*http.Request) answer, all routes) {
	all["/"] = func(r *http.Request) answer {
		return faults(http.StatusNotFound, "itemNotFound", r.URL.Path+" could not be found.")
	}
	for route, handle := range all {
		method, rest, _ := strings.Cut(route, "/")
		c.mux.HandleFunc(method+path+"/"+rest, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Openstack-Request-Id", "req-of-the-fake-"+name)
			token := r.Header.Get("X-Auth-Token")
			if token != c.token() && (token != "network-"+c.token() || name != "neutron") {
				reply(w, unauthorized("no valid token"))
			} else if refusal := refuses(r); refusal.status != 0 {
				reply(w, refusal)
			} else {
				reply(w, handle(r))
			}
		})
	}
}

func unauthorized(message string) answer {
	return answer{http.StatusUnauthorized, object{"error": object{"message": message}}}
}

func reply(w http.ResponseWriter, a answer) {
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	content, _ := json.Marshal(a.body)
	raw(a.status, "application/json", string(content))(w, nil)
}

// nobody is a URL where nobody listens.
const nobody = "http://127.0.0.1:1/v3"

func (c *Cloud) issueToken(w http.ResponseWriter, r *http.Request) {
	identity := sent(r).Get("auth.identity")
	user := identity.Get("password.user")
	secret := user.Get("password").String() + identity.Get("application_credential.secret").String()
	if !slices.Contains(append(c.Secrets, Password), secret) {
		reply(w, unauthorized("The request you have made requires authentication."))
		return
	}
	catalog := []object{}
	for _, service := range []struct {
		kind, path string
		missing    bool
	}{
		{"placement", "/placement", false}, {"compute", "/compute/v2.1", c.Missing}, {"volumev3", "/volume/v3", c.NoCinder},
		{"network", "/network", c.NoNeutron}, {"image", "/image", c.NoGlance},
	} {
		if service.missing {
			continue
		}
		address := c.server.URL + service.path
		if c.Nobody != "" && strings.HasPrefix(service.path, "/"+c.Nobody) {
			address = nobody
		}
		var endpoints []object
		for _, name := range []string{"public", "internal", "admin"} {
			endpoints = append(endpoints, object{"id": service.kind + name, "interface": name, "region_id": "RegionOne", "region": "RegionOne",
				"url": address})
		}
		catalog = append(catalog, object{"id": service.kind, "type": service.kind, "name": service.kind, "endpoints": endpoints})
	}
	token := map[string]string{ServiceUser: "service-", NetworkUser: "network-"}[user.Get("name").String()] + c.token()
	w.Header().Set("X-Subject-Token", token)
	reply(w, answer{http.StatusCreated, object{"token": object{"expires_at": "2099-01-01T00:00:00.000000Z", "catalog": catalog}}})
}
