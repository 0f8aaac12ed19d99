package compute

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"nova-orphan/internal/openstack"
)

// Server is a server as the API shows it to an admin, by the API's own names. A
// server whose cell does not answer has little more than an ID.
type Server struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Status       string   `json:"status"`
	VMState      string   `json:"OS-EXT-STS:vm_state"`
	TaskState    string   `json:"OS-EXT-STS:task_state"`
	PowerState   *int     `json:"OS-EXT-STS:power_state"`
	Host         string   `json:"OS-EXT-SRV-ATTR:host"`
	Hypervisor   string   `json:"OS-EXT-SRV-ATTR:hypervisor_hostname"`
	InstanceName string   `json:"OS-EXT-SRV-ATTR:instance_name"`
	HostStatus   string   `json:"host_status"`
	RootDevice   string   `json:"OS-EXT-SRV-ATTR:root_device_name"`
	ProjectID    string   `json:"tenant_id"`
	UserID       string   `json:"user_id"`
	Locked       bool     `json:"locked"`
	LockedReason string   `json:"locked_reason"`
	Volumes      []Volume `json:"os-extended-volumes:volumes_attached"`
	Created      string   `json:"created"`
	Updated      string   `json:"updated"`
	Flavor       struct {
		Name string `json:"original_name"`
	} `json:"flavor"`
	Fault *Fault `json:"fault"`

	// Raw is all that the API said of it, and At when.
	Raw json.RawMessage `json:"-"`
	At  time.Time       `json:"-"`
}

// Volume is an attached volume.
type Volume struct {
	ID                  string `json:"id"`
	DeleteOnTermination bool   `json:"delete_on_termination"`
}

// Fault is why a server is in ERROR.
type Fault struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Created string `json:"created"`
}

// Server is nil for a UUID that the API does not find, or that it hides from the user.
func (c *Client) Server(ctx context.Context, uuid string) (*Server, error) {
	raw, at, err := get[json.RawMessage](ctx, c, "servers/"+uuid, "server")
	if gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	server, err := serverFrom(raw, uuid, at)
	if err == nil && server.ID != uuid {
		return nil, fmt.Errorf("read server %s: the answer is about %q", uuid, server.ID)
	}
	return server, err
}

// Find takes no 404 for an answer: Nova gives it also for a server that it hides from
// the user or that has lost its mapping (nova/compute/api.py _get_instance). Without a
// server and an error, there is none in any project and cell. One that is unmapped is
// listed, but no request reaches it.
//
// Before the list, too, it asks whether every cell answers: one that has just come back was perhaps not in it.
func (c *Client) Find(ctx context.Context, uuid string) (server *Server, unmapped bool, err error) {
	if server, err = c.Server(ctx, uuid); err != nil || server != nil {
		return server, false, err
	}
	before := c.EveryCellAnswers(ctx)
	if server, err = c.Listed(ctx, uuid); err == nil && server == nil {
		err = cmp.Or(c.ListsAll(ctx), before)
	}
	return server, server != nil, err
}

// Listed looks for a server in the list of all projects' servers, which asks every
// cell, and so, other than Server, needs no instance mapping. That it has none is a
// proof only if every cell answers before, and the client ListsAll after.
func (c *Client) Listed(ctx context.Context, uuid string) (*Server, error) {
	query := "?" + url.Values{"all_tenants": {"True"}, "uuid": {uuid}}.Encode()
	// Details cost Nova twice the time, and most often there is nothing to tell them of.
	found, at, err := get[[]json.RawMessage](ctx, c, "servers"+query, "servers")
	if err == nil && len(found) > 0 {
		found, at, err = get[[]json.RawMessage](ctx, c, "servers/detail"+query, "servers")
	}
	if err != nil || len(found) == 0 {
		return nil, err
	}
	server, err := serverFrom(found[0], uuid, at)
	if err == nil && server.ID != uuid { // to whom the policy allow_all_filters is not granted
		return nil, fmt.Errorf("list server %s: Nova ignores that filter for this user", uuid)
	}
	return server, err
}

func serverFrom(raw json.RawMessage, uuid string, at time.Time) (*Server, error) {
	server := &Server{Raw: raw, At: at}
	if err := json.Unmarshal(raw, server); err != nil {
		return nil, fmt.Errorf("read server %s: %w", uuid, err)
	}
	return server, nil
}

// LockedReason is why a server was locked, as Nova tells since 2.73 (Train); it
// is empty where Nova is older, was given no reason, or finds no server.
func (c *Client) LockedReason(ctx context.Context, uuid string) (string, error) {
	telling := *c.service
	telling.Microversion = openstack.LockedReasonMicroversion
	server, err := New(&telling).Server(ctx, uuid)
	if gophercloud.ResponseCodeIs(err, http.StatusNotAcceptable) || err == nil && server == nil {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read why server %s is locked: %w", uuid, err)
	}
	return server.LockedReason, nil
}

// Devices are the names under which the guest has the server's volumes, by the
// volumes' ids; empty where Nova has none.
func (c *Client) Devices(ctx context.Context, uuid string) (map[string]string, error) {
	attachments, _, err := get[[]struct {
		Volume string `json:"volumeId"`
		Device string `json:"device"`
	}](ctx, c, "servers/"+uuid+"/os-volume_attachments", "volumeAttachments")
	devices := map[string]string{}
	for _, a := range attachments {
		devices[a.Volume] = a.Device
	}
	return devices, err
}

