package nova

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// Host is what a cell knows about a compute host: what a restart of its nova-compute concerns.
type Host struct {
	Name string
	// Service is the row of services for its nova-compute, nil if there is none.
	Service Row
	// WithTask are the other instances on the host that have a task_state. They
	// would be put into ERROR by a restart of nova-compute.
	WithTask []string
	// Evacuated are the instances that were evacuated from the host, as long as
	// its nova-compute has not cleaned up after them: with its next start it
	// destroys their domains there and removes their allocations
	// (nova/compute/manager.py _destroy_evacuated_instances).
	Evacuated []string
}

// leftByEvacuation are the states of evacuations whose source has not cleaned up
// (nova/compute/manager.py _destroy_evacuated_instances).
var leftByEvacuation = []string{"accepted", "pre-migrating", "done"}

// readHosts reads what is around the instance: its compute node, and the hosts on
// which a domain of it may be. A move that failed, or an evacuation from a host
// that came back, leaves one on a host that its row no longer names.
func (c *Cell) readHosts(ctx context.Context, tx *sql.Tx) error {
	row := c.row()
	if host := row.text("host"); host != "" {
		nodes, err := readTable(ctx, tx, "SELECT uuid, host, hypervisor_hostname, deleted FROM compute_nodes"+
			" WHERE host = ? AND hypervisor_hostname = ? ORDER BY deleted <> 0, id DESC LIMIT 1", host, row.text("node"))
		if err != nil {
			return fmt.Errorf("read compute_nodes of host %s: %w", host, err)
		}
		if len(nodes.Rows) > 0 {
			c.ComputeNode = nodes.Rows[0]
		}
	}
	c.Hosts = hostsOf(row, c.Record["migrations"].Rows)
	if len(c.Hosts) == 0 {
		return nil
	}
	names := make([]any, len(c.Hosts))
	for i, host := range c.Hosts {
		names[i] = host.Name
	}
	in := "IN (?" + strings.Repeat(", ?", len(names)-1) + ")"
	services, err := readTable(ctx, tx, "SELECT host, disabled, forced_down, last_seen_up FROM services"+
		" WHERE host "+in+" AND `binary` = 'nova-compute' AND deleted = 0", names...)
	if err != nil {
		return fmt.Errorf("read services of hosts %v: %w", names, err)
	}
	busy, err := readTable(ctx, tx, "SELECT host, uuid FROM instances"+
		" WHERE host "+in+" AND deleted = 0 AND task_state IS NOT NULL AND uuid <> ? ORDER BY id", append(names, row.text("uuid"))...)
	if err != nil {
		return fmt.Errorf("read instances of hosts %v: %w", names, err)
	}
	// As Nova does, whether or not the record of the migration is deleted.
	evacuated, err := readTable(ctx, tx, "SELECT DISTINCT source_compute AS host, instance_uuid AS uuid FROM migrations WHERE source_compute "+in+
		" AND migration_type = 'evacuation' AND status IN ('"+strings.Join(leftByEvacuation, "', '")+"') ORDER BY instance_uuid", names...)
	if err != nil {
		return fmt.Errorf("read migrations from hosts %v: %w", names, err)
	}
	for i := range c.Hosts {
		host := &c.Hosts[i]
		if own := rowsOf(host.Name, services); len(own) > 0 {
			host.Service = own[0]
		}
		for _, other := range rowsOf(host.Name, busy) {
			host.WithTask = append(host.WithTask, other.text("uuid"))
		}
		for _, other := range rowsOf(host.Name, evacuated) {
			host.Evacuated = append(host.Evacuated, other.text("uuid"))
		}
	}
	return nil
}

// hostsOf lists the instance's host, and those that its migrations name, each once.
func hostsOf(instance Row, migrations []Row) (hosts []Host) {
	names := []string{instance.text("host")}
	for _, migration := range migrations {
		names = append(names, migration.text("source_compute"), migration.text("dest_compute"))
	}
	for i, name := range names {
		if name != "" && !slices.Contains(names[:i], name) {
			hosts = append(hosts, Host{Name: name})
		}
	}
	return hosts
}

// rowsOf are the rows of a table with a column host. The column's collation takes
// names in upper and lower case for the same.
func rowsOf(host string, table Table) (rows []Row) {
	for _, row := range table.Rows {
		if strings.EqualFold(row.text("host"), host) {
			rows = append(rows, row)
		}
	}
	return rows
}
