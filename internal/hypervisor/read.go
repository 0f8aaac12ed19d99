//go:build cgo && libvirt_dlopen

package hypervisor

import (
	"errors"

	"libvirt.org/go/libvirt"
)

// get asks, unless an earlier question failed.
func get[T any](failed *error, question func() (T, error)) (answer T) {
	if *failed == nil {
		answer, *failed = question()
	}
	return answer
}

// supported: what this driver (lxc, an old one) does not know, there is none of.
func supported[T any](question func() (T, error)) func() (T, error) {
	return func() (T, error) {
		answer, err := question()
		if errors.Is(err, libvirt.ERR_NO_SUPPORT) || errors.Is(err, libvirt.ERR_OPERATION_UNSUPPORTED) {
			err = nil
		}
		return answer, err
	}
}

// read collects the facts of a domain. Each of the calls is allowed on a
// read-only connection.
func (c *Connection) read(conn *libvirt.Connect, handle *libvirt.Domain) (Domain, error) {
	var failed error
	domain := Domain{
		ID: -1, LibvirtVersion: Version(get(&failed, conn.GetLibVersion)), Driver: get(&failed, conn.GetType),
		UUID: get(&failed, handle.GetUUIDString), Name: get(&failed, handle.GetName), Active: get(&failed, handle.IsActive),
	}
	if domain.Active {
		domain.ID = int(get(&failed, handle.GetID))
	}
	domain.State = stateName(get(&failed, func() (int, error) {
		state, _, err := handle.GetState()
		return int(state), err
	}))
	domain.Persistent = get(&failed, handle.IsPersistent)
	domain.Autostart = get(&failed, supported(handle.GetAutostart))
	domain.XML = get(&failed, c.describe(func(secure bool) (string, error) {
		domain.SecretsDenied = !secure && !c.readOnly
		return handle.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE | given(secure, libvirt.DOMAIN_XML_SECURE))
	}))
	domain.Definition = get(&failed, func() (Definition, error) { return ParseDefinition(domain.UUID, domain.XML) })
	domain.ManagedSave = get(&failed, supported(func() (bool, error) { return handle.HasManagedSaveImage(0) }))
	listed := libvirt.DOMAIN_SNAPSHOT_LIST_METADATA |
		given(domain.LibvirtVersion >= WithCheckpoints, libvirt.DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL)
	for _, snapshot := range get(&failed, supported(func() ([]libvirt.DomainSnapshot, error) { return handle.ListAllSnapshots(listed) })) {
		domain.Snapshots = append(domain.Snapshots, Record{
			Name: get(&failed, snapshot.GetName), Current: get(&failed, func() (bool, error) { return snapshot.IsCurrent(0) }),
			XML: get(&failed, c.describe(func(secure bool) (string, error) {
				return snapshot.GetXMLDesc(given(secure, libvirt.DOMAIN_SNAPSHOT_XML_SECURE))
			})),
		})
		_ = snapshot.Free()
	}
	if domain.LibvirtVersion < WithCheckpoints {
		return domain, failed
	}
	for _, checkpoint := range get(&failed, supported(func() ([]libvirt.DomainCheckpoint, error) {
		return handle.ListAllCheckpoints(libvirt.DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL)
	})) {
		domain.Checkpoints = append(domain.Checkpoints, Record{
			Name: get(&failed, checkpoint.GetName),
			XML: get(&failed, c.describe(func(secure bool) (string, error) {
				return checkpoint.GetXMLDesc(given(secure, libvirt.DOMAIN_CHECKPOINT_XML_SECURE))
			})),
		})
		_ = checkpoint.Free()
	}
	return domain, failed
}

// readUse reads the definition even of a domain that runs: what stands there it uses
// when it is started again.
func readUse(handle *libvirt.Domain) (DomainUse, error) {
	var failed error
	active := get(&failed, handle.IsActive)
	texts := []string{get(&failed, func() (string, error) { return handle.GetXMLDesc(0) })}
	if active {
		texts = append(texts, get(&failed, func() (string, error) { return handle.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE) }))
	}
	return get(&failed, func() (DomainUse, error) { return ParseDomainUse(active, texts...) }), failed
}

// describe asks for the secrets in an XML (a VNC password), without which it
// would not define the same thing again, and does without where it may not.
func (c *Connection) describe(text func(secure bool) (string, error)) func() (string, error) {
	return func() (string, error) {
		if !c.readOnly {
			if text, err := text(true); !errors.Is(err, libvirt.ERR_OPERATION_DENIED) && !errors.Is(err, libvirt.ERR_ACCESS_DENIED) {
				return text, err
			}
		}
		return text(false)
	}
}

func given[F ~uint | ~uint32 | ~int](condition bool, flag F) F {
	if condition {
		return flag
	}
	return 0
}
