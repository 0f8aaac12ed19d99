package nova

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhenAVolumeWasGivenBackIsTheFirstTimeThatARowSays(t *testing.T) {
	now := time.Date(2026, 1, 29, 14, 0, 0, 0, time.UTC)
	mapping := func(deleted, at string) Row {
		return Row{"id": {Text: "7"}, "volume_id": {Text: "v"}, "deleted": {Text: deleted}, "deleted_at": {Text: at}}
	}
	for _, test := range []struct {
		name       string
		mappings   []Row
		instanceAt string
		returned   string
		deletedAt  string
	}{
		{"one that is there", []Row{mapping("0", "")}, "", "", ""},
		{"one that is there, with a date", []Row{mapping("0", "2026-01-29 12:00:00")}, "", "", ""},
		{"one that was deleted", []Row{mapping("7", "2026-01-29 12:00:00")}, "2026-01-29 13:00:00", "2026-01-29 12:00:00", "2026-01-29 13:00:00"},
		{"one that was marked by hand", []Row{mapping("1", "2026-01-29 12:00:00")}, "", "2026-01-29 12:00:00", ""},
		{"one that was deleted without a date", []Row{mapping("7", "")}, "", "", ""},
		{"one that was deleted at no date", []Row{mapping("7", "0000-00-00 00:00:00")}, "0000-00-00 00:00:00", "", ""},
		{"X5 times to come are none", []Row{mapping("7", "2026-01-29 14:00:01")}, "2036-01-29 00:00:00", "", ""},
		{"twice: the first time", []Row{mapping("7", "2026-01-29 12:00:00"), mapping("7", "2026-01-28 12:00:00")}, "", "2026-01-28 12:00:00", ""},
		{"one that came back", []Row{mapping("7", "2026-01-28 12:00:00"), mapping("0", "")}, "", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			finding := Finding{Cells: []Cell{{Name: "cell0", Now: now}, {Now: now, Record: Record{
				"instances":            {Rows: []Row{{"id": {Text: "9"}, "deleted": {Text: "1"}, "deleted_at": {Text: test.instanceAt}}}},
				"block_device_mapping": {Rows: append([]Row{{"id": {Text: "6"}, "deleted": {Text: "0"}}}, test.mappings...)},
			}}}}
			date := func(text string) time.Time { at, _ := time.Parse(time.DateTime, text); return at }
			want := Given{Volumes: []GivenVolume{{"v", date(test.returned)}}, DeletedAt: date(test.deletedAt)}
			if diff := cmp.Diff(want, finding.Given()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPortsOfDeletedRowsAreGivenToo(t *testing.T) {
	finding := Finding{Cells: []Cell{{Record: Record{
		"instances":            {Rows: []Row{{"id": {Text: "9"}, "deleted": {Text: "0"}}}},
		"instance_info_caches": {Rows: []Row{{"network_info": {Text: `[{"id": "cached"}]`}}}},
		"virtual_interfaces": {Rows: []Row{{"address": {Text: "m/unplugged"}, "deleted": {Text: "5"}}, {"address": {Text: "m/cached"}},
			{"address": {Text: "m"}}}},
	}}}}
	if diff := cmp.Diff([]Port{{ID: "cached"}, {ID: "unplugged", MACAddress: "m"}}, finding.Given().Ports); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsLeftBesideNoRowOfAnInstanceIsGivenToo(t *testing.T) {
	kept := true
	now := time.Date(2026, 2, 2, 0, 0, 0, 0, time.UTC)
	finding := Finding{Cells: []Cell{{Now: now, Left: Record{
		"instances": {Rows: []Row{}},
		"block_device_mapping": {Rows: []Row{text("volume_id", "v", "deleted", "0"),
			text("volume_id", "w", "deleted", "7", "deleted_at", "2026-01-02 03:04:05")}},
		"instance_info_caches": {Rows: []Row{text("network_info", `[{"id": "p", "preserve_on_delete": true}]`)}},
	}}}}
	want := Given{Volumes: []GivenVolume{{ID: "v"}, {"w", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}},
		Ports: []Port{{ID: "p", PreserveOnDelete: &kept}}}
	if diff := cmp.Diff(want, finding.Given()); diff != "" {
		t.Error(diff)
	}
}
