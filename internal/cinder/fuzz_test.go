package cinder_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/cinder"
)

// answering answers every request with the same, but that pages have an end.
type answering struct {
	status int
	body   []byte
}

func (a answering) RoundTrip(request *http.Request) (*http.Response, error) {
	body := a.body
	if request.URL.Query().Get("marker") != "" {
		body = []byte(`{"attachments": [], "snapshots": []}`)
	}
	return &http.Response{
		Status: http.StatusText(a.status), StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: request,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}, nil
}

// FuzzAnswers holds the client to this: whatever Cinder answers, there is an error or
// a whole result, of which nothing is a secret, and no panic.
func FuzzAnswers(f *testing.F) {
	const id = "11111111-0000-4000-8000-000000000001"
	for _, body := range []string{
		`{"attachments": [{"id": "` + id + `", "volume_id": "` + id + `", "instance": "` + id +
			`", "status": "attached", "connection_info": {"driver_volume_type": "rbd", "keyring": "planted", "hosts": ["h"]}}]}`,
		`{"attachments": [{"id": "` + id + `", "volume_id": "` + id + `", "instance": "` + id + `", "connection_info": "planted"}]}`,
		`{"attachments": [{"id": "` + id + `", "volume_id": "` + id +
			`", "connection_info": {"hosts": {"a": "planted"}, "name": ["planted"], "target_luns": 7}}]}`,
		`{"volume": {"id": "` + id + `", "status": "in-use", "attachments": [{"attachment_id": "` + id + `"}], "multiattach": true}}`,
		`{"snapshots": [{"id": "` + id + `", "volume_id": "` + id + `", "status": "available"}]}`, `{"snapshot": {"id": "` + id + `"}}`,
		`{"attachments": null}`, `{"attachments": {}}`, `{"attachments": [null]}`, `{"volume": null}`, `{}`, `[]`, `null`, `7`, ``,
		`{"itemNotFound": {"code": 404, "message": "no"}}`,
	} {
		f.Add(200, []byte(body))
		f.Add(404, []byte(body))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return // not a status of HTTP
		}
		client := cinder.New(&gophercloud.ServiceClient{
			ProviderClient: &gophercloud.ProviderClient{HTTPClient: http.Client{Transport: answering{status, body}}}, Endpoint: "http://cinder/",
			Type: "block-storage",
		})
		for _, list := range []func() ([]cinder.Attachment, error){
			func() ([]cinder.Attachment, error) { return client.Attachments(t.Context(), id) },
			func() ([]cinder.Attachment, error) { return client.AttachmentsOf(t.Context(), id) },
		} {
			found, err := list()
			for _, a := range found {
				if err != nil || a.ID == "" || a.Instance != id && a.VolumeID != id {
					t.Errorf("got %+v, %v", a, err)
				}
				content, _ := json.Marshal(a.Connection)
				if bytes.Contains(body, []byte(`"keyring": "planted"`)) && strings.Contains(string(content), "planted") {
					t.Errorf("it tells a secret: %s", content)
				}
			}
		}
		if v, err := client.Volume(t.Context(), id); v != nil && (err != nil || v.ID != id || v.Status == "") {
			t.Errorf("got %+v, %v", v, err)
		}
		if s, err := client.Snapshot(t.Context(), id); s != nil && (err != nil || s.ID != id) {
			t.Errorf("got %+v, %v", s, err)
		}
		for _, s := range ignoreError(client.Snapshots(t.Context(), id)) {
			if s.ID == "" || s.VolumeID != id {
				t.Errorf("got %+v", s)
			}
		}
		_, _ = client.AttachmentExists(t.Context(), id)
		_, _ = client.DeleteAttachment(t.Context(), id, "token")
		_, _ = client.DeleteSnapshot(t.Context(), id)
	})
}

func ignoreError[T any](value T, _ error) T { return value }
