// Package compute asks Nova's API about servers, their migrations and the compute
// services, and has it change them. It decodes the few fields that are judged:
// gophercloud's own types refuse a whole answer for one odd field, its list of
// migrations ends with the first page, its update of a service cannot say
// "forced_down": false, and its writes do not tell the id of a request that was refused.
package compute

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/openstack"
	"nova-orphan/internal/shared"
)

// Client is Nova's API. It may be used by several goroutines at once.
type Client struct {
	service *gophercloud.ServiceClient
	// Asked once for all elements that want to know at the same time.
	listsAll *shared.Question[struct{}]
	cells    *shared.Question[time.Time]
	services *shared.Questions[hosted, []Service]

	mu   sync.Mutex
	sent []Request
}

// New is a client that speaks openstack.ComputeMicroversion, the service's own.
func New(service *gophercloud.ServiceClient) *Client {
	return &Client{service: service, listsAll: &shared.Question[struct{}]{}, cells: &shared.Question[time.Time]{},
		services: &shared.Questions[hosted, []Service]{}}
}

// Connect logs in, and finds Nova.
func Connect(ctx context.Context, auth openstack.Auth, secret func(...string)) (*Client, *openstack.Cloud, error) {
	cloud, err := openstack.Connect(ctx, auth, secret)
	if err != nil {
		return nil, nil, err
	}
	service, err := cloud.Compute()
	if err != nil {
		return nil, nil, err
	}
	return New(service), cloud, nil
}

// Recording is the same client with a record of its own, for one of several elements.
func (c *Client) Recording() *Client {
	return &Client{service: c.service, listsAll: c.listsAll, cells: c.cells, services: c.services}
}

// Request is one that was to change something.
type Request struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	// Status is 0 if there was no answer.
	Status int `json:"status"`
	// RequestID is what Nova's logs call it; empty if there was no answer.
	RequestID string `json:"request_id"`
}

// Sent are the requests so far that were to change something. It never is nil.
func (c *Client) Sent() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Request{}, c.sent...)
}

// write sends what changes something, once. Whoever calls it reads back.
func (c *Client) write(ctx context.Context, method, path, microversion string, body any) error {
	service := *c.service
	service.Microversion = microversion
	options := &gophercloud.RequestOpts{JSONBody: body, OkCodes: []int{http.StatusOK, http.StatusAccepted, http.StatusNoContent}}
	request := Request{Method: method, Path: "/" + path}
	response, err := service.Request(ctx, method, service.ServiceURL(path), options)
	if err == nil {
		defer response.Body.Close()
		request.Status, request.RequestID = response.StatusCode, response.Header.Get("X-Openstack-Request-Id")
	}
	if failure := new(openstack.Failure); errors.As(err, &failure) {
		request.Status, request.RequestID = failure.Status, failure.RequestID
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent = append(c.sent, request)
	return err
}

// get reads what an answer has under a key, and when it was so: by Nova's clock as far as it
// tells it, else by this host's. Of two it is the one that is behind: an operation must not
// look older than it is.
func get[T any](ctx context.Context, c *Client, path, key string) (value T, at time.Time, err error) {
	var answer map[string]json.RawMessage
	response, err := c.service.Get(ctx, c.service.ServiceURL(path), &answer, nil)
	at = time.Now().UTC()
	if err != nil {
		return value, at, err
	}
	if told, parseErr := http.ParseTime(response.Header.Get("Date")); parseErr == nil && told.Before(at) {
		at = told.UTC()
	}
	if raw := answer[key]; raw == nil || string(raw) == "null" {
		err = errors.New("the answer has none")
	} else {
		err = json.Unmarshal(raw, &value)
	}
	if err != nil {
		err = fmt.Errorf("read %s of nova's %s: %w", key, path, err)
	}
	return value, at, err
}
