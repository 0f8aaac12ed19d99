package main

import (
	"strings"
	"testing"

	"nova-orphan/internal/nova"
)

func TestWhatWasJudgedMustStillBeSo(t *testing.T) {
	instance := &nova.Instance{UpdatedAt: "2026-01-02T03:04:05Z", VMState: "error", Host: "compute1"}
	as := func(column, value string) map[string]any {
		judged := map[string]any{"updated_at": "2026-01-02T03:04:05Z", "vm_state": "error", "task_state": "", "host": "compute1"}
		if column != "" {
			judged[column] = value
		}
		return judged
	}
	for _, test := range []struct {
		judged map[string]any
		want   string
	}{
		{nil, "it had no row when it was judged"},
		{as("", ""), ""},
		{as("updated_at", ""), `instances.updated_at was "", is "2026-01-02T03:04:05Z"`},
		{as("vm_state", "active"), `instances.vm_state was "active", is "error"`},
		{as("task_state", "deleting"), `instances.task_state was "deleting", is ""`},
		{as("host", "compute2"), `instances.host was "compute2", is "compute1"`},
	} {
		got := strings.Join(rewritten(test.judged, instance), "; ")
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%v: got %q", test.judged, got)
		}
	}
	if got := rewritten(as("host", "compute2"), nil); got != nil {
		t.Errorf("no cell knows it: got %q", got)
	}
}

func TestAJudgementOfTheCallerIsComparedAsAWhole(t *testing.T) {
	as := func(judged map[string]any) map[string]any {
		return map[string]any{"judged_as": map[string]any{uuid: judged}}
	}
	for _, test := range []struct {
		change  map[string]any
		changed bool
		verdict string
	}{
		{nil, true, "stuck"},
		{map[string]any{"name": "is not looked at", "task_state": nil}, true, "stuck"},
		{map[string]any{"task_state": "deleting"}, false, "busy"},
		{map[string]any{"host": "compute2"}, false, "busy"},
	} {
		f := &fake{}
		judged := map[string]any{"updated_at": "2026-01-02T02:04:05Z", "vm_state": "error", "task_state": "", "host": "compute1"}
		for column, value := range test.change {
			judged[column] = value
		}
		got := callFake(t, f, as(judged))
		if got.Get("changed").Bool() != test.changed || got.Get("verdict").String() != test.verdict || (f.writes > 0) != test.changed {
			t.Errorf("%v: %s", test.change, got)
		}
		if told := got.Get("msg").String() + got.Get("reasons").String(); test.verdict == "busy" &&
			!strings.Contains(told, "somebody wrote it since it was judged") {
			t.Errorf("%v: %s", test.change, got)
		}
	}
	// What is gone as it was to be is no matter of who did it.
	judged := map[string]any{"updated_at": "x", "vm_state": "error", "task_state": "", "host": "compute1"}
	if got := callFake(t, &fake{deleted: true, queued: true}, as(judged)); got.Get("failed").Bool() ||
		got.Get("changed").Bool() {
		t.Errorf("deleted already: %s", got)
	}
	if got := callFake(t, &fake{deleted: true}, as(judged)); got.Get("verdict").String() != "busy" {
		t.Errorf("deleted by somebody, with a mapping left: %s", got)
	}
	// One's own write, whose answer was lost, is not somebody else's.
	judged["updated_at"] = "2026-01-02T02:04:05Z"
	f := &fake{answers: []func(*fake) error{func(f *fake) error { f.deleted = true; return nova.ErrOutcome }}}
	if got := callFake(t, f, as(judged)); got.Get("failed").Bool() || !got.Get("changed").Bool() {
		t.Errorf("the commit was lost and had happened: %s", got)
	}
}
