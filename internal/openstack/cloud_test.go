package openstack_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
)

func newCloud(t *testing.T) (*openstacktest.Cloud, openstack.Auth) {
	t.Helper()
	cloud := openstacktest.New()
	t.Cleanup(cloud.Close)
	return cloud, openstack.Auth{Auth: map[string]any{"auth_url": cloud.AuthURL(), "username": "admin", "password": openstacktest.Password,
		"project_name": "admin"}}
}

func TestConnectTakesOneRequestAndGivesAwayEverySecret(t *testing.T) {
	cloud, auth := newCloud(t)
	var secrets []string
	connected, err := openstack.Connect(t.Context(), auth, func(values ...string) { secrets = append(secrets, values...) })
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{openstacktest.Password, openstacktest.Token} {
		if !strings.Contains(strings.Join(secrets, " "), want) {
			t.Errorf("%s is not among the secrets", want)
		}
	}
	for _, client := range []func() (*gophercloud.ServiceClient, error){connected.Placement, connected.Compute} {
		if _, err := client(); err != nil {
			t.Error(err)
		}
	}
	if got := cloud.Requests(); len(got) != 1 {
		t.Errorf("requests: %v", got)
	}
}

// get asks the fake Placement for an allocation.
func get(ctx context.Context, auth openstack.Auth) error {
	connected, err := openstack.Connect(ctx, auth, func(...string) {})
	if err != nil {
		return err
	}
	client, err := connected.Placement()
	if err != nil {
		return err
	}
	_, err = client.Get(ctx, client.ServiceURL("allocations", "x"), nil, nil)
	return err
}

func TestEachRequestNamesTheProgramAndItsVersion(t *testing.T) {
	cloud, auth := newCloud(t)
	var agent string
	cloud.Fail(openstacktest.Failure{Method: "GET", Path: "/placement", Times: 1, Answer: func(w http.ResponseWriter, r *http.Request) {
		agent = r.UserAgent()
		w.WriteHeader(http.StatusNotFound)
	}})
	if err := get(t.Context(), auth); !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		t.Fatalf("got %v", err)
	}
	if !strings.HasPrefix(agent, "nova-orphan/"+ansible.Version()+" ") {
		t.Errorf("the user agent is %q", agent)
	}
}

func TestAFailureSaysWhoWhatAndWhatToCheck(t *testing.T) {
	const html, path = "<html>\nhunter2\n</html>", "/placement/allocations/x"
	for _, test := range []struct {
		name     string
		failure  openstacktest.Failure
		requests int
		want     []string
	}{
		{"401 of keystone", openstacktest.Failure{Method: "POST", Path: "/identity", Status: 401, Times: 1, Body: `{"error": {"message": "no"}}`},
			1,
			[]string{"keystone answered 401 Unauthorized to POST http://",
				": no: check user, password, project and their domains in the option auth"}},
		{"401 of a service", openstacktest.Failure{Method: "GET", Path: path, Status: 401, Times: 9, Body: html}, 4,
			[]string{"placement answered 401 Unauthorized to GET http://", path, "[keystone_authtoken]"}},
		{"403", openstacktest.Failure{Method: "GET", Path: path, Status: 403, Times: 1, Body: `{"errors": [{"detail": "Access\nwas denied"}]}`},
			2,
			[]string{"placement answered 403 Forbidden", ": Access was denied: the user of the option auth lacks the role for it"}},
		{"404 of a web server", openstacktest.Failure{Method: "GET", Path: path, Status: 404, Times: 1, Body: html}, 2,
			[]string{"placement answered 404 Not Found", "is that the service's endpoint?"}},
		{"500 is not repeated", openstacktest.Failure{Method: "GET", Path: path, Status: 500, Times: 9, Body: html}, 2,
			[]string{"placement answered 500 Internal Server Error", "see the log of placement"}},
		{"503 is, a few times", openstacktest.Failure{Method: "GET", Path: path, Status: 503, Times: 9, Body: html}, 5,
			[]string{"placement answered 503 Service Unavailable", "see the log of placement, or of the proxy before it"}},
		{"a page instead of JSON", openstacktest.Failure{Method: "GET", Path: path, Status: 200, Times: 1, Body: html}, 2,
			[]string{"placement gave no usable answer to GET http://", `status 200, but "text/html" instead of JSON`, "check the URL, and proxies"}},
		{"a cut connection", openstacktest.Failure{Method: "GET", Path: path, Status: 0, Times: 9}, 5,
			[]string{"placement gave no usable answer to GET http://"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cloud, auth := newCloud(t)
			cloud.Fail(test.failure)
			err := get(t.Context(), auth)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "hunter2") ||
				strings.Contains(err.Error(), openstacktest.Token) {
				t.Errorf("it takes more than a line, or tells too much: %v", err)
			}
			var failure *openstack.Failure
			if !errors.As(err, &failure) || test.failure.Status >= 400 && failure.Status != test.failure.Status {
				t.Errorf("got %#v", failure)
			}
			if got := cloud.Requests(); len(got) < test.requests || test.failure.Status != 0 && len(got) != test.requests {
				t.Errorf("%d requests: %v", len(got), got)
			}
		})
	}
}

