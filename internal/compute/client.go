// Package compute asks Nova's API about servers, their migrations and the compute
// services, and has it change them. It decodes the few fields that are judged:
// gophercloud's own types refuse a whole answer for one odd field, its list of
// migrations ends with the first page, and its update of a service cannot say
// "forced_down": false.
package compute

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/openstack"
)

// Client is Nova's API.
type Client struct {
	service *gophercloud.ServiceClient
	sent    []Request
}

// New is a client that speaks openstack.ComputeMicroversion, the service's own.
func New(service *gophercloud.ServiceClient) *Client { return &Client{service: service} }

// Request is one that was to change something.
type Request struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	// Status is 0 if there was no answer.
	Status int `json:"status"`
	// RequestID is what Nova's logs call it; empty if there was no answer.
	RequestID string `json:"request_id"`
}

// Sent are the requests so far that were to change something.
func (c *Client) Sent() []Request { return c.sent }

// write sends what changes something, once. Whoever calls it reads back.
func (c *Client) write(ctx context.Context, method, path, microversion string, body any) error {
	service := *c.service
	service.Microversion = microversion
	options := &gophercloud.RequestOpts{JSONBody: body, OkCodes: []int{http.StatusOK, http.StatusAccepted, http.StatusNoContent}}
	request := Request{Method: method, Path: "/" + path}
	response, err := service.Request(ctx, method, service.ServiceURL(path), options)
	if err == nil {
		defer response.Body.Close()
		request.Status, request.RequestID = response.StatusCode, response.Header.Get(requestID)
	}
	if failure := new(openstack.Failure); errors.As(err, &failure) {
		request.Status, request.RequestID = failure.Status, failure.RequestID
	}
	c.sent = append(c.sent, request)
	return err
}

const requestID = "X-Openstack-Request-Id"

// read returns Nova's clock as far as it tells it, else this host's. Of two it is the
// one that is behind: an operation must not look older than it is.
func (c *Client) read(ctx context.Context, path string, into any) (at time.Time, err error) {
	response, err := c.service.Get(ctx, c.service.ServiceURL(path), into, nil)
	at = time.Now().UTC()
	if err != nil {
		return at, err
	}
	if told, parseErr := http.ParseTime(response.Header.Get("Date")); parseErr == nil && told.Before(at) {
		at = told.UTC()
	}
	return at, nil
}
