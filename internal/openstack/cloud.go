package openstack

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"

	"nova-orphan/internal/ansible"
)

// Cloud is one OpenStack cloud, as one authenticated user sees it.
type Cloud struct {
	provider   *gophercloud.ProviderClient
	catalog    *tokens.ServiceCatalog
	region     string
	interfaces []gophercloud.Availability
	origin     string
	// services names the service behind an endpoint, for error texts.
	services map[string]string
	// renew asks for another token in place of one that has expired, once, whoever meets it
	// first; nil when there is nothing to ask with.
	renew   func(context.Context) error
	renewed bool
	// mu is for services, renewal for renewed: while it is held, requests are sent that may fail and need mu.
	mu, renewal sync.Mutex
}

// Connect authenticates, in one request. Every secret that it reads goes to secret.
func Connect(ctx context.Context, auth Auth, secret func(...string)) (*Cloud, error) {
	from, err := find(auth, os.Getenv)
	if err != nil {
		return nil, err
	}
	return connect(ctx, from, auth, secret)
}

func connect(ctx context.Context, from source, auth Auth, secret func(...string)) (*Cloud, error) {
	found, err := read(from, auth)
	if err != nil {
		return nil, err
	}
	secret(found.auth.Password, found.auth.TokenID, found.auth.ApplicationCredentialSecret, passwordIn(found.auth.IdentityEndpoint))
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		secret(passwordIn(os.Getenv(name)))
	}
	cloud, err := authenticate(ctx, found, secret)
	if err != nil {
		return nil, fmt.Errorf("authenticate with the credentials of %s: %w", found.origin, err)
	}
	return cloud, nil
}

// passwordIn finds the password in a URL, also in one that does not parse.
func passwordIn(address string) string {
	_, rest, _ := strings.Cut(address, "://")
	host, _, _ := strings.Cut(rest, "/")
	userinfo := host[:max(0, strings.LastIndex(host, "@"))]
	_, password, _ := strings.Cut(userinfo, ":")
	if plain, err := url.PathUnescape(password); err == nil {
		return plain
	}
	return password
}

func authenticate(ctx context.Context, found credentials, secret func(...string)) (*Cloud, error) {
	provider, err := openstack.NewClient(found.auth.IdentityEndpoint)
	if err != nil || !strings.HasPrefix(provider.IdentityBase, "http") {
		return nil, errors.New("auth_url is not a URL like https://HOST:5000/v3")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = found.tls
	// As many as a module works on at a time: a connection that is not kept costs another handshake.
	transport.MaxIdleConnsPerHost = 16
	provider.HTTPClient = http.Client{
		Transport: wholeJSON{transport},
		// net/http would carry X-Auth-Token to any host to which it is sent on.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	provider.UserAgent.Prepend("nova-orphan/" + ansible.Version())
	cloud := &Cloud{
		provider: provider, region: found.region, interfaces: found.interfaces, origin: found.origin,
		services: map[string]string{provider.IdentityBase: "keystone"},
	}
	provider.RetryFunc = cloud.afterFailure
	provider.UseTokenLock()
	login := func(ctx context.Context) error {
		// gophercloud's own locator asks each endpoint for its versions, outside the context.
		defer func() { secret(provider.Token()); provider.EndpointLocator = cloud.locate }()
		// Not Authenticate, which would first ask which versions there are: v2 is long gone.
		return openstack.AuthenticateV3(ctx, provider, &found.auth, gophercloud.EndpointOpts{})
	}
	if err = login(ctx); err != nil {
		return nil, err
	}
	if found.auth.TokenID == "" {
		cloud.renew = login
	}
	result, ok := provider.GetAuthResult().(interface {
		ExtractServiceCatalog() (*tokens.ServiceCatalog, error)
	})
	if !ok {
		return nil, errors.New("keystone's answer has no service catalog")
	}
	if cloud.catalog, err = result.ExtractServiceCatalog(); err != nil {
		return nil, fmt.Errorf("read keystone's service catalog: %w", err)
	}
	return cloud, nil
}

// Placement is a client for Placement at PlacementMicroversion.
func (c *Cloud) Placement() (*gophercloud.ServiceClient, error) {
	return c.client(openstack.NewPlacementV1, "placement", PlacementMicroversion)
}

// Compute is a client for Nova at ComputeMicroversion.
func (c *Cloud) Compute() (*gophercloud.ServiceClient, error) {
	return c.client(openstack.NewComputeV2, "nova", ComputeMicroversion)
}

// BlockStorage is a client for Cinder at BlockStorageMicroversion; ErrNoService if
// the cloud has none.
func (c *Cloud) BlockStorage() (*gophercloud.ServiceClient, error) {
	return c.client(openstack.NewBlockStorageV3, "cinder", BlockStorageMicroversion)
}

// Network is a client for Neutron; ErrNoService if the cloud has none.
func (c *Cloud) Network() (*gophercloud.ServiceClient, error) {
	return c.client(openstack.NewNetworkV2, "neutron", "")
}

// Image is a client for Glance; ErrNoService if the cloud has none.
func (c *Cloud) Image() (*gophercloud.ServiceClient, error) {
	return c.client(openstack.NewImageV2, "glance", "")
}

// ErrNoService is a service of which the catalog has not one endpoint, in no
// region. That the cloud does not have it is then a fact, and no wrong option.
var ErrNoService = errors.New("the cloud has no such service")

type factory func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)

func (c *Cloud) client(make factory, name, microversion string) (*gophercloud.ServiceClient, error) {
	client, err := make(c.provider, gophercloud.EndpointOpts{Region: c.region})
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.services[client.Endpoint] = name
	client.Microversion = microversion
	return client, nil
}

func (c *Cloud) locate(wanted gophercloud.EndpointOpts) (string, error) {
	kinds := catalogTypes(wanted.Type)
	known := false
	for _, availability := range c.interfaces {
		for _, entry := range c.catalog.Entries {
			if !slices.Contains(kinds, entry.Type) {
				continue
			}
			known = known || len(entry.Endpoints) > 0
			for _, endpoint := range entry.Endpoints {
				inRegion := wanted.Region == "" || endpoint.RegionID == wanted.Region || endpoint.Region == wanted.Region
				if inRegion && gophercloud.Availability(endpoint.Interface) == availability {
					return gophercloud.NormalizeURL(endpoint.URL), nil
				}
			}
		}
	}
	if !known {
		return "", fmt.Errorf("keystone's catalog has no endpoint for %s: %w", kinds[0], ErrNoService)
	}
	region := "any region"
	if wanted.Region != "" {
		region = "region " + wanted.Region
	}
	return "", fmt.Errorf("keystone's catalog has no endpoint for %s with interface %v in %s: check region_name and interface", kinds[0],
		c.interfaces, region)
}

// catalogTypes are the names under which a service may stand in the catalog.
// gophercloud's aliases of Cinder include volumev2, which has no attachments.
func catalogTypes(kind string) []string {
	if kind == "block-storage" {
		return []string{"volumev3", "block-storage"}
	}
	return []string{kind}
}
