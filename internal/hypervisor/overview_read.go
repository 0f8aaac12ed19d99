//go:build cgo && libvirt_dlopen

package hypervisor

import (
	"context"
	"errors"
	"fmt"

	"libvirt.org/go/libvirt"
)

// Overview reads the host and all of its domains in one pass: nine calls for the host, and
// one for each domain, two where it runs, and one more where it has snapshots. A domain
// that goes meanwhile is left out. One whose XML or files cannot be read is in Unread;
// whatever libvirt itself fails at is an error, since the list would not be whole.
func (c *Connection) Overview(ctx context.Context) (Overview, error) {
	return read(ctx, c, "read the host's domains", c.overview)
}

func (c *Connection) overview(conn *libvirt.Connect) (Overview, error) {
	var failed error
	view := Overview{
		Hostname: get(&failed, conn.GetHostname), LibvirtVersion: Version(get(&failed, conn.GetLibVersion)), Driver: get(&failed, conn.GetType),
		Domains: []Summary{}, Unread: []string{},
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
	texts, err := readTexts(handle)
	if err != nil {
		return err
	}
	summary, err := ParseSummary(texts...)
	if err != nil {
		view.Unread = append(view.Unread, fmt.Sprintf("domain %s: %v", uuid, err))
		return nil
	}
	if err := known.complete(&summary, handle); err != nil {
		return err
	}
	if !IsRemote(c.uri) {
		if err := summary.Follow(); err != nil {
			view.Unread = append(view.Unread, err.Error())
		}
	}
	view.Domains = append(view.Domains, summary)
	return nil
}

// readTexts reads a domain's XML, and of one that runs its definition's as well. Whether it
// runs the handle knows from the list; one that was started since has no other definition yet.
func readTexts(handle *libvirt.Domain) ([]string, error) {
	text, err := handle.GetXMLDesc(0)
	if err != nil {
		return nil, err
	}
	if _, err := handle.GetID(); err != nil {
		return []string{text}, nil
	}
	definition, err := handle.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
	return []string{text, definition}, err
}

// traits are what libvirt tells of all domains in a call for each, by uuid.
type traits struct {
	states                                        map[string]state
	persistent, autostart, managedSave, snapshots map[string]bool
}

type state struct{ state, reason int }

func readTraits(conn *libvirt.Connect) (known traits, err error) {
	having := func(flag libvirt.ConnectListAllDomainsFlags) map[string]bool {
		return get(&err, func() (map[string]bool, error) { return readHaving(conn, flag) })
	}
	known = traits{
		states:     get(&err, supported(func() (map[string]state, error) { return readStates(conn) })),
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

// readStates asks for no statistics but the state, for which QEMU itself is not asked.
func readStates(conn *libvirt.Connect) (map[string]state, error) {
	all, err := conn.GetAllDomainStats(nil, libvirt.DOMAIN_STATS_STATE, 0)
	found := map[string]state{}
	for _, stats := range all {
		uuid := get(&err, stats.Domain.GetUUIDString)
		if stats.State != nil {
			found[uuid] = state{int(stats.State.State), stats.State.Reason}
		}
		_ = stats.Domain.Free()
	}
	return found, err
}

// complete adds what the XML does not tell. Where the state is not that of a domain which
// runs, or does not, as the XML has it by now, it is asked again.
func (t traits) complete(summary *Summary, handle *libvirt.Domain) (err error) {
	found, told := t.states[summary.UUID]
	if isOff := found.state == int(libvirt.DOMAIN_SHUTOFF); !told || isOff == summary.Active {
		found = get(&err, func() (state, error) {
			now, reason, err := handle.GetState()
			return state{int(now), reason}, err
		})
	}
	summary.State, summary.StateReason = stateName(found.state), reasonName(found.state, found.reason)
	summary.Persistent, summary.Autostart = t.persistent[summary.UUID], t.autostart[summary.UUID]
	summary.ManagedSave = t.managedSave[summary.UUID]
	if t.snapshots[summary.UUID] {
		summary.Snapshots = get(&err, func() (int, error) { return handle.SnapshotNum(libvirt.DOMAIN_SNAPSHOT_LIST_METADATA) })
	}
	return err
}
