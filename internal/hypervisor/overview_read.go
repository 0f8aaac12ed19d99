//go:build cgo && libvirt_dlopen

package hypervisor

import (
	"context"
	"errors"
	"fmt"

	"libvirt.org/go/libvirt"
)

// Overview reads the host and all of its domains in one pass: eight calls for the host, and
// for each domain two, three where it runs, and one more where it has snapshots. A domain
// that goes meanwhile is left out. One whose XML or files cannot be read is in Unread;
// whatever libvirt itself fails at is an error, since the list would not be whole.
func (c *Connection) Overview(ctx context.Context) (Overview, error) {
	return read(ctx, c, "read the host's domains", c.overview)
}

func (c *Connection) overview(conn *libvirt.Connect) (Overview, error) {
	var failed error
	view := Overview{
		Hostname: get(&failed, conn.GetHostname), LibvirtVersion: Version(get(&failed, conn.GetLibVersion)), Driver: get(&failed, conn.GetType),
	}
	known := get(&failed, func() (traits, error) { return readTraits(conn) })
	handles := get(&failed, func() ([]libvirt.Domain, error) { return conn.ListAllDomains(0) })
	for i := range handles {
		defer func() { _ = handles[i].Free() }()
	}
	for i := range handles {
		if failed != nil {
			break
		}
		if err := c.summarize(&view, known, &handles[i]); !errors.Is(err, libvirt.ERR_NO_DOMAIN) {
			failed = err
		}
	}
	return view, failed
}

// summarize adds a domain to the view, or the reason why it is not there whole. What libvirt fails at is an error.
func (c *Connection) summarize(view *Overview, known traits, handle *libvirt.Domain) error {
	uuid, err := handle.GetUUIDString() // which the list has told
	if err != nil {
		return err
	}
	summary, unparsed, err := look(handle)
	if err != nil {
		return err
	}
	if unparsed != nil {
		view.Unread = append(view.Unread, Unread{uuid, fmt.Sprintf("domain %s: %v", uuid, unparsed)})
		return nil
	}
	summary.Persistent, summary.Autostart, summary.ManagedSave = known.persistent[uuid], known.autostart[uuid], known.managedSave[uuid]
	if known.snapshots[uuid] {
		if summary.Snapshots, err = handle.SnapshotNum(libvirt.DOMAIN_SNAPSHOT_LIST_METADATA); err != nil {
			return err
		}
	}
	if !IsRemote(c.uri) {
		if err := asRoot(summary.Follow()); err != nil {
			view.Unread = append(view.Unread, Unread{uuid, err.Error()})
		}
	}
	view.Domains = append(view.Domains, summary)
	return nil
}

// look reads a domain's XML and its state, again where it was started or stopped between the two.
func look(handle *libvirt.Domain) (summary Summary, unparsed, err error) {
	const attempts = 3
	for range attempts {
		text := get(&err, func() (string, error) { return handle.GetXMLDesc(0) })
		if err != nil {
			return summary, nil, err
		}
		if summary, unparsed = ParseSummary(text); unparsed == nil && summary.Active {
			definition := get(&err, func() (string, error) { return handle.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE) })
			unparsed = summary.AddDefinition(definition)
		}
		// GetAllDomainStats would tell all states in a call, but the binding asks for the vCPUs
		// of each domain besides, and fails for all when one has gone.
		isOff := get(&err, func() (bool, error) {
			state, reason, unread := handle.GetState()
			summary.State, summary.StateReason = stateName(int(state)), reasonName(int(state), reason)
			return state == libvirt.DOMAIN_SHUTOFF, unread
		})
		if err != nil || unparsed != nil || isOff != summary.Active {
			break
		}
	}
	return summary, unparsed, err
}

// traits are what libvirt tells of all domains in a call for each, by uuid.
type traits struct{ persistent, autostart, managedSave, snapshots map[string]bool }

func readTraits(conn *libvirt.Connect) (known traits, err error) {
	having := func(flag libvirt.ConnectListAllDomainsFlags) map[string]bool {
		return get(&err, func() (map[string]bool, error) { return readHaving(conn, flag) })
	}
	known = traits{
		persistent: having(libvirt.CONNECT_LIST_DOMAINS_PERSISTENT), autostart: having(libvirt.CONNECT_LIST_DOMAINS_AUTOSTART),
		managedSave: having(libvirt.CONNECT_LIST_DOMAINS_MANAGEDSAVE), snapshots: having(libvirt.CONNECT_LIST_DOMAINS_HAS_SNAPSHOT),
	}
	return known, err
}

// readHaving lists the domains that have what flag asks for.
func readHaving(conn *libvirt.Connect, flag libvirt.ConnectListAllDomainsFlags) (map[string]bool, error) {
	handles, err := conn.ListAllDomains(flag)
	found := map[string]bool{}
	for i := range handles {
		uuid := get(&err, handles[i].GetUUIDString)
		found[uuid] = true
		_ = handles[i].Free()
	}
	return found, err
}
