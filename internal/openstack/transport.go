package openstack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
)

// maxAnswer bounds an answer, unpacked, in bytes. A page of 1000 migrations takes
// half a MiB.
const maxAnswer = 32 << 20

// wholeJSON reads every answer to its end, so that one that is cut off, too long,
// or comes from a proxy in a service's place is a request that failed, which may be
// repeated, and never half an answer.
type wholeJSON struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (w wholeJSON) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := w.next.RoundTrip(request)
	if err != nil {
		return response, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if response.StatusCode >= 300 {
		return response, nil // the status says it all, whatever came of the body
	}
	if err == nil {
		err = usable(response, body)
	}
	if err != nil {
		return nil, fmt.Errorf("status %d, but %w", response.StatusCode, err)
	}
	return response, nil
}

// usable says why this is not the answer of an OpenStack API.
func usable(response *http.Response, body []byte) error {
	// To what it only accepts (202) or has nothing to say (204), a service answers nothing.
	tells := response.StatusCode == http.StatusOK || response.StatusCode == http.StatusCreated
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case len(body) > maxAnswer:
		return fmt.Errorf("an answer of more than %d MiB, which is no OpenStack API's: check the URL, and proxies", maxAnswer>>20)
	case len(body) == 0 && tells:
		return errors.New("an empty answer instead of JSON: check the URL, and proxies")
	case len(body) == 0:
		return nil
	case kind != "application/json":
		return fmt.Errorf("%q instead of JSON, which no OpenStack API sends: check the URL, and proxies", kind)
	case !json.Valid(body):
		return errors.New("an answer that calls itself JSON and is not: check the URL, and proxies")
	}
	return nil
}
