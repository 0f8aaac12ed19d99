package nova

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestTheDownTimeIsTheConfigurationsOrNovasDefault(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"":                                     time.Minute,
		"[DEFAULT]\nservice_down_time = 180\n": 3 * time.Minute,
		"[DEFAULT]\nservice_down_time = 'soon'\n": 0, // an error
		"[DEFAULT]\nservice_down_time = -1\n":     0,
	} {
		path := filepath.Join(t.TempDir(), "nova.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ServiceDownTime(path); got != want || (err != nil) != (want == 0) {
			t.Errorf("%q: got %s, %v", text, got, err)
		}
	}
}
