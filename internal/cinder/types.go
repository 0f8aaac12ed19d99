package cinder

import (
	"encoding/json"

	"github.com/gophercloud/gophercloud/v2/openstack/blockstorage/v3/volumes"
)

// Attachment is Cinder's record that a volume is given to an instance.
type Attachment struct {
	ID       string `json:"id"`
	VolumeID string `json:"volume_id"`
	Instance string `json:"instance"`
	// Status is reserved, attaching, attached, detaching, error_attaching or error_detaching.
	Status     string `json:"status"`
	Mode       string `json:"attach_mode"`
	AttachedAt string `json:"attached_at"`
	// Connection is how a host finds the volume, without what lets it in.
	Connection Connection `json:"connection_info"`
}

// Connection is what is harmless in an attachment's connection_info. It is a list
// of what is kept, since drivers have secrets under names of their own (auth_password,
// discovery_auth_password, keyring, secret_uuid, options of a mount).
type Connection struct {
	Type       string   `json:"driver_volume_type,omitempty"`
	Name       string   `json:"name,omitempty"`
	Hosts      []string `json:"hosts,omitempty"`
	TargetIQN  string   `json:"target_iqn,omitempty"`
	TargetIQNs []string `json:"target_iqns,omitempty"`
	// A target's portals are HOST:PORT.
	TargetPortal  string   `json:"target_portal,omitempty"`
	TargetPortals []string `json:"target_portals,omitempty"`
	AccessMode    string   `json:"access_mode,omitempty"`
	Encrypted     bool     `json:"encrypted,omitempty"`
}

// UnmarshalJSON takes what it knows: what a driver writes in another form, or an attachment
// without a connection yet, is no error.
func (c *Connection) UnmarshalJSON(data []byte) error {
	type known Connection
	_ = json.Unmarshal(data, (*known)(c)) // which leaves out what does not fit, and goes on
	return nil
}

// Volume is a volume. Its attachments are those whose status is attached; see Client.AttachmentsOf.
type Volume = volumes.Volume

// Snapshot is a snapshot of a volume.
type Snapshot struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	VolumeID  string `json:"volume_id"`
	Status    string `json:"status"`
	Size      int    `json:"size"` // in GiB
	CreatedAt string `json:"created_at"`
}
