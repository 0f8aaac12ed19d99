//go:build !cgo || !libvirt_dlopen

package hypervisor

import (
	"context"
	"errors"
)

// Connection stands for libvirt in a build without it.
type Connection struct{}

var errWithout = errors.New("connect to libvirt: this binary was built without it: build with CGO_ENABLED=1 and -tags libvirt_dlopen")

// Open always fails.
func Open(context.Context, string) (*Connection, error) { return nil, errWithout }

// OpenReadOnly always fails.
func OpenReadOnly(context.Context, string) (*Connection, error) { return nil, errWithout }

// Domain always fails.
func (*Connection) Domain(context.Context, string) (Domain, error) { return Domain{}, errWithout }

// DomainUses always fails.
func (*Connection) DomainUses(context.Context) ([]DomainUse, error) { return nil, errWithout }

// ProcessUses always fails.
func (*Connection) ProcessUses(context.Context, func(string) bool) ([]ProcessUse, error) {
	return nil, errWithout
}

// Destroy always fails.
func (*Connection) Destroy(context.Context, string, int) error { return errWithout }

// Named always fails.
func (*Connection) Named(context.Context, string) (string, error) { return "", errWithout }

// Undefine always fails.
func (*Connection) Undefine(context.Context, Domain, Flags) error { return errWithout }

// Define always fails.
func (*Connection) Define(context.Context, string) error { return errWithout }

// DefineSnapshot always fails.
func (*Connection) DefineSnapshot(context.Context, string, Record) error { return errWithout }

// DefineCheckpoint always fails.
func (*Connection) DefineCheckpoint(context.Context, string, Record) error { return errWithout }

// SetAutostart always fails.
func (*Connection) SetAutostart(context.Context, string) error { return errWithout }

// Close does nothing.
func (*Connection) Close() {}
