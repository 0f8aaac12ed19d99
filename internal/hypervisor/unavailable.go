//go:build !cgo || !libvirt_dlopen

package hypervisor

import (
	"context"
	"errors"
)

// Connection stands for libvirt in a build without it.
type Connection struct{ Libvirt }

// Open always fails.
func Open(context.Context, string) (*Connection, error) {
	return nil, errors.New("connect to libvirt: this binary was built without it: build with CGO_ENABLED=1 and -tags libvirt_dlopen")
}

// OpenReadOnly always fails.
func OpenReadOnly(ctx context.Context, uri string) (*Connection, error) { return Open(ctx, uri) }

// Close does nothing.
func (*Connection) Close() {}
