//go:build cgo && libvirt_dlopen

package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"time"

	"libvirt.org/go/libvirt"
)

// Connection is a connection to one libvirt daemon.
type Connection struct {
	uri      string
	connect  func(uri string) (*libvirt.Connect, error)
	conn     *libvirt.Connect
	readOnly bool
}

// Open connects to the libvirt daemon that uri names, trying again for a moment
// where its socket is not there, as while the daemon restarts.
func Open(ctx context.Context, uri string) (*Connection, error) {
	c := &Connection{uri: uri, connect: libvirt.NewConnect}
	if err := c.open(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// OpenReadOnly is Open for a connection on which libvirt refuses all that changes anything.
func OpenReadOnly(ctx context.Context, uri string) (*Connection, error) {
	c := &Connection{uri: uri, connect: libvirt.NewConnectReadOnly, readOnly: true}
	if err := c.open(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Connection) open(ctx context.Context) error {
	const attempts = 3
	for attempt := 1; ; attempt++ {
		conn, err := await(ctx, connecting, func() (*libvirt.Connect, error) { return c.connect(c.uri) })
		if err == nil {
			c.conn = conn
			return nil
		}
		err = c.explain(connecting, err)
		if !errors.Is(err, ErrUnreachable) || attempt == attempts {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(attempt) * 500 * time.Millisecond):
		}
	}
}

// Close releases the connection. It does not wait for a daemon that hangs.
func (c *Connection) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = await(ctx, "close the connection", c.conn.Close)
}

// Domain reads the domain with this uuid, or returns ErrNoDomain. It connects
// anew if the connection was lost, as by a restart of the daemon; calls that
// change something do not, since they may have been carried out.
func (c *Connection) Domain(ctx context.Context, uuid string) (Domain, error) {
	return again(ctx, c, func() (Domain, error) { return c.domain(ctx, uuid) })
}

func again[T any](ctx context.Context, c *Connection, read func() (T, error)) (T, error) {
	value, err := read()
	if !errors.Is(err, ErrUnreachable) {
		return value, err
	}
	c.Close()
	if err := c.open(ctx); err != nil {
		return value, err
	}
	return read()
}

func (c *Connection) domain(ctx context.Context, uuid string) (Domain, error) {
	op := "read domain " + uuid
	return await(ctx, op, func() (Domain, error) {
		handle, err := c.conn.LookupDomainByUUIDString(uuid)
		if err != nil {
			return Domain{}, c.explain(op, err)
		}
		defer func() { _ = handle.Free() }()
		domain, err := c.read(uuid, handle)
		return domain, c.explain(op, err)
	})
}

// DomainUses tells of all domains of the host what they use. One that goes meanwhile
// uses nothing any more.
func (c *Connection) DomainUses(ctx context.Context) ([]DomainUse, error) {
	return again(ctx, c, func() ([]DomainUse, error) { return c.domainUses(ctx) })
}

func (c *Connection) domainUses(ctx context.Context) ([]DomainUse, error) {
	const op = "read what the host's domains use"
	return await(ctx, op, func() ([]DomainUse, error) {
		handles, err := c.conn.ListAllDomains(0)
		if err != nil {
			return nil, c.explain(op, err)
		}
		uses := []DomainUse{}
		for i := range handles {
			defer func() { _ = handles[i].Free() }()
			use, err := readUse(&handles[i])
			if errors.Is(err, libvirt.ERR_NO_DOMAIN) {
				continue
			}
			if err != nil {
				return nil, c.explain(op, err)
			}
			if !IsRemote(c.uri) {
				if err := use.Follow(); errors.Is(err, fs.ErrPermission) {
					return nil, fmt.Errorf("%s: %w: run it as root (become: true)", op, err)
				} else if err != nil {
					return nil, fmt.Errorf("%s: %w", op, err)
				}
				use.PID = guestPID(use)
			}
			uses = append(uses, use)
		}
		return uses, nil
	})
}

// ProcessUses tells which processes of this host have open what matters.
func (c *Connection) ProcessUses(ctx context.Context, matters func(path string) bool) ([]ProcessUse, error) {
	if IsRemote(c.uri) {
		return nil, fmt.Errorf("the processes of the host at %s cannot be seen from here: run it on the hypervisor itself", c.uri)
	}
	return processUses(ctx, "/proc", "/sys", matters)
}

// Named returns the uuid of the domain with this name, or ErrNoDomain.
func (c *Connection) Named(ctx context.Context, name string) (uuid string, err error) {
	op := "look for a domain named " + name
	return await(ctx, op, func() (string, error) {
		handle, err := c.conn.LookupDomainByName(name)
		if err != nil {
			return "", c.explain(op, err)
		}
		defer func() { _ = handle.Free() }()
		uuid, err := handle.GetUUIDString()
		return uuid, c.explain(op, err)
	})
}

// Destroy powers the domain off at once, as nova-compute does. The domain must
// still be in the run that id names, else it returns ErrRestarted; one that is
// off already is left alone.
func (c *Connection) Destroy(ctx context.Context, uuid string, id int) error {
	return c.change(ctx, "power off domain "+uuid, uuid, func(handle *libvirt.Domain, active bool) error {
		if !active {
			return nil
		}
		now, err := handle.GetID()
		if err != nil {
			return err
		}
		if int(now) != id {
			return ErrRestarted
		}
		err = handle.DestroyFlags(libvirt.DOMAIN_DESTROY_DEFAULT)
		if errors.Is(err, libvirt.ERR_OPERATION_INVALID) {
			// Another was quicker, which libvirt calls an invalid operation.
			if stillActive, stateErr := handle.IsActive(); stateErr == nil && !stillActive {
				return nil
			}
		}
		return err
	})
}

// Undefine removes an inactive domain's definition and what flags say, in one
// call, which is not atomic: qemu removes snapshot metadata and the managed save
// before it may refuse on account of NVRAM (qemu_driver.c
// qemuDomainUndefineFlags). The domain must still be as judged, else it returns
// ErrChanged, so that nothing is removed that no backup holds. An active domain
// is ErrActive: libvirt would make it transient instead, and so invisible to
// those who look for definitions.
func (c *Connection) Undefine(ctx context.Context, judged Domain, flags Flags) error {
	return c.change(ctx, "undefine domain "+judged.UUID, judged.UUID, func(handle *libvirt.Domain, active bool) error {
		if active {
			return ErrActive
		}
		now, err := c.read(judged.UUID, handle)
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(now, judged) {
			return ErrChanged
		}
		return handle.UndefineFlags(libvirt.DomainUndefineFlagsValues(flags))
	})
}

// Define stores a definition and starts nothing; a domain that runs without one
// becomes persistent again. One of the same uuid is replaced: libvirt knows no
// define that only adds.
func (c *Connection) Define(ctx context.Context, xml string) error {
	const op = "define a domain"
	_, err := await(ctx, op, func() (struct{}, error) {
		handle, err := c.conn.DomainDefineXML(xml)
		if err != nil {
			return struct{}{}, c.explain(op, err)
		}
		return struct{}{}, handle.Free()
	})
	return err
}

// DefineSnapshot stores libvirt's record of a snapshot again, after those of its parents.
func (c *Connection) DefineSnapshot(ctx context.Context, uuid string, snapshot Record) error {
	op := fmt.Sprintf("define snapshot %s of domain %s", snapshot.Name, uuid)
	return c.change(ctx, op, uuid, func(handle *libvirt.Domain, _ bool) error {
		flags := libvirt.DOMAIN_SNAPSHOT_CREATE_REDEFINE
		if snapshot.Current {
			flags |= libvirt.DOMAIN_SNAPSHOT_CREATE_CURRENT
		}
		defined, err := handle.CreateSnapshotXML(snapshot.XML, flags)
		if err != nil {
			return err
		}
		return defined.Free()
	})
}

// DefineCheckpoint stores libvirt's record of a checkpoint again, after those of its parents.
func (c *Connection) DefineCheckpoint(ctx context.Context, uuid string, checkpoint Record) error {
	op := fmt.Sprintf("define checkpoint %s of domain %s", checkpoint.Name, uuid)
	return c.change(ctx, op, uuid, func(handle *libvirt.Domain, _ bool) error {
		defined, err := handle.CreateCheckpointXML(checkpoint.XML, libvirt.DOMAIN_CHECKPOINT_CREATE_REDEFINE)
		if err != nil {
			return err
		}
		return defined.Free()
	})
}

// SetAutostart has libvirt start the domain with the host.
func (c *Connection) SetAutostart(ctx context.Context, uuid string) error {
	return c.change(ctx, "set autostart of domain "+uuid, uuid, func(handle *libvirt.Domain, _ bool) error {
		return handle.SetAutostart(true)
	})
}

func (c *Connection) change(ctx context.Context, op, uuid string, do func(handle *libvirt.Domain, active bool) error) error {
	_, err := await(ctx, op, func() (struct{}, error) {
		handle, err := c.conn.LookupDomainByUUIDString(uuid)
		if err != nil {
			return struct{}{}, err
		}
		defer func() { _ = handle.Free() }()
		active, err := handle.IsActive()
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, do(handle, active)
	})
	return c.explain(op, err)
}

// explain turns the binding's error into an Error and says what was asked.
func (c *Connection) explain(op string, err error) error {
	var cause libvirt.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &cause):
		return NewError(op, c.uri, int(cause.Code), int(cause.Domain), cause.Message)
	case errors.Is(err, ErrActive), errors.Is(err, ErrRestarted), errors.Is(err, ErrChanged):
		return fmt.Errorf("%s: %w", op, err)
	default:
		return err
	}
}
