package hypervisor

import "context"

// Libvirt is what a Connection does; a test has another one.
type Libvirt interface {
	Domain(ctx context.Context, uuid string) (Domain, error)
	Overview(ctx context.Context) (Overview, error)
	DomainUses(ctx context.Context) ([]DomainUse, error)
	ProcessUses(ctx context.Context, matters func(path string) bool) ([]ProcessUse, error)
	Named(ctx context.Context, name string) (uuid string, err error)
	Destroy(ctx context.Context, uuid string, id int) error
	Undefine(ctx context.Context, judged Domain, flags Flags) error
	Define(ctx context.Context, xml string) error
	DefineSnapshot(ctx context.Context, uuid string, snapshot Record) error
	DefineCheckpoint(ctx context.Context, uuid string, checkpoint Record) error
	SetAutostart(ctx context.Context, uuid string) error
}
