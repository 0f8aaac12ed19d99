package ansible

import (
	"runtime/debug"
	"testing"
)

func TestTheVersionIsWhatTheToolchainStampedAndNeverEmpty(t *testing.T) {
	stamped := func(version string) *debug.BuildInfo { return &debug.BuildInfo{Main: debug.Module{Version: version}} }
	for _, test := range []struct {
		name string
		info *debug.BuildInfo
		want string
	}{
		{"a release", stamped("v1.2.3"), "v1.2.3"},
		{"between releases, with changes of one's own", stamped("v0.0.0-20261127001122-0123456789ab+dirty"),
			"v0.0.0-20261127001122-0123456789ab+dirty"},
		{"built without git", stamped("(devel)"), "devel"},
		{"built as a test", stamped(""), "devel"},
		{"built without modules", nil, "devel"},
	} {
		if got := version(test.info); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
