package nova

import (
	"slices"
	"time"
)

// Given is what Nova's rows give to the instance, or gave: the deleted ones, too.
type Given struct {
	Volumes []GivenVolume
	// Ports are its ports.
	Ports []Port
	// DeletedAt is when the instance was deleted; zero unless that is a time in the past.
	DeletedAt time.Time
}

// GivenVolume is a volume of the instance's mappings.
type GivenVolume struct {
	ID string
	// Returned is when the mapping was deleted, the first if there are several; zero while one is
	// there, and where none says when.
	Returned time.Time
}

// Given reads all cells' rows, also those beside no row in instances. A time that the database's clock has not reached
// is none: somebody has written it by hand.
func (f Finding) Given() (given Given) {
	there := map[string]bool{}
	for _, cell := range f.records() {
		given.DeletedAt = earlier(given.DeletedAt, cell.past(cell.row().time("deleted_at")))
		for _, mapping := range cell.Record["block_device_mapping"].Rows {
			id := mapping.text("volume_id")
			if id == "" {
				continue
			}
			at := slices.IndexFunc(given.Volumes, func(v GivenVolume) bool { return v.ID == id })
			if at < 0 {
				given.Volumes, at = append(given.Volumes, GivenVolume{ID: id}), len(given.Volumes)
			}
			given.Volumes[at].Returned = earlier(given.Volumes[at].Returned, cell.past(mapping.time("deleted_at")))
			there[id] = there[id] || mapping.number("deleted") == 0
		}
		for _, port := range cell.ports(true) {
			given.Ports = addPort(given.Ports, port)
		}
	}
	// Only now, since one mapping that is there outweighs all that are deleted.
	for i, volume := range given.Volumes {
		if there[volume.ID] {
			given.Volumes[i].Returned = time.Time{}
		}
	}
	return given
}

// records are the cells, and once more those that have something beside no row in instances, as if that were the record.
func (f Finding) records() (cells []Cell) {
	for _, cell := range f.Cells {
		cells = append(cells, cell)
		if cell.Left != nil {
			cell.Record = cell.Left
			cells = append(cells, cell)
		}
	}
	return cells
}

// past is zero for a time that has not come.
func (c Cell) past(at time.Time) time.Time {
	if at.After(c.Now) {
		return time.Time{}
	}
	return at
}

// earlier is the earlier of two times, of which a zero one is not known.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
