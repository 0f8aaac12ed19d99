package compute

import (
	"context"
	"net/http"
	"net/url"
)

// Service is a service of Nova's on a host.
type Service struct {
	ID     string `json:"id"` // a UUID from 2.53 on
	Host   string `json:"host"`
	Binary string `json:"binary"`
	Zone   string `json:"zone"`
	// State is up or down: whether it has reported lately, and is not forced down.
	State string `json:"state"`
	// Status is enabled or disabled: whether the scheduler may use the host.
	Status         string  `json:"status"`
	DisabledReason *string `json:"disabled_reason"`
	ForcedDown     bool    `json:"forced_down"`
	UpdatedAt      *string `json:"updated_at"`
}

// hosted are services of a kind: those on a host, or on all where that is empty.
type hosted struct{ binary, host string }

// Services are those of this binary, on this host unless it is empty. There are none
// only if every cell answers; of several, some may be missing.
func (c *Client) Services(ctx context.Context, binary, host string) ([]Service, error) {
	found, err := c.services.Ask(ctx, hosted{binary, host}, c.readServices)
	if err == nil && len(found) == 0 {
		err = c.EveryCellAnswers(ctx)
	}
	return found, err
}

// readServices asks for several in one: Nova reads all of them for any list, and then leaves out what is of another host
// or binary (nova/api/openstack/compute/services.py _get_services).
func (c *Client) readServices(ctx context.Context, wanted []hosted) (map[hosted][]Service, error) {
	query := url.Values{}
	if len(wanted) == 1 {
		query.Set("binary", wanted[0].binary)
		if wanted[0].host != "" {
			query.Set("host", wanted[0].host)
		}
	}
	all, _, err := get[[]Service](ctx, c, "os-services?"+query.Encode(), "services")
	found := map[hosted][]Service{}
	for _, service := range all {
		for _, whose := range []hosted{{service.Binary, service.Host}, {service.Binary, ""}} {
			found[whose] = append(found[whose], service)
		}
	}
	return found, err
}

// ForceDown has a nova-compute service count as down, or no longer. Nova refuses other
// binaries, and to take the flag from a host with evacuations that its nova-compute
// has not cleaned up after (nova/api/openstack/compute/services.py update).
func (c *Client) ForceDown(ctx context.Context, service string, value bool) error {
	return c.write(ctx, http.MethodPut, "os-services/"+service, c.service.Microversion, map[string]bool{"forced_down": value})
}
