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

// Services are those of this binary, on this host unless it is empty. There are none
// only if every cell answers; of several, some may be missing.
func (c *Client) Services(ctx context.Context, binary, host string) ([]Service, error) {
	query := url.Values{"binary": {binary}}
	if host != "" {
		query.Set("host", host)
	}
	found, _, err := get[[]Service](ctx, c, "os-services?"+query.Encode(), "services")
	if err == nil && len(found) == 0 {
		err = c.EveryCellAnswers(ctx)
	}
	return found, err
}

// ForceDown has a nova-compute service count as down, or no longer. Nova refuses other
// binaries, and to take the flag from a host with evacuations that its nova-compute
// has not cleaned up after (nova/api/openstack/compute/services.py update).
func (c *Client) ForceDown(ctx context.Context, service string, value bool) error {
	return c.write(ctx, http.MethodPut, "os-services/"+service, c.service.Microversion, map[string]bool{"forced_down": value})
}
