package nova

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/orphan"
)

// Deletion is what becomes of an instance's rows.
type Deletion struct {
	// At is the time that it writes, by the database's clock.
	At time.Time
	// Disarm is what keeps nova-compute off what is not the instance's any more.
	Disarm Disarm
	// ShareMappings says that the rows of share_mapping go, too: Nova itself removes them
	// when it reaps the domain, and needs them for that, but as long as there are any,
	// nova-manage db archive_deleted_rows archives no instance.
	ShareMappings bool
}

// Disarm says which rows nova-compute must not act by when it reaps the domain, by their
// ids. They stay, with the volume's id, and a restore makes them what they were.
type Disarm struct {
	// Detached are the rows of block_device_mapping that lose their destination_type. It is
	// what makes nova-compute detach the volume, or end a host's connection to it
	// (nova/objects/block_device.py is_volume, nova/virt/block_device.py convert_all_volumes).
	Detached []int64
	// Preserved are those that lose their delete_on_termination.
	Preserved []int64
	// Ports leave the info cache. Nova unbinds each port of it that it did not make,
	// whoever has that by now, and takes its device from the host
	// (nova/network/neutron.py deallocate_for_instance, nova/virt/libvirt/driver.py unplug_vifs).
	Ports []string
}

// Empty says that there is nothing to disarm.
func (d Disarm) Empty() bool { return len(d.Detached)+len(d.Preserved)+len(d.Ports) == 0 }

// Deletion finishes the deletion of an instance as Nova does it, in its cell and then in
// the API database. Where no cell has a row of it, what is left beside it goes as with a deletion, and
// then what archiving takes from the API database (nova/cmd/manage.py _do_archive). There is
// nothing of it where several cells have one, or where one was not read.
func (f Finding) Deletion(d Deletion) Changes {
	now, cell := timeValue(d.At), f.Cell()
	switch {
	case cell != nil:
	case len(f.Cells) == 0 || slices.ContainsFunc(f.Cells, func(c Cell) bool { return c.hasRow() || c.Failure != nil }):
		return Changes{}
	default:
		left := map[string]Record{}
		for _, cell := range f.Cells {
			if cell.Left != nil {
				left[cell.UUID] = cell.Left.left(d)
			}
		}
		return f.rowlessChanges("delete", now, becomesDeleted, left, f.API.emptied())
	}
	return f.changes("delete", now, becomesDeleted, cell.Record.left(d), f.API.queuedForDelete(now))
}

// becomesDeleted leaves the disarmed rows to who knows why they are.
func becomesDeleted(row rowChange) string {
	deleted := slices.Contains(row.columns, "deleted")
	switch {
	case row.table == "instances" && deleted:
		return fmt.Sprintf("set deleted = %s (the row's id), vm_state = deleted, task_state = NULL", row.to.text("id"))
	case row.table == "instances" && !slices.Contains(row.columns, "vm_state"):
		return "set deleted_at to the current time"
	case row.table == "instances" && !slices.Contains(row.columns, "deleted_at"):
		return "set vm_state = deleted, task_state = NULL"
	case row.table == "instances":
		return "set vm_state = deleted, task_state = NULL, deleted_at to the current time"
	case row.to == nil && slices.Contains(slices.Concat(apiTables, archivedTables, []string{"share_mapping"}), row.table):
		return "remove N rows"
	case row.table == "instance_mappings":
		return "set queued_for_delete = 1"
	case row.to == nil || deleted:
		return "delete N rows as Nova does"
	}
	return ""
}

// queuedForDelete is the record of the API database as Nova's API leaves it at a deletion: with
// queued_for_delete on the mapping (nova/compute/api.py _local_delete_cleanup), and no
// build request. The mapping and the request spec stay until db archive_deleted_rows.
func (r Record) queuedForDelete(now Value) Record {
	target := maps.Clone(r)
	target.change("instance_mappings", func(row Row) Row {
		if row.flag("queued_for_delete") {
			return row
		}
		return row.with(Row{"queued_for_delete": {Text: "1"}, "updated_at": now})
	})
	if requests, found := r["build_requests"]; found {
		target["build_requests"] = Table{requests.Types, []Row{}}
	}
	return target
}

func timeValue(at time.Time) Value { return Value{Text: at.UTC().Format(time.DateTime)} }

// left is the record as the deletion leaves it.
func (r Record) left(deletion Deletion) Record {
	target := r.softDeleted(deletion.At)
	target.change("block_device_mapping", func(row Row) Row {
		if slices.Contains(deletion.Disarm.Detached, row.number("id")) {
			row = row.with(Row{"destination_type": {Null: true}})
		}
		if slices.Contains(deletion.Disarm.Preserved, row.number("id")) {
			row = row.with(Row{"delete_on_termination": {Text: "0"}})
		}
		return row
	})
	target.change("instance_info_caches", func(row Row) Row { return row.withoutPorts(deletion.Disarm.Ports) })
	if shares, found := r["share_mapping"]; found && deletion.ShareMappings {
		target["share_mapping"] = Table{shares.Types, []Row{}}
	}
	return target
}

