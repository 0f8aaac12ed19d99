package openstack

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/tidwall/gjson"
)

// Failure is a request that a service refused or did not answer. It wraps
// gophercloud's error, so that gophercloud.ResponseCodeIs sees through it.
type Failure struct {
	Service string // keystone, placement, nova, cinder, neutron, glance
	Method  string
	URL     string // without credentials
	Status  int    // 0: no answer
	Detail  string // the service's own words, in one line
	// RequestID is what the service's logs call the request; empty if it did not say.
	RequestID string
	// location is where a redirection leads to.
	location string
	hint     string
	cause    error
}

func (f *Failure) Error() string {
	request := f.Method + " " + f.URL
	text := fmt.Sprintf("%s answered %d %s to %s", f.Service, f.Status, http.StatusText(f.Status), request)
	if f.Status == 0 {
		text = fmt.Sprintf("%s gave no usable answer to %s", f.Service, request)
	}
	for _, more := range []string{f.Detail, f.hint} {
		if more != "" {
			text += ": " + more
		}
	}
	return text
}

// Unwrap returns gophercloud's error.
func (f *Failure) Unwrap() error { return f.cause }

// Uncertain says of the error of a write that it may have been carried out all the same:
// its answer was lost, or comes from a proxy that gave up.
func Uncertain(err error) bool {
	var f *Failure
	return errors.As(err, &f) && f.Method != http.MethodGet && (f.Status == 0 && !errors.Is(f.cause, syscall.ECONNREFUSED) || f.Status >= 500)
}

// Found says of a request whether the service has what it is about: 404 is an answer, any
// other error is one, and told with what was asked.
func Found(err error, format string, values ...any) (bool, error) {
	if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf(format+": %w", append(values, err)...)
	}
	return true, nil
}

// transient says that the same request may succeed a moment later.
func (f *Failure) transient() bool {
	switch f.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case 0:
		return slices.ContainsFunc([]error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF},
			func(passing error) bool { return errors.Is(f.cause, passing) })
	}
	return false
}

const maxTries = 4

// afterFailure is gophercloud's RetryFunc: nil means "try again".
func (c *Cloud) afterFailure(ctx context.Context, method, url string, _ *gophercloud.RequestOpts, err error, failures uint) error {
	failure := c.failure(method, url, err)
	// A service that refuses two tokens refuses them all.
	if failure.Status == http.StatusUnauthorized && failure.Service != "keystone" && c.renew != nil {
		switch again, err := c.renewOnce(ctx, failures); {
		case !again:
			return failure
		case err != nil:
			return fmt.Errorf("%s refused the token, and a new one was not to be had: %w", failure.Service, err)
		}
		return nil // a refused request was not carried out, so that a write is repeated, too
	}
	// Asking for a token is a POST that can be repeated.
	reads := method == http.MethodGet || strings.HasSuffix(url, "/auth/tokens")
	if !reads || !failure.transient() || failures >= maxTries || Pause(ctx, failures) != nil {
		return failure
	}
	return nil
}

// renewOnce is for requests that are under way at the same time, too: the token of the
// others was renewed by the first.
func (c *Cloud) renewOnce(ctx context.Context, failures uint) (again bool, err error) {
	c.renewal.Lock()
	defer c.renewal.Unlock()
	if c.renewed {
		return failures == 1, nil
	}
	c.renewed = true
	return true, c.renew(ctx)
}

// FirstPause is how long Pause waits after the first failure. A fake cloud recovers
// at once, so that tests against it make it shorter.
var FirstPause = 200 * time.Millisecond

// Pause waits before another try or look: FirstPause after the first, then twice as
// long each time, 3.2 s at most. It does not wait for what lies beyond the context's deadline.
func Pause(ctx context.Context, failures uint) error {
	wait := FirstPause << min(failures-1, 4)
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		return context.DeadlineExceeded
	}
	return Sleep(ctx, wait)
}

// Sleep waits, unless the context ends before.
func Sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

func (c *Cloud) failure(method, address string, err error) *Failure {
	failure := &Failure{Service: c.service(address), Method: method, URL: plain(address), cause: err}
	var code gophercloud.ErrUnexpectedResponseCode
	var transport *url.Error
	switch {
	case errors.As(err, &code):
		failure.Status, failure.Detail = code.Actual, detail(code.Body)
		failure.RequestID = code.ResponseHeader.Get("X-Openstack-Request-Id")
		failure.location = plain(code.ResponseHeader.Get("Location"))
	case errors.As(err, &transport):
		failure.Detail = transport.Err.Error()
	default:
		failure.Detail = err.Error()
	}
	failure.hint = c.hint(failure)
	return failure
}

// service is the one with the longest endpoint of those that the address begins with:
// Keystone may be at the root of a host that the others share.
func (c *Cloud) service(address string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	longest := ""
	for endpoint := range c.services {
		if strings.HasPrefix(address, endpoint) && len(endpoint) > len(longest) {
			longest = endpoint
		}
	}
	return cmp.Or(c.services[longest], "keystone")
}

func (c *Cloud) hint(f *Failure) string {
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(f.cause, &certificate):
		return "give the authority's certificate as ca_cert, and check the host name in the URL"
	case errors.Is(f.cause, syscall.ECONNREFUSED) && f.Service == "keystone":
		return "does it run, and is auth_url the one for this host?"
	case errors.Is(f.cause, syscall.ECONNREFUSED):
		return "does it run, and is its endpoint reachable from this host? see interface and region_name"
	case f.Status >= 300 && f.Status < 400:
		return "it sends on to " + f.location + ", and the token is not carried there: let auth_url, or the catalog's endpoint, be the final URL"
	case f.Status == http.StatusUnauthorized && f.Service == "keystone":
		return "check user, password, project and their domains in " + c.origin
	case f.Status == http.StatusUnauthorized:
		return "it does not accept keystone's token: check its own [keystone_authtoken]"
	case f.Status == http.StatusForbidden:
		return "the user of " + c.origin + " lacks the role for it: use an admin"
	case f.Status == http.StatusNotFound:
		return "is that the service's endpoint? see interface and region_name"
	case f.Status == http.StatusNotAcceptable:
		return "it does not speak the microversion that was asked for"
	case f.Status >= 500:
		return "see the log of " + f.Service + ", or of the proxy before it"
	}
	return ""
}

// detail finds the service's words: Placement's errors[0].detail, Keystone's
// error.message, Nova's KIND.message. The body of a proxy's page says nothing.
func detail(body []byte) string {
	if !gjson.ValidBytes(body) {
		return ""
	}
	text := gjson.GetBytes(body, "errors.0.detail").String()
	if text == "" {
		gjson.ParseBytes(body).ForEach(func(_, value gjson.Result) bool {
			text = value.Get("message").String()
			return text == ""
		})
	}
	return short(strings.TrimSuffix(strings.Join(strings.Fields(text), " "), "."))
}

func short(text string) string {
	if runes := []rune(text); len(runes) > 300 {
		return string(runes[:300]) + "..."
	}
	return text
}

func plain(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return "(a URL that is none)"
	}
	parsed.User = nil
	return short(parsed.String())
}
