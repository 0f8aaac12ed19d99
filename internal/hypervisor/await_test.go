package hypervisor

import (
	"strings"
	"testing"
)

func TestAPanicInACallIntoLibvirtIsItsError(t *testing.T) {
	_, err := await(t.Context(), "read domain x", func() (string, error) { panic("at the definition") })
	if err == nil || !strings.HasSuffix(err.Error(), "at the definition") {
		t.Errorf("got %v", err)
	}
}
