//go:build cgo && libvirt_dlopen

package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"sync"
	"time"

	"libvirt.org/go/libvirt"

	"nova-orphan/internal/ansible"
)

// Connection is a connection to one libvirt daemon, for several callers at once.
type Connection struct {
	uri      string
	connect  func(uri string) (*libvirt.Connect, error)
	readOnly bool
	// Call is the module's that asks, if that may have been called on a host and be elsewhere.
	Call *ansible.Call

	mu   sync.Mutex
	conn *libvirt.Connect
}

// Open connects to the libvirt daemon that uri names, trying again for a moment
// where its socket is not there, as while the daemon restarts.
func Open(ctx context.Context, uri string) (*Connection, error) {
	return (&Connection{uri: uri, connect: libvirt.NewConnect}).open(ctx)
}

// OpenReadOnly is Open for a connection on which libvirt refuses all that changes anything.
func OpenReadOnly(ctx context.Context, uri string) (*Connection, error) {
	return (&Connection{uri: uri, connect: libvirt.NewConnectReadOnly, readOnly: true}).open(ctx)
}

func (c *Connection) open(ctx context.Context) (*Connection, error) {
	const attempts = 3
	for attempt := 1; ; attempt++ {
		conn, err := await(ctx, connecting, func() (*libvirt.Connect, error) { return c.connect(c.uri) })
		if err == nil {
			c.conn = conn
			return c, nil
		}
		err = c.explain(connecting, err)
		if !errors.Is(err, ErrUnreachable) || attempt == attempts {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(time.Duration(attempt) * 500 * time.Millisecond):
		}
	}
}

// Close releases the connection. It does not wait for a daemon that hangs.
func (c *Connection) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = await(ctx, "close the connection", c.current().Close)
}

func (c *Connection) current() *libvirt.Connect {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// reopen connects anew, unless another caller has. The lost connection is not closed: others may be in a call on it.
func (c *Connection) reopen(ctx context.Context, lost *libvirt.Connect) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == lost {
		_, err = c.open(ctx)
	}
	return err
}

// ask asks libvirt once, since what changes something may have been carried out.
func ask[T any](ctx context.Context, c *Connection, op string, question func(*libvirt.Connect) (T, error)) (T, error) {
	conn := c.current()
	value, err := await(ctx, op, func() (T, error) { return question(conn) })
	return value, c.explain(op, err)
}

// read is ask for what changes nothing: it connects anew if the connection was lost, as by a restart of the daemon.
func read[T any](ctx context.Context, c *Connection, op string, question func(*libvirt.Connect) (T, error)) (T, error) {
	conn := c.current()
	value, err := ask(ctx, c, op, question)
	if !errors.Is(err, ErrUnreachable) {
		return value, err
	}
	if err := c.reopen(ctx, conn); err != nil {
		return value, err
	}
	return ask(ctx, c, op, question)
}

// of is a question to a domain.
func of[T any](uuid string, question func(*libvirt.Connect, *libvirt.Domain) (T, error)) func(*libvirt.Connect) (T, error) {
	return func(conn *libvirt.Connect) (answer T, err error) {
		handle, err := conn.LookupDomainByUUIDString(uuid)
		if err != nil {
			return answer, err
		}
		defer func() { _ = handle.Free() }()
		return question(conn, handle)
	}
}

// Domain reads the domain with this uuid, or returns ErrNoDomain.
func (c *Connection) Domain(ctx context.Context, uuid string) (Domain, error) {
	return read(ctx, c, "read domain "+uuid, of(uuid, c.read))
}

// DomainUses tells of all domains of the host what they use. One that goes meanwhile
// uses nothing any more.
func (c *Connection) DomainUses(ctx context.Context) ([]DomainUse, error) {
	return read(ctx, c, "read what the host's domains use", func(conn *libvirt.Connect) ([]DomainUse, error) {
		handles, listed := conn.ListAllDomains(0)
		uses := []DomainUse{}
		for i := range handles {
			defer func() { _ = handles[i].Free() }()
			use, err := readUse(&handles[i])
			if err == nil && !IsRemote(c.uri) {
				err = asRoot(use.Follow())
				use.PID = guestPID(use)
			}
			switch {
			case errors.Is(err, libvirt.ERR_NO_DOMAIN):
				continue
			case err != nil:
				return nil, err
			}
			uses = append(uses, use)
		}
		return uses, listed
	})
}

