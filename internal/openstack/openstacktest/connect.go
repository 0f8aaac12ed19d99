package openstacktest

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/openstack"
)

// UUID is a random one of version 4, which the real services take, too.
func UUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Context lasts two minutes, and, other than t.Context(), while the test's clean-up runs.
func Context(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// Connect is the cloud of the OS_* environment, fake or real.
func Connect(t *testing.T) *openstack.Cloud {
	t.Helper()
	cloud, err := openstack.Connect(Context(t), openstack.Auth{}, func(...string) {})
	if err != nil {
		t.Fatalf("with OS_AUTH_URL %q: %v", os.Getenv("OS_AUTH_URL"), err)
	}
	return cloud
}

// Client is one for a service of that cloud, which is named as in
// Client(t, (*openstack.Cloud).Network).
func Client(t *testing.T, named func(*openstack.Cloud) (*gophercloud.ServiceClient, error)) *gophercloud.ServiceClient {
	t.Helper()
	service, err := named(Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	return service
}

// REST is a service that a test asks itself, without the modules' clients.
type REST struct {
	T      *testing.T
	Client *gophercloud.ServiceClient
}

// Ask sends a request, and returns its answer. With wanted, only these statuses are right.
func (s REST) Ask(method, path string, body any, wanted ...int) gjson.Result {
	s.T.Helper()
	answer, err := s.Try(method, path, body, wanted...)
	if err != nil {
		s.T.Fatal(err)
	}
	return answer
}

// Try is Ask for what may fail.
func (s REST) Try(method, path string, body any, wanted ...int) (answer gjson.Result, err error) {
	s.T.Helper()
	if len(wanted) == 0 {
		wanted = []int{200, 201, 202, 204}
	}
	response, err := s.Client.Request(Context(s.T), method, s.Client.ServiceURL(path), &gophercloud.RequestOpts{
		JSONBody: body, OkCodes: wanted, KeepResponseBody: true,
	})
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return gjson.ParseBytes(content), err
}

// Until waits for what a service does in its own time.
func (s REST) Until(what string, so func() bool) {
	s.T.Helper()
	for end := time.Now().Add(2 * time.Minute); !so(); <-time.After(200 * time.Millisecond) {
		if time.Now().After(end) {
			s.T.Fatal("not within two minutes: " + what)
		}
	}
}
