package openstack

const (
	// PlacementMicroversion is the first that guards a consumer's allocation by a
	// generation (1.28, Rocky). From 1.38 on a consumer that Nova made reads as type
	// "unknown", which Placement then refuses to take back, so later is not better.
	// It includes 1.14 (provider trees) and 1.23 (error codes).
	PlacementMicroversion = "1.28"
	// ConsumerTypeMicroversion is the first that tells a consumer's type (1.38, Xena).
	// It is for reading only.
	ConsumerTypeMicroversion = "1.38"
	// ComputeMicroversion is the first that shows the UUIDs of migrations and pages
	// through them (2.59, Queens). From 2.69 on a server of a cell that is down is shown
	// in part instead of as an error.
	ComputeMicroversion = "2.59"
	// LockedReasonMicroversion is the first that tells why a server was locked (2.73,
	// Train). It is for that request only, and Nova answers 406 where it is older.
	LockedReasonMicroversion = "2.73"
	// VolumeFlagMicroversion is the first that changes an attached volume's
	// delete_on_termination (2.85, Ussuri). It is for that request only.
	VolumeFlagMicroversion = "2.85"
	// BlockStorageMicroversion is the first at which Cinder has attachments of its own,
	// each with an id (3.27, Ocata).
	BlockStorageMicroversion = "3.27"
)
