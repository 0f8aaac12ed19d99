package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func yes() *bool { value := true; return &value }

func no() *bool { value := false; return &value }

func TestPlan(t *testing.T) {
	plain := setting{Status: enabled}
	forced := setting{Status: enabled, ForcedDown: true}
	off := setting{Status: disabled, DisabledReason: "disk"}
	for _, test := range []struct {
		name    string
		now     setting
		p       parameters
		request string
		steps   string
	}{
		{"nothing asked for", plain, parameters{}, `{}`, ""},
		{"forced down", plain, parameters{ForcedDown: yes()}, `{"forced_down":true}`, "force nova-compute on h down"},
		{"forced down already", forced, parameters{ForcedDown: yes()}, `{}`, ""},
		{"false is sent, too", forced, parameters{ForcedDown: no()}, `{"forced_down":false}`, "no longer force nova-compute on h down"},
		{"not forced down already", plain, parameters{ForcedDown: no()}, `{}`, ""},
		{"enabled takes the reason away", off, parameters{State: enabled}, `{"status":"enabled"}`, "set nova-compute on h to enabled"},
		{"enabled already", plain, parameters{State: enabled}, `{}`, ""},
		{"disabled", plain, parameters{State: disabled}, `{"status":"disabled"}`, "set nova-compute on h to disabled"},
		{"disabled with a reason", plain, parameters{State: disabled, DisabledReason: "fan"}, `{"status":"disabled","disabled_reason":"fan"}`, "set nova-compute on h to disabled (fan)"},
		{"another reason", off, parameters{State: disabled, DisabledReason: "fan"}, `{"status":"disabled","disabled_reason":"fan"}`, "set nova-compute on h to disabled (fan)"},
		{"a reason that is there stays", off, parameters{State: disabled}, `{}`, ""},
		{"forced down, and the reason stays", off, parameters{State: disabled, ForcedDown: yes()}, `{"forced_down":true}`, "force nova-compute on h down"},
		{"both", off, parameters{State: enabled, ForcedDown: yes()}, `{"forced_down":true,"status":"enabled"}`, "force nova-compute on h down; set nova-compute on h to enabled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			after := wanted(test.now, test.p)
			request, err := json.Marshal(changeTo(test.now, after))
			if err != nil || string(request) != test.request {
				t.Errorf("request %s, %v, want %s", request, err, test.request)
			}
			if got := strings.Join(steps("h", test.now, after), "; "); got != test.steps {
				t.Errorf("steps %q, want %q", got, test.steps)
			}
			if again := wanted(after, test.p); again != after {
				t.Errorf("it is not idempotent: %v, then %v", after, again)
			}
		})
	}
}

func TestWhatIsPutBackIsWhatWasChanged(t *testing.T) {
	plain, forced := setting{Status: enabled}, setting{Status: enabled, ForcedDown: true}
	off, fan := setting{Status: disabled, DisabledReason: "disk"}, setting{Status: disabled, DisabledReason: "fan"}
	offForced := setting{Status: disabled, DisabledReason: "disk", ForcedDown: true}
	for _, test := range []struct {
		name      string
		now       setting
		was, left setting
		want      setting
		refused   bool
	}{
		{"the flag", forced, plain, forced, plain, false},
		{"the flag is back already", plain, plain, forced, plain, false},
		{"the flag was set before: it stays set", forced, forced, plain, forced, false},
		{"the flag that was taken away is set again", plain, forced, plain, forced, false},
		{"the flag only: somebody else's status stays", offForced, plain, forced, off, false},
		{"the status with its reason", plain, off, plain, off, false},
		{"the status is back already", off, off, plain, off, false},
		{"the reason was changed since", fan, plain, off, fan, true},
		{"both", offForced, plain, offForced, plain, false},
		{"a run that changed nothing", fan, plain, plain, fan, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := restored(test.now, record{Before: test.was, ChangedTo: test.left})
			if got != test.want || (err != nil) != test.refused {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
