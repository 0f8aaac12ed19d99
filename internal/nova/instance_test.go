package nova

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAVolumeThatWasGivenBackBeforeTheDeletionIsTold(t *testing.T) {
	const end = "2026-01-29 13:42:02"
	for _, test := range []struct {
		name                        string
		deleted, deletedAt          string // of the mapping, whose id is 7
		instance, instanceDeletedAt string // whose id is 9
		listed, detached            bool
	}{
		{"a live one of a live instance", "0", "", "0", "", true, false},
		{"one that a live instance gave back", "7", end, "0", "", false, false},
		{"one that went with the instance", "7", end, "9", end, true, false},
		{"one that went while a local delete asked Cinder", "7", "2026-01-29 13:41:58", "9", end, true, false},
		{"one that was finished later", "7", "2026-02-01 00:00:00", "9", end, true, false},
		{"one that was given back the day before", "7", "2026-01-28 13:42:02", "9", end, true, true},
		{"a live one of a zombie", "0", "", "1", end, true, false},
		{"one that was marked with the zombie", "1", "", "1", "", true, false},
		{"one that a zombie gave back before", "7", "2026-01-28 13:42:02", "1", end, true, true},
		{"one that a zombie without a date may have given back", "7", "2026-01-28 13:42:02", "1", "", true, true},
		{"a live one of a deleted instance", "0", "", "9", end, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			cell := Cell{Record: Record{
				"instances": {Rows: []Row{{"id": {Text: "9"}, "deleted": {Text: test.instance}, "deleted_at": {Text: test.instanceDeletedAt}}}},
				"block_device_mapping": {Rows: []Row{{
					"id": {Text: "7"}, "volume_id": {Text: "v"}, "deleted": {Text: test.deleted}, "deleted_at": {Text: test.deletedAt},
					"boot_index": {Text: "0"},
				}}},
			}}
			want := []Volume{}
			if test.listed {
				want = append(want, Volume{VolumeID: "v", Root: true, Detached: test.detached})
			}
			if diff := cmp.Diff(want, cell.volumes()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhoMadeAPortIsToldByTheInfoCacheOnly(t *testing.T) {
	made, kept := false, true
	cell := Cell{Record: Record{
		"instances": {Rows: []Row{{"id": {Text: "9"}, "deleted": {Text: "0"}}}},
		"instance_info_caches": {Rows: []Row{{"network_info": {Text: `[{"id": "users", "address": "m", "preserve_on_delete": true},
			{"id": "novas", "address": "m", "preserve_on_delete": false}, {"id": "old", "address": "m"}, {"id": "odd", "address": "m", "preserve_on_delete": "yes"}]`}}}},
		"virtual_interfaces": {Rows: []Row{{"address": {Text: "m/lost"}, "deleted": {Text: "0"}},
			{"address": {Text: "m/users"}, "deleted": {Text: "0"}}}},
	}}
	want := []Port{{"users", "m", &kept}, {"novas", "m", &made}, {"old", "m", nil}, {"odd", "m", nil}, {"lost", "m", nil}}
	if diff := cmp.Diff(want, cell.ports(cell.row().number("deleted") != 0)); diff != "" {
		t.Error(diff)
	}
}

func TestADomainMayBeOnEveryHostThatAnythingOfTheRecordNames(t *testing.T) {
	migration := func(source, dest string) Row {
		return Row{"source_compute": {Text: source}, "dest_compute": {Text: dest}}
	}
	at := func(host string) []Row { return []Row{{"host": {Text: host}}} }
	for _, test := range []struct {
		name             string
		host, launchedOn string
		migrations       []Row
		faults, events   []Row
		want             string
	}{
		{name: "none of an instance that was never placed", want: "[]"},
		{name: "its own alone", host: "a", want: "[{a [row]}]"},
		{name: "its own first, and each once", host: "b", migrations: []Row{migration("a", "b"), migration("b", "c"), migration("a", "")},
			want: "[{b [row migration]} {a [migration]} {c [migration]}]"},
		{name: "those of a move that left it without a host", migrations: []Row{migration("a", "b")}, want: "[{a [migration]} {b [migration]}]"},
		{name: "where it was launched", launchedOn: "a", want: "[{a [launched_on]}]"},
		{name: "where a build failed that cleared its host", faults: at("a"), events: at("a"), want: "[{a [fault event]}]"},
		{name: "all that is empty names none", faults: at(""), events: at(""), want: "[]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			record := Record{"instances": {Rows: []Row{{"host": {Text: test.host}, "launched_on": {Text: test.launchedOn}}}},
				"migrations": {Rows: test.migrations}, "instance_faults": {Rows: test.faults}}
			type named struct {
				host string
				by   []string
			}
			got := []named{}
			for _, host := range hostsOf(record, test.events) {
				got = append(got, named{host.Name, host.NamedBy})
			}
			if fmt.Sprint(got) != test.want {
				t.Errorf("got %v, want %s", got, test.want)
			}
		})
	}
}

func TestAHostThatOnlyAFaultOrAnEventNamesCountsIfItHadANovaCompute(t *testing.T) {
	for _, test := range []struct {
		host  Host
		never bool
	}{
		{Host{NamedBy: []string{byRow}}, false},
		{Host{NamedBy: []string{byEvent, byFault}}, true},
		{Host{NamedBy: []string{byEvent}, served: true}, false},
		{Host{NamedBy: []string{byLaunchedOn, byEvent}}, false},
	} {
		if got := test.host.neverComputed(); got != test.never {
			t.Errorf("%v: got %v", test.host, got)
		}
	}
}

func TestAnEvacuationIsLeftUntilItsSourceHasCleanedUp(t *testing.T) {
	for _, test := range []struct{ kind, status, want string }{
		{"evacuation", "done", "a"}, {"evacuation", "accepted", "a"}, {"evacuation", "pre-migrating", "a"},
		{"evacuation", "completed", ""}, {"evacuation", "failed", ""}, {"migration", "done", ""},
	} {
		t.Run(test.kind+" "+test.status, func(t *testing.T) {
			got := judged(Row{"migration_type": {Text: test.kind}, "status": {Text: test.status}, "source_compute": {Text: "a"}}).EvacuatedFrom
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