// asRoot says what to do about files that one may not read.
func asRoot(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("read what the host's domains use: %w: run it as root (become: true)", err)
	}
	return err
}

// ProcessUses tells which processes of this host have open what matters.
func (c *Connection) ProcessUses(ctx context.Context, matters func(path string) bool) ([]ProcessUse, error) {
	if IsRemote(c.uri) {
		return nil, fmt.Errorf("the processes of the host at %s cannot be seen from here: run it on the hypervisor itself", c.uri)
	}
	return processUses(ctx, c.Call, "/proc", "/sys", matters)
}

// Named returns the uuid of the domain with this name, or ErrNoDomain.
func (c *Connection) Named(ctx context.Context, name string) (uuid string, err error) {
	return ask(ctx, c, "look for a domain named "+name, func(conn *libvirt.Connect) (string, error) {
		handle, err := conn.LookupDomainByName(name)
		if err != nil {
			return "", err
		}
		defer func() { _ = handle.Free() }()
		return handle.GetUUIDString()
	})
}

// Destroy powers the domain off at once, as nova-compute does. The domain must
// still be in the run that id names, else it returns ErrRestarted; one that is
// off already is left alone.
func (c *Connection) Destroy(ctx context.Context, uuid string, id int) error {
	return c.change(ctx, "power off domain "+uuid, uuid, func(_ *libvirt.Connect, handle *libvirt.Domain) error {
		if active, err := handle.IsActive(); err != nil || !active {
			return err
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
	return c.change(ctx, "undefine domain "+judged.UUID, judged.UUID, func(conn *libvirt.Connect, handle *libvirt.Domain) error {
		now, err := c.read(conn, handle)
		switch {
		case err != nil:
			return err
		case now.Active:
			return ErrActive
		case !reflect.DeepEqual(now, judged):
			return ErrChanged
		}
		return handle.UndefineFlags(libvirt.DomainUndefineFlagsValues(flags))
	})
}

// Define stores a definition and starts nothing; a domain that runs without one
// becomes persistent again. One of the same uuid is replaced: libvirt knows no
// define that only adds.
func (c *Connection) Define(ctx context.Context, xml string) error {
	_, err := ask(ctx, c, "define a domain", func(conn *libvirt.Connect) (struct{}, error) {
		handle, err := conn.DomainDefineXML(xml)
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, handle.Free()
	})
	return err
}

// DefineSnapshot stores libvirt's record of a snapshot again, after those of its parents.
func (c *Connection) DefineSnapshot(ctx context.Context, uuid string, snapshot Record) error {
	op := fmt.Sprintf("define snapshot %s of domain %s", snapshot.Name, uuid)
	return c.change(ctx, op, uuid, func(_ *libvirt.Connect, handle *libvirt.Domain) error {
		flags := libvirt.DOMAIN_SNAPSHOT_CREATE_REDEFINE | given(snapshot.Current, libvirt.DOMAIN_SNAPSHOT_CREATE_CURRENT)
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
	return c.change(ctx, op, uuid, func(_ *libvirt.Connect, handle *libvirt.Domain) error {
		defined, err := handle.CreateCheckpointXML(checkpoint.XML, libvirt.DOMAIN_CHECKPOINT_CREATE_REDEFINE)
		if err != nil {
			return err
		}
		return defined.Free()
	})
}

// SetAutostart has libvirt start the domain with the host.
func (c *Connection) SetAutostart(ctx context.Context, uuid string) error {
	return c.change(ctx, "set autostart of domain "+uuid, uuid, func(_ *libvirt.Connect, handle *libvirt.Domain) error {
		return handle.SetAutostart(true)
	})
}

func (c *Connection) change(ctx context.Context, op, uuid string, do func(*libvirt.Connect, *libvirt.Domain) error) error {
	_, err := ask(ctx, c, op, of(uuid, func(conn *libvirt.Connect, handle *libvirt.Domain) (struct{}, error) {
		return struct{}{}, do(conn, handle)
	}))
	return err
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
