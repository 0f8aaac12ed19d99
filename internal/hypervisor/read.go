//go:build cgo && libvirt_dlopen

package hypervisor

import (
	"errors"

	"libvirt.org/go/libvirt"
)

// read collects the facts of a domain. Each of the calls is allowed on a
// read-only connection.
func (c *Connection) read(uuid string, handle *libvirt.Domain) (Domain, error) {
	domain := Domain{UUID: uuid, ID: -1}
	version, err := c.conn.GetLibVersion()
	if err != nil {
		return domain, err
	}
	domain.LibvirtVersion = Version(version)
	if domain.Driver, err = c.conn.GetType(); err != nil {
		return domain, err
	}
	if err = readState(handle, &domain); err != nil {
		return domain, err
	}
	domain.XML, err = c.describe(func(secure bool) (string, error) {
		domain.SecretsDenied = !secure && !c.readOnly
		if secure {
			return handle.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE | libvirt.DOMAIN_XML_SECURE)
		}
		return handle.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
	})
	if err != nil {
		return domain, err
	}
	if domain.Definition, err = ParseDefinition(uuid, domain.XML); err != nil {
		return domain, err
	}
	if domain.ManagedSave, err = handle.HasManagedSaveImage(0); err != nil && !unsupported(err) {
		return domain, err
	}
	if domain.Snapshots, err = c.snapshots(handle, domain.LibvirtVersion); err != nil && !unsupported(err) {
		return domain, err
	}
	if domain.LibvirtVersion < WithCheckpoints {
		return domain, nil
	}
	if domain.Checkpoints, err = c.checkpoints(handle); err != nil && !unsupported(err) {
		return domain, err
	}
	return domain, nil
}

func readState(handle *libvirt.Domain, domain *Domain) (err error) {
	if domain.Name, err = handle.GetName(); err != nil {
		return err
	}
	if domain.Active, err = handle.IsActive(); err != nil {
		return err
	}
	if domain.Active {
		var id uint
		if id, err = handle.GetID(); err != nil {
			return err
		}
		domain.ID = int(id)
	}
	state, _, err := handle.GetState()
	if err != nil {
		return err
	}
	domain.State = stateName(int(state))
	if domain.Persistent, err = handle.IsPersistent(); err != nil {
		return err
	}
	domain.Autostart, err = handle.GetAutostart()
	if unsupported(err) {
		return nil
	}
	return err
}

// readUse reads the definition even of a domain that runs: what stands there it uses
// when it is started again.
func readUse(handle *libvirt.Domain) (DomainUse, error) {
	active, err := handle.IsActive()
	if err != nil {
		return DomainUse{}, err
	}
	current, err := handle.GetXMLDesc(0)
	if err != nil {
		return DomainUse{}, err
	}
	if !active {
		return ParseDomainUse(false, current)
	}
	defined, err := handle.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
	if err != nil {
		return DomainUse{}, err
	}
	return ParseDomainUse(true, current, defined)
}

// snapshots lists parents before their children, the order to define them again in.
func (c *Connection) snapshots(handle *libvirt.Domain, version Version) ([]Record, error) {
	flags := libvirt.DOMAIN_SNAPSHOT_LIST_METADATA
	if version >= WithCheckpoints {
		flags |= libvirt.DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL
	}
	found, err := handle.ListAllSnapshots(flags)
	if err != nil {
		return nil, err
	}
	var records []Record
	for i := range found {
		defer func() { _ = found[i].Free() }()
		record, err := c.record(&found[i], func(secure bool) (string, error) {
			return found[i].GetXMLDesc(given(secure, libvirt.DOMAIN_SNAPSHOT_XML_SECURE))
		})
		if err != nil {
			return nil, err
		}
		if record.Current, err = found[i].IsCurrent(0); err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

func (c *Connection) checkpoints(handle *libvirt.Domain) ([]Record, error) {
	found, err := handle.ListAllCheckpoints(libvirt.DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL)
	if err != nil {
		return nil, err
	}
	var records []Record
	for i := range found {
		defer func() { _ = found[i].Free() }()
		record, err := c.record(&found[i], func(secure bool) (string, error) {
			return found[i].GetXMLDesc(given(secure, libvirt.DOMAIN_CHECKPOINT_XML_SECURE))
		})
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

func (c *Connection) record(named interface{ GetName() (string, error) }, describe func(secure bool) (string, error)) (record Record,
	err error) {
	if record.Name, err = named.GetName(); err != nil {
		return record, err
	}
	record.XML, err = c.describe(describe)
	return record, err
}

// describe asks for the secrets in an XML (a VNC password), without which it
// would not define the same thing again, and does without where it may not.
func (c *Connection) describe(describe func(secure bool) (string, error)) (string, error) {
	if !c.readOnly {
		text, err := describe(true)
		if !denied(err) {
			return text, err
		}
	}
	return describe(false)
}

func given[F ~uint | ~uint32 | ~int](condition bool, flag F) F {
	if condition {
		return flag
	}
	return 0
}

// unsupported: this driver (lxc, an old one) knows no such thing, so there is none.
func unsupported(err error) bool {
	return errors.Is(err, libvirt.ERR_NO_SUPPORT) || errors.Is(err, libvirt.ERR_OPERATION_UNSUPPORTED)
}

func denied(err error) bool {
	return errors.Is(err, libvirt.ERR_OPERATION_DENIED) || errors.Is(err, libvirt.ERR_ACCESS_DENIED)
}
