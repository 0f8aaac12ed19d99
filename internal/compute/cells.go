package compute

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"nova-orphan/internal/openstack"
)

// ListsAll is an error unless Nova's lists leave nothing out: neither other projects'
// servers, from this user, nor what is in a cell that is down. It says so of now: ask
// it after the list. It is asked once for all who want to know at the same time.
//
// That all_tenants is granted is not enough: a server of another project is 404 to
// everyone who is no administrator by the policy context_is_admin. Only to such a one
// does Nova list deleted servers (nova/api/openstack/compute/servers.py _get_servers).
func (c *Client) ListsAll(ctx context.Context) error {
	_, err := c.listsAll.Ask(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, c.askWhetherListsHaveAll(ctx) })
	return err
}

func (c *Client) askWhetherListsHaveAll(ctx context.Context) error {
	// No server has this uuid, so that the answer is short.
	const none = "00000000-0000-0000-0000-000000000000"
	query := url.Values{"all_tenants": {"True"}, "status": {"deleted"}, "limit": {"1"}, "uuid": {none}}
	if _, _, err := get[any](ctx, c, "servers?"+query.Encode(), "servers"); err != nil {
		return err
	}
	return c.EveryCellAnswers(ctx)
}

// EveryCellAnswers is an error unless it does. It asks each cell, cell0 too, for the servers of a project that there
// is not. Nova asks one cell after the other for them and passes over no failure
// (nova/api/openstack/compute/simple_tenant_usage.py _get_instances_all_cells). From its
// lists it omits a cell that is down, and says so in its log only (nova/compute/multi_cell_list.py
// get_records_sorted), unless [api]list_records_by_skipping_down_cells is off; os-services
// shows such a cell from 2.69 on, but only by its host mappings (nova/compute/api.py service_get_all).
func (c *Client) EveryCellAnswers(ctx context.Context) error {
	_, err := c.CellsAnsweredAt(ctx)
	return err
}

// CellsAnsweredAt is EveryCellAnswers, and when that was: by Nova's clock or this host's, whichever is behind.
func (c *Client) CellsAnsweredAt(ctx context.Context) (time.Time, error) {
	return c.cells.Ask(ctx, c.askEveryCell)
}

func (c *Client) askEveryCell(ctx context.Context) (time.Time, error) {
	_, at, err := get[struct{}](ctx, c, "os-simple-tenant-usage/none?"+url.Values{"start": {"2000-01-01T00:00:00"},
		"end": {"2000-01-01T00:00:01"}, "limit": {"1"}}.Encode(), "tenant_usage")
	if failure := new(openstack.Failure); errors.As(err, &failure) && failure.Status/100 == 4 {
		return at, fmt.Errorf("cannot tell whether every cell of Nova's answers, and its lists leave out one that does not without a word: %w",
			err)
	}
	if err != nil {
		return at, fmt.Errorf("a cell of Nova's may be down, and its lists leave that out without a word "+
			"(the log of nova-api names it: bring its database back; only one that is no more, and is not cell0, is for nova-manage cell_v2 "+
			"delete_cell): %w", err)
	}
	return at, nil
}
