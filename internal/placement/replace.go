package placement

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/placement/v1/allocations"
	"github.com/tidwall/gjson"
)

// ConflictError is Placement's answer 409 to a write.
type ConflictError struct {
	// Concurrent: someone else wrote at the same time (code
	// placement.concurrent_update), either the consumer's allocation or a provider's.
	// Only their texts differ, and no text needs to be read: whoever reads the
	// allocation again sees by its generation which of the two it was, and may try
	// again. Otherwise capacity or a constraint forbids the write, and would again.
	Concurrent bool
	Detail     string // Placement's own words, in one line
	cause      error
}

func (e *ConflictError) Error() string { return "placement refuses: " + e.Detail }

// Unwrap returns gophercloud's error.
func (e *ConflictError) Unwrap() error { return e.cause }

// Replace makes the allocation all that its consumer holds; one without
// providers removes it. A 409 is a *ConflictError.
//
// It is a PUT also when it removes, since DELETE checks no generation. Placement
// deletes the emptied consumer itself (objects/allocation.py replace_all). For a
// consumer that it does not know, such a PUT would leave an empty one behind for
// ever, so that this is an error here.
func (c *Client) Replace(ctx context.Context, allocation Allocation) error {
	if allocation.Empty() && allocation.Generation == nil {
		return fmt.Errorf("replace the allocation of %s: it holds nothing, there is nothing to remove", allocation.Consumer)
	}
	options := allocations.UpdateOpts{
		Allocations:        map[string]allocations.ProviderAllocationsOpts{},
		ProjectID:          allocation.ProjectID,
		UserID:             allocation.UserID,
		ConsumerGeneration: allocation.Generation,
	}
	for provider, resources := range allocation.Providers {
		options.Allocations[provider] = allocations.ProviderAllocationsOpts{Resources: resources}
	}
	err := allocations.Update(ctx, c.service, allocation.Consumer, options).ExtractErr()
	if err == nil {
		return nil
	}
	var code gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &code) && code.Actual == http.StatusConflict {
		err = &ConflictError{
			Concurrent: gjson.GetBytes(code.Body, "errors.0.code").String() == "placement.concurrent_update",
			Detail:     oneLine(gjson.GetBytes(code.Body, "errors.0.detail").String()),
			cause:      err,
		}
	}
	return fmt.Errorf("replace the allocation of %s: %w", allocation.Consumer, err)
}

func oneLine(text string) string {
	return strings.TrimSuffix(strings.Join(strings.Fields(text), " "), ".")
}
