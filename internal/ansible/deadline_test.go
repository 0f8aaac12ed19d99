package ansible

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestTheDeadlineGrowsWithTheList(t *testing.T) {
	module := Module{Name: "probe", Each: "list", Options: []Option{{Name: "list", Type: List, Elements: Str}, Timeout}}
	for _, test := range []struct {
		elements int
		timeout  any
		want     time.Duration
	}{
		{0, nil, time.Minute},
		{1, nil, time.Minute},
		{10, nil, time.Minute},
		{11, nil, 2 * time.Minute},
		{50, "20", 100 * time.Second},
	} {
		t.Run(fmt.Sprint(test.elements, " elements, timeout ", test.timeout), func(t *testing.T) {
			arguments := map[string]any{"list": strings.TrimSuffix(strings.Repeat("a,", test.elements), ","), "timeout": test.timeout}
			if test.elements == 0 {
				delete(arguments, "list")
			}
			call := &Call{secrets: &secrets{}, values: map[string]any{}}
			if err := module.fill(call, arguments); err != nil || call.timeout != test.want {
				t.Errorf("got %s, %v", call.timeout, err)
			}
		})
	}
}
