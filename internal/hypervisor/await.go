package hypervisor

import (
	"context"
	"errors"
	"fmt"

	"nova-orphan/internal/ansible"
)

// await runs a call into libvirt, which takes no context, until ctx ends. The
// call itself then goes on in the background; the module is about to exit.
func await[T any](ctx context.Context, op string, call func() (T, error)) (T, error) {
	select {
	case o := <-ansible.Go(call):
		return o.Value, o.Err
	case <-ctx.Done():
		var none T
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return none, fmt.Errorf("%s: libvirt has not answered, its daemon hangs or waits for a disk; what was asked may still happen: %w", op,
				context.Cause(ctx))
		}
		return none, fmt.Errorf("%s: %w", op, ctx.Err())
	}
}
