package nova

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Host is what a cell knows about a compute host: what a restart of its nova-compute concerns.
type Host struct {
	Name string `json:"host"`
	// NamedBy says what of the record names it: row, migration, launched_on, fault, event.
	NamedBy []string `json:"named_by"`
	// Service is its nova-compute, nil if it has none.
	Service *ComputeService `json:"compute_service"`
	// Evacuated are the instances that were evacuated from the host, as long as
	// its nova-compute has not cleaned up after them: with its next start it
	// destroys their domains there and removes their allocations
	// (nova/compute/manager.py _destroy_evacuated_instances).
	Evacuated OtherInstances `json:"instances_evacuated_from_host"`

	served bool // services has, or had, a nova-compute of this host
}

// ComputeService is the nova-compute of a host.
type ComputeService struct {
	ForcedDown bool   `json:"forced_down"`
	Disabled   bool   `json:"disabled"`
	LastSeenUp string `json:"last_seen_up"`
}

// OtherInstances are instances that a start of the host's nova-compute concerns as well.
type OtherInstances struct {
	Count int      `json:"count"`
	UUIDs []string `json:"uuids"`
}

// leftByEvacuation are the states of evacuations whose source has not cleaned up
// (nova/compute/manager.py _destroy_evacuated_instances).
var leftByEvacuation = []string{"accepted", "pre-migrating", "done"}

// readHosts reads what is around instances: their compute nodes, and the hosts on
// which a domain of them may be. A move that failed, or an evacuation from a host
// that came back, leaves one on a host that its row no longer names; and a build that
// failed clears the host of the row (nova/compute/manager.py _nil_out_instance_obj_host_and_node).
func readHosts(ctx context.Context, tx *sql.Tx, known map[string]*Cell, archived bool) error {
	uuids := slices.Sorted(maps.Keys(known))
	var events Table
	if !archived { // the shadow tables have no index to find them by
		var err error
		if events, err = amongst(ctx, tx, "SELECT DISTINCT a.instance_uuid, e.host FROM instance_actions a"+
			" JOIN instance_actions_events e ON e.action_id = a.id WHERE a.instance_uuid", uuids, " ORDER BY e.host"); err != nil {
			return fmt.Errorf("read instance_actions_events: %w", err)
		}
	}
	var own, names []string
	for _, uuid := range uuids {
		c := known[uuid]
		c.Hosts = hostsOf(c.Record, events.of("instance_uuid", uuid).Rows)
		if host := c.row().text("host"); host != "" && !slices.Contains(own, host) {
			own = append(own, host)
		}
		for _, host := range c.Hosts {
			if !slices.Contains(names, host.Name) {
				names = append(names, host.Name)
			}
		}
	}
	nodes, err := amongst(ctx, tx, "SELECT uuid, host, hypervisor_hostname, deleted FROM compute_nodes WHERE host", own,
		" ORDER BY deleted <> 0, id DESC")
	if err != nil {
		return fmt.Errorf("read compute_nodes of hosts %v: %w", own, err)
	}
	services, err := amongst(ctx, tx, "SELECT host, deleted, disabled, forced_down, last_seen_up FROM services"+
		" WHERE `binary` = 'nova-compute' AND host", names, " ORDER BY deleted <> 0, id DESC")
	if err != nil {
		return fmt.Errorf("read services of hosts %v: %w", names, err)
	}
	// As Nova does, whether or not the record of the migration is deleted.
	evacuated, err := amongst(ctx, tx, "SELECT DISTINCT source_compute AS host, instance_uuid AS uuid FROM migrations"+
		" WHERE migration_type = 'evacuation' AND status IN ('"+strings.Join(leftByEvacuation, "', '")+"') AND source_compute", names,
		" ORDER BY instance_uuid")
	if err != nil {
		return fmt.Errorf("read migrations from hosts %v: %w", names, err)
	}
	for _, c := range known {
		row := c.row()
		if named := nodes.of("host", row.text("host")).of("hypervisor_hostname", row.text("node")); len(named.Rows) > 0 {
			c.ComputeNode = named.Rows[0]
		}
		for i := range c.Hosts {
			host := &c.Hosts[i]
			own := services.of("host", host.Name).Rows
			if host.served = len(own) > 0; host.served && own[0].number("deleted") == 0 {
				host.Service = &ComputeService{own[0].flag("forced_down"), own[0].flag("disabled"), own[0].iso("last_seen_up")}
			}
			others := append([]string{}, evacuated.of("host", host.Name).texts("uuid")...)
			host.Evacuated = OtherInstances{len(others), others}
		}
		c.Hosts = slices.DeleteFunc(c.Hosts, Host.neverComputed)
	}
	return nil
}

// neverComputed says that only what any service of Nova's writes names the host: a
// conductor or an API notes its own in faults and events.
func (h Host) neverComputed() bool {
	return !h.served && !slices.ContainsFunc(h.NamedBy, func(by string) bool { return by != byFault && by != byEvent })
}

// What names a host.
const (
	byRow        = "row"
	byMigration  = "migration"
	byLaunchedOn = "launched_on"
	byFault      = "fault"
	byEvent      = "event"
)

// hostsOf lists each host that the record names once, the instance's own first.
func hostsOf(record Record, events []Row) (hosts []Host) {
	add := func(name, by string) {
		if name == "" {
			return
		}
		at := slices.IndexFunc(hosts, func(h Host) bool { return h.Name == name })
		if at < 0 {
			hosts, at = append(hosts, Host{Name: name}), len(hosts)
		}
		if !slices.Contains(hosts[at].NamedBy, by) {
			hosts[at].NamedBy = append(hosts[at].NamedBy, by)
		}
	}
	for _, source := range []struct {
		rows   []Row
		column string
		by     string
	}{
		{record["instances"].Rows, "host", byRow},
		{record["migrations"].Rows, "source_compute", byMigration}, {record["migrations"].Rows, "dest_compute", byMigration},
		{record["instances"].Rows, "launched_on", byLaunchedOn},
		{record["instance_faults"].Rows, "host", byFault}, {events, "host", byEvent},
	} {
		for _, row := range source.rows {
			add(row.text(source.column), source.by)
		}
	}
	return hosts
}
