package nova

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhatADeletionHasStillToDo(t *testing.T) {
	row := func(deleted string) Row { return Row{"id": {Text: "7"}, "deleted": {Text: deleted}} }
	attempts := Row{"id": {Text: "9"}, "deleted": {Text: "0"}, "key": {Text: "clean_attempts"}}
	for name, test := range map[string]struct {
		record Record
		want   map[string]int
	}{
		"a live child row": {
			Record{"instances": {Rows: []Row{row("7")}}, "instance_extra": {Rows: []Row{row("0")}}}, map[string]int{"instance_extra": 1}},
		"a child row that was deleted with a wrong value": {
			Record{"instances": {Rows: []Row{row("7")}}, "instance_extra": {Rows: []Row{row("1")}}}, map[string]int{"instance_extra": 1}},
		"a child row that is deleted": {
			Record{"instances": {Rows: []Row{row("7")}}, "instance_extra": {Rows: []Row{row("7")}}}, map[string]int{}},
		"any tag, since tags are not soft-deleted": {
			Record{"instances": {Rows: []Row{row("7")}}, "tags": {Rows: []Row{{"tag": {Text: "a"}}}}}, map[string]int{"tags": 1}},
		"no action, since Nova keeps those": {
			Record{"instances": {Rows: []Row{row("7")}}, "instance_actions": {Rows: []Row{row("0")}}}, map[string]int{}},
		"not what nova-compute notes when it reaps a deleted instance": {
			Record{"instances": {Rows: []Row{row("7")}}, "instance_system_metadata": {Rows: []Row{attempts}}}, map[string]int{}},
		"the same note on an instance that is not deleted": {
			Record{"instances": {Rows: []Row{row("1")}}, "instance_system_metadata": {Rows: []Row{attempts}}},
			map[string]int{"instance_system_metadata": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.record.unfinished()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
