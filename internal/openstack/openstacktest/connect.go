package openstacktest

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/openstack"
)

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
