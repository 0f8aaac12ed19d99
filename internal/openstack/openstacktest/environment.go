package openstacktest

import (
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// NewInEnvironment is New for one test, to whose cloud the OS_* variables lead.
func NewInEnvironment(t *testing.T) *Cloud {
	t.Helper()
	cloud := New()
	t.Cleanup(cloud.Close)
	for name, value := range cloud.Environment() {
		t.Setenv(name, value)
	}
	return cloud
}

type cloudKey struct{}

// InScript is New for one testscript: the OS_* variables lead to the cloud, and the
// script's command "call" passes them on.
func InScript(env *testscript.Env) *Cloud {
	cloud := New()
	env.Defer(cloud.Close)
	env.Values[cloudKey{}] = cloud
	var names []string
	for name, value := range cloud.Environment() {
		env.Setenv(name, value)
		names = append(names, name)
	}
	env.Setenv("CALL_ENVIRONMENT", strings.Join(names, " "))
	env.Setenv("HOME", env.WorkDir)
	return cloud
}
