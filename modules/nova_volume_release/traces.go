package main

import (
	"fmt"
	"slices"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/orphan"
)

// tracesByInstance checks the option traces: texts by the instances' UUIDs, one or a list of them each.
func tracesByInstance(value any) (any, error) {
	traces := map[string]any{}
	for key, given := range value.(map[string]any) {
		uuid, err := ansible.UUID(key)
		if err != nil {
			return nil, fmt.Errorf("takes a dictionary by the instances' UUIDs: %w", err)
		}
		list, isList := given.([]any)
		if !isList {
			list = []any{given}
		}
		noText := func(trace any) bool { text, _ := trace.(string); return text == "" }
		if len(list) == 0 || slices.ContainsFunc(list, noText) {
			return nil, fmt.Errorf("takes for %s what proves that it was this cloud's, as a text or a list of texts, got: %v", uuid, given)
		}
		traces[uuid.(string)] = list
	}
	return traces, nil
}

// trace takes an instance of which Nova's databases know nothing for lost if something else proves that it was this
// cloud's: what the caller has seen, or that this module has already begun with it.
func (t *task) trace(e *evidence) {
	if !e.untraced {
		return
	}
	traces := slices.Clone(t.Traces[t.instance])
	if slices.ContainsFunc(t.earlier, func(r record) bool { return r.Verdict != orphan.Absent && r.Verdict != orphan.Unknown }) {
		traces = append(traces, "an earlier call of this module wrote down what it had, when Nova's databases still had a trace of it")
	}
	if e.untraced = len(traces) == 0; !e.untraced {
		e.judgement = orphan.Judgement{Verdict: orphan.Lost, Reasons: slices.Concat(e.judgement.Reasons, traces)}
	}
}

// leaveUntraced is the plan for one that may be another cloud's.
func leaveUntraced(e evidence, p parameters) (found plan) {
	found.remains = inventory(e, p)
	if len(e.Attachments) > 0 || slices.ContainsFunc(e.Ports, e.owns) {
		found.addRemaining("nova's databases have no trace of the instance, so that all of that may be another cloud's: if something else "+
			"proves that it was this one's, give it in traces: {%s: ...}", e.instance)
	}
	return found
}