// Migration is a migration of a server.
type Migration struct {
	ID         int64  `json:"id"`
	UUID       string `json:"uuid"`
	Instance   string `json:"instance_uuid"`
	Type       string `json:"migration_type"`
	Status     string `json:"status"`
	Source     string `json:"source_compute"` // a host of Nova's
	SourceNode string `json:"source_node"`    // the host name of a hypervisor
	Dest       string `json:"dest_compute"`
	CreatedAt  string `json:"created_at"`
	UpdatedAt  string `json:"updated_at"`
}

// WrittenAt is when it was last written; zero if the API gives no such time.
func (m Migration) WrittenAt() time.Time {
	const withoutZone = "2006-01-02T15:04:05" // and with any fraction of a second
	at, err := time.Parse(withoutZone, m.UpdatedAt)
	if err != nil {
		at, _ = time.Parse(withoutZone, m.CreatedAt)
	}
	return at
}

// pageSize is what Nova itself cuts pages to by default ([api]max_limit).
const pageSize = 1000

// Migrations are all of a server's; there are none only if every cell answers.
func (c *Client) Migrations(ctx context.Context, instance string) ([]Migration, error) {
	all, err := c.migrations(ctx, url.Values{"instance_uuid": {instance}})
	if err == nil && len(all) == 0 {
		err = c.EveryCellAnswers(ctx)
	}
	return all, err
}

// ErrUntold is a migration of which Nova does not tell more than that it is there.
var ErrUntold = errors.New("nova has a migration of this uuid, and tells no more of it")

// Migration looks for one by its own UUID, for which Nova has no request: it takes the
// UUID of any migration, a deleted one too, for a marker in its list and answers 400
// if no cell has it (nova/compute/migration_list.py get_marker_record). What it is must be
// among those of one of the hosts, by Nova's names, else it is ErrUntold. That it is nil is
// a proof only if the client ListsAll.
func (c *Client) Migration(ctx context.Context, uuid string, hosts []string) (*Migration, error) {
	// No instance has this UUID, so that the page after the marker is empty.
	query := url.Values{"instance_uuid": {uuid}, "limit": {"1"}, "marker": {uuid}}
	_, _, err := get[any](ctx, c, "os-migrations?"+query.Encode(), "migrations")
	if failure := new(openstack.Failure); errors.As(err, &failure) && failure.Status == http.StatusBadRequest &&
		strings.Contains(failure.Detail, uuid) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, host := range hosts {
		all, err := c.migrations(ctx, url.Values{"host": {host}})
		if err != nil {
			return nil, err
		}
		if at := slices.IndexFunc(all, func(m Migration) bool { return m.UUID == uuid }); at >= 0 {
			return &all[at], nil
		}
	}
	return nil, ErrUntold
}

func (c *Client) migrations(ctx context.Context, query url.Values) ([]Migration, error) {
	query.Set("limit", strconv.Itoa(pageSize))
	return openstack.Pages(ctx, c.service, "os-migrations", query, func(m Migration) string { return m.UUID })
}

// ResetState sets the state to error and the task to none, whatever they are
// (nova/api/openstack/compute/admin_actions.py _reset_state).
func (c *Client) ResetState(ctx context.Context, uuid string) error {
	return c.write(ctx, http.MethodPost, "servers/"+uuid+"/action", c.service.Microversion,
		map[string]any{"os-resetState": map[string]any{"state": "error"}})
}

// Delete asks for the deletion. Success says that Nova took the request: the server
// may stay for a while. In the middle of a delete on a host that is up Nova ignores
// another one, but writes the row, so that it looks fresh (nova/compute/api.py _delete).
func (c *Client) Delete(ctx context.Context, uuid string) error {
	return c.write(ctx, http.MethodDelete, "servers/"+uuid, c.service.Microversion, nil)
}

// ForceDelete is Delete that leaves nothing to restore on a cloud where deleted
// servers are kept for a while ([DEFAULT]reclaim_instance_interval).
func (c *Client) ForceDelete(ctx context.Context, uuid string) error {
	return c.write(ctx, http.MethodPost, "servers/"+uuid+"/action", c.service.Microversion, map[string]any{"forceDelete": nil})
}

// KeepVolume makes Nova keep a volume when the server is deleted. It only writes the
// block device mapping, in any state of the server and without asking Cinder
// (nova/api/openstack/compute/volumes.py _update_volume_regular).
func (c *Client) KeepVolume(ctx context.Context, uuid, volume string) error {
	return c.write(ctx, http.MethodPut, "servers/"+uuid+"/os-volume_attachments/"+volume, openstack.VolumeFlagMicroversion,
		map[string]any{"volumeAttachment": map[string]any{"volumeId": volume, "delete_on_termination": false}})
}

// Count is how many servers there are.
type Count struct {
	Total int `json:"total"`
	Error int `json:"error"` // in ERROR
}

// CountServers counts all projects' servers on a host of Nova's.
func (c *Client) CountServers(ctx context.Context, host string) (count Count, err error) {
	if count.Total, err = c.count(ctx, url.Values{"host": {host}}); err != nil || count.Total == 0 {
		return count, err
	}
	count.Error, err = c.count(ctx, url.Values{"host": {host}, "status": {"ERROR"}})
	return count, err
}

func (c *Client) count(ctx context.Context, query url.Values) (int, error) {
	query.Set("all_tenants", "True")
	all, err := openstack.Pages(ctx, c.service, "servers", query, func(s struct{ ID string }) string { return s.ID })
	return len(all), err
}
