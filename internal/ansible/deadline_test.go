package ansible

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTheDeadlineGrowsWithTheList(t *testing.T) {
	module := Module{Name: "probe", Each: "list", Turns: "ways", Options: []Option{
		{Name: "list", Type: List, Elements: Str}, {Name: "ways", Type: List, Elements: Str, Default: []any{"one"}}, Timeout,
	}}
	for _, test := range []struct {
		elements int
		ways     any
		timeout  any
		want     time.Duration
		turn     time.Duration
	}{
		{0, nil, nil, time.Minute, time.Minute},
		{1, nil, nil, time.Minute, time.Minute},
		{10, nil, nil, time.Minute, time.Minute},
		{11, nil, nil, 2 * time.Minute, time.Minute},
		{50, nil, "20", 100 * time.Second, 20 * time.Second},
		{1, "a,b,c", "20", time.Minute, 20 * time.Second},
		{50, "a,b", "20", 200 * time.Second, 20 * time.Second},
	} {
		t.Run(fmt.Sprint(test.elements, " elements, ways ", test.ways, ", timeout ", test.timeout), func(t *testing.T) {
			list := strings.TrimSuffix(strings.Repeat("a,", test.elements), ",")
			arguments := map[string]any{"list": list, "ways": test.ways, "timeout": test.timeout}
			if test.elements == 0 {
				delete(arguments, "list")
			}
			call := &Call{secrets: &secrets{}, values: map[string]any{}}
			if err := module.fill(call, arguments); err != nil || call.timeout != test.want || call.Turn != test.turn {
				t.Errorf("got %s, %s a turn, %v", call.timeout, call.Turn, err)
			}
		})
	}
}