func TestAWriteIsNeverRepeated(t *testing.T) {
	cloud, auth := newCloud(t)
	connected, err := openstack.Connect(t.Context(), auth, func(...string) {})
	if err != nil {
		t.Fatal(err)
	}
	client, err := connected.Placement()
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []int{0, 500, 502, 503, 504} {
		cloud.Fail(openstacktest.Failure{Method: "PUT", Path: "/placement", Status: status, Times: 1})
		cloud.Requests()
		_, err := client.Put(t.Context(), client.ServiceURL("allocations", "x"), map[string]any{}, nil, nil)
		var failure *openstack.Failure
		if !errors.As(err, &failure) || !openstack.Uncertain(err) {
			t.Errorf("%d: got %v", status, err)
		}
		if got := cloud.Requests(); len(got) != 1 {
			t.Errorf("%d: requests %v", status, got)
		}
	}
}

func TestATokenThatExpiresIsRenewedOnceForReadsAndWrites(t *testing.T) {
	for _, method := range []string{"GET", "PUT"} {
		cloud, auth := newCloud(t)
		var secrets []string
		connected, err := openstack.Connect(t.Context(), auth, func(values ...string) { secrets = append(secrets, values...) })
		if err != nil {
			t.Fatal(err)
		}
		client, err := connected.Placement()
		if err != nil {
			t.Fatal(err)
		}
		ask := func() error {
			_, err := client.Request(t.Context(), method, client.ServiceURL("allocations", "x"), &gophercloud.RequestOpts{
				JSONBody: map[string]any{"allocations": map[string]any{}, "project_id": "p", "user_id": "u"}, OkCodes: []int{200, 204},
			})
			return err
		}
		cloud.Expire()
		if err := ask(); err != nil {
			t.Errorf("%s: %v", method, err)
		}
		if want := cloud.Token(); !slices.Contains(secrets, want) {
			t.Errorf("%s: the new token %s is not among the secrets %v", method, want, secrets)
		}
		cloud.Expire()
		if err := ask(); !gophercloud.ResponseCodeIs(err, http.StatusUnauthorized) {
			t.Errorf("%s: got %v, want the second 401 to be told", method, err)
		}
	}
}

func TestARequestEndsWithItsDeadline(t *testing.T) {
	stop := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(stop) })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := get(ctx, openstack.Auth{Auth: map[string]any{"auth_url": silent.URL, "username": "u", "password": "p"}})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(),
		"keystone gave no usable answer to POST "+silent.URL+"/v3/auth/tokens") {
		t.Errorf("got %v", err)
	}
}

func TestTLSIsVerified(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	auth := openstack.Auth{Auth: map[string]any{"auth_url": strings.Replace(secure.URL, "https://", "https://u:hunter2@", 1), "username": "u",
		"password": "p"}}
	err := get(t.Context(), auth)
	if err == nil || !strings.Contains(err.Error(), "certificate") || !strings.Contains(err.Error(), "ca_cert") ||
		strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	verify := false
	auth.ValidateCerts = &verify
	if err := get(t.Context(), auth); !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		t.Errorf("without verification: got %v", err)
	}
}

func TestAnEndpointThatIsNotInTheCatalogIsNamed(t *testing.T) {
	cloud, auth := newCloud(t)
	auth.RegionName = "Mars"
	if err := get(t.Context(), auth); err == nil || !strings.Contains(err.Error(),
		"no endpoint for placement with interface [public] in region Mars: check region_name and interface") {
		t.Errorf("got %v", err)
	}
	cloud.Do(func() { cloud.Missing = true })
	auth.RegionName = ""
	connected, err := openstack.Connect(t.Context(), auth, func(...string) {})
	if err != nil {
		t.Fatal(err)
	}
	if client, err := connected.Compute(); err == nil {
		t.Errorf("found %s", client.Endpoint)
	}
}

func TestAKeystoneThatFailsWhileATokenIsRenewedIsAskedAgain(t *testing.T) {
	cloud, auth := newCloud(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	connected, err := openstack.Connect(ctx, auth, func(...string) {})
	if err != nil {
		t.Fatal(err)
	}
	client, err := connected.Placement()
	if err != nil {
		t.Fatal(err)
	}
	cloud.Expire()
	cloud.Fail(openstacktest.Failure{Method: "POST", Path: "/identity", Status: 503, Times: 1})
	done := ansible.Go(func() (bool, error) {
		_, err := client.Get(ctx, client.ServiceURL("allocations", "x"), nil, nil)
		return true, err
	})
	select {
	case o := <-done:
		if o.Err != nil {
			t.Error(o.Err)
		}
	case <-ctx.Done():
		t.Error("it hangs")
	}
}