func (r Record) change(table string, to func(Row) Row) {
	rows := slices.Clone(r[table].Rows)
	for i := range rows {
		rows[i] = to(rows[i])
	}
	if _, found := r[table]; found {
		r[table] = Table{r[table].Types, rows}
	}
}

// withoutPorts is the row of an info cache without these, and byte for byte as it was else.
func (r Row) withoutPorts(ports []string) Row {
	var kept []string
	entries := gjson.Parse(r.text("network_info")).Array()
	for _, vif := range entries {
		if !slices.Contains(ports, vif.Get("id").String()) {
			kept = append(kept, vif.Raw)
		}
	}
	if len(kept) == len(entries) {
		return r
	}
	return r.with(Row{"network_info": {Text: "[" + strings.Join(kept, ", ") + "]"}})
}

// softDeleted is the record as a deletion leaves it, which is how
// ComputeManager._delete_instance and instance_destroy leave it
// (nova/compute/manager.py, nova/db/main/api.py): host, node and cleaned stay,
// since nova-compute finds by them what it cleans up.
func (r Record) softDeleted(at time.Time) Record {
	now := timeValue(at)
	target := Record{"instances": r["instances"]}
	target.change("instances", func(row Row) Row { return row.softDeleted(now) })
	for _, part := range parts() {
		table, found := r[part.table]
		if !found || part.fate == keep {
			continue
		}
		rows := []Row{}
		for _, row := range table.Rows {
			switch {
			case part.fate == remove:
			case r.isCleanAttempts(row) || row.deleted():
				rows = append(rows, row)
			default:
				deletedAt := now
				if row.number("deleted") != 0 {
					deletedAt = row["deleted_at"].validPastOr(now)
				}
				rows = append(rows, row.with(Row{"deleted": row["id"], "deleted_at": deletedAt}))
			}
		}
		target[part.table] = Table{table.Types, rows}
	}
	return target
}

// softDeleted is the row of instances as a deletion leaves it.
func (r Row) softDeleted(now Value) Row {
	dated := !orphan.Row{DeletedAt: r.time("deleted_at")}.NeedsDeletedAt(Row{"now": now}.time("now"))
	after := r.with(Row{
		"vm_state": {Text: "deleted"}, "task_state": {Null: true}, "power_state": {Text: "0"}, "progress": {Text: "0"},
		"updated_at": now, "terminated_at": now, "deleted": r["id"], "deleted_at": now,
	})
	switch {
	case r.deleted() && dated && r.hasStateOfDeletion():
		return r
	case r.deleted() && r.text("vm_state") == "deleted":
		return r.with(Row{"deleted_at": now})
	case r.number("deleted") != 0:
		after["terminated_at"], after["deleted_at"] = r["terminated_at"].validPastOr(now), r["deleted_at"].validPastOr(now)
	}
	if r.deleted() && dated {
		after["deleted_at"] = r["deleted_at"]
	}
	return after
}

// hasStateOfDeletion says that a deletion of Nova's may have left the row's vm_state: one that never got to a host it destroys as
// it is (nova/compute/api.py _delete, _delete_while_booting).
func (r Row) hasStateOfDeletion() bool {
	return r.text("vm_state") == "deleted" || r.text("host") == ""
}

// validPastOr is a time as it is if it is one and past, and now else.
func (v Value) validPastOr(now Value) Value {
	if at := (Row{"at": v}).time("at"); at.Year() < 1970 || v.Text > now.Text {
		return now
	}
	return v
}

// Mapping is a row of block_device_mapping with a volume, as nova-compute reads it when
// it reaps the domain. It reads the deleted ones, too
// (nova/compute/manager.py _cleanup_running_deleted_instances: read_deleted="yes").
type Mapping struct {
	ID                     int64
	VolumeID, AttachmentID string
	// Detaches says that nova-compute lets go of the volume: by the attachment, or without
	// one by terminate_connection and detach, whoever has it (_shutdown_instance).
	Detaches            bool
	DeleteOnTermination bool
	// GivenBack says that the row was deleted, as Nova does it, before the instance was:
	// what has become of the volume since is its owner's.
	GivenBack bool
	Deleted   bool
}

// Mappings are the rows of the instance's cell that have a volume.
func (f Finding) Mappings() []Mapping {
	if cell := f.Cell(); cell != nil {
		return cell.mappings()
	}
	return nil
}

func (c Cell) mappings() (mappings []Mapping) {
	// What was given back is told by the times that a deletion leaves, so that it is the same before and after.
	left := Cell{Record: c.Record.softDeleted(c.Now)}
	for i, row := range c.Record["block_device_mapping"].Rows {
		if row.text("volume_id") == "" {
			continue
		}
		mappings = append(mappings, Mapping{
			ID: row.number("id"), VolumeID: row.text("volume_id"), AttachmentID: row.text("attachment_id"),
			Detaches: row.text("destination_type") == "volume", DeleteOnTermination: row.flag("delete_on_termination"),
			GivenBack: left.gaveBack(left.Record["block_device_mapping"].Rows[i]), Deleted: row.deleted(),
		})
	}
	return mappings
}

// CachedPorts are the ports of the instance's info cache.
func (f Finding) CachedPorts() []Port {
	return Cell{Record: f.Cell().record()}.cachedPorts()
}
