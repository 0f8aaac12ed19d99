package openstack

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"nova-orphan/internal/ansible"
)

func TestATokenIsRenewedOnceHoweverManyRequestsMeetItsEnd(t *testing.T) {
	var renewals atomic.Int32
	c := &Cloud{renew: func(context.Context) error { renewals.Add(1); return nil }}
	var all []<-chan ansible.Outcome[bool]
	for range 10 {
		all = append(all, ansible.Go(func() (bool, error) { return c.renewOnce(t.Context(), 1) }))
	}
	for _, one := range all {
		if o := <-one; !o.Value || o.Err != nil {
			t.Errorf("one was not to be sent again: %v", o.Err)
		}
	}
	if again, err := c.renewOnce(t.Context(), 2); again || err != nil || renewals.Load() != 1 {
		t.Errorf("it was renewed %d times; again %v, %v", renewals.Load(), again, err)
	}
	failing := &Cloud{renew: func(context.Context) error { return errors.New("no") }}
	if again, err := failing.renewOnce(t.Context(), 1); !again || err == nil {
		t.Errorf("got %v, %v", again, err)
	}
}
