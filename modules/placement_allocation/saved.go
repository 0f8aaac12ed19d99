package main

import (
	"context"
	"fmt"
	"strings"
)

// writeDown backs up what the consumers hold, and does nothing else. Nova is not asked:
// nothing is taken from anybody.
func (t *task) writeDown(ctx context.Context, reply *answer) error {
	for _, consumer := range t.Consumers {
		now, err := t.read(ctx, consumer)
		if err != nil {
			return err
		}
		reply.Allocations = append(reply.Allocations, t.listed(now))
	}
	reply.AllocationsBefore = reply.Allocations
	for _, held := range reply.Allocations {
		if len(held.Held) == 0 {
			continue // it has nothing to lose
		}
		reply.Plan = append(reply.Plan, fmt.Sprintf("write down what %s holds", held.Consumer))
		if t.call.Check {
			continue
		}
		if err := t.saveAs(reply, record{consumer: held, State: saved}); err != nil {
			return err
		}
	}
	reply.Msg = strings.Join(reply.Plan, "; ")
	if len(reply.Plan) == 0 {
		reply.Msg = "nothing to write down"
	}
	return nil
}
