package step

import (
	"context"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/ansible/ansibletest"
)

const (
	uuidA = "6695eb01-f6a4-8304-79aa-97f2502e193f"
	uuidB = "7795eb01-f6a4-8304-79aa-97f2502e193f"
)

type policyAnswer struct {
	ansible.Result
	A time.Time `json:"a,omitzero"`
	B time.Time `json:"b,omitzero"`
}

// policyProbe answers when A and B were last written by the caller.
var policyProbe = ansible.Module{
	Name: "probe", Options: PolicyOptions(),
	Run: func(_ context.Context, call *ansible.Call) (ansible.Answer, error) {
		var p struct{ Policy }
		if err := call.Decode(&p); err != nil {
			return nil, err
		}
		return &policyAnswer{A: p.Judging(uuidA).UnchangedSince, B: p.Judging(uuidB).UnchangedSince}, nil
	},
}

func TestUnchangedSinceIsATimeForAllOrOneByInstance(t *testing.T) {
	const time1, time2 = "2026-11-26T20:34:16Z", "2026-11-26T20:35:00Z"
	for _, test := range []struct {
		name  string
		given any
		a, b  string
		err   string
	}{
		{name: "nothing", given: nil},
		{name: "a time", given: time1, a: time1, b: time1},
		{name: "a dictionary", given: map[string]any{uuidA: time1, uuidB: time2}, a: time1, b: time2},
		{name: "one of the two", given: map[string]any{uuidB: time2}, b: time2},
		{name: "an empty dictionary", given: map[string]any{}},
		{name: "the same as JSON text", given: ` {"` + uuidA + `": "` + time1 + `"}`, a: time1},
		{name: "a UUID in capitals", given: map[string]any{strings.ToUpper(uuidA): time1}, a: time1},
		{name: "twice the same UUID", given: map[string]any{strings.ToUpper(uuidA): time1, uuidA: time2},
			err: "argument 'unchanged_since' names " + uuidA + " twice"},
		{name: "no time", given: "yesterday", err: `takes a time like 2026-11-26T20:34:16Z, as the answers have it in updated_at, or a ` +
			`dictionary of such by UUID, got: "yesterday"`},
		{name: "a number", given: 5, err: "takes a time like"},
		{name: "a list", given: []any{time1}, err: "takes a time like"},
		{name: "no text", given: "", err: "argument 'unchanged_since' must not be empty"},
		{name: "no time in a dictionary", given: map[string]any{uuidA: ""}, err: "argument 'unchanged_since' " + uuidA + ": takes a time like"},
		{name: "null in a dictionary", given: map[string]any{uuidA: nil}, err: "argument 'unchanged_since' " + uuidA + ": takes a time like"},
		{name: "no UUID", given: map[string]any{"web": time1}, err: `argument 'unchanged_since' takes a UUID like`},
		{name: "no JSON", given: `{"` + uuidA, err: "takes a JSON object"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := ansibletest.Call(t, policyProbe, map[string]any{"unchanged_since": test.given})
			if msg := answer.Get("msg").String(); answer.Get("failed").Bool() != (test.err != "") || !strings.Contains(msg, test.err) {
				t.Errorf("got %s, want %q", msg, test.err)
			}
			if answer.Get("a").String() != test.a || answer.Get("b").String() != test.b {
				t.Errorf("got %s", answer)
			}
		})
	}
}
