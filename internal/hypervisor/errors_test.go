package hypervisor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestErrorsAreSortedByNumberAndAdvise(t *testing.T) {
	classes := []error{ErrNoDomain, ErrBusy, ErrActive, ErrRestarted, ErrUnreachable, ErrDenied, ErrNoLibrary}
	const undefine = "undefine domain u1"
	for name, c := range map[string]struct {
		op           string
		code, domain int
		class        error
		advice       string
	}{
		"no domain":                          {undefine, 42, 10, ErrNoDomain, ""},
		"job lock timeout":                   {undefine, 68, 10, ErrBusy, "virsh domjobinfo"},
		"socket missing":                     {connecting, 38, 7, ErrUnreachable, "systemctl status"},
		"connection lost":                    {undefine, 38, 7, ErrUnreachable, "systemctl status"},
		"connection lost before":             {undefine, 1, 7, ErrUnreachable, "systemctl status"},
		"QEMU survives SIGKILL":              {"power off domain u1", 38, 0, nil, ""},
		"read-only":                          {undefine, 29, 20, ErrDenied, "become: true"},
		"polkit":                             {connecting, 45, 7, ErrDenied, "become: true"},
		"polkit without an agent":            {connecting, 94, 7, ErrDenied, "become: true"},
		"access control":                     {undefine, 88, 10, ErrDenied, "become: true"},
		"a URI that cannot be read":          {connecting, 1, 0, nil, ""},
		"an internal error is no missing so": {undefine, 1, 0, nil, ""},
		"no driver":                          {connecting, 5, 0, nil, "no driver"},
		"refused on account of NVRAM":        {undefine, 55, 10, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var err error = NewError(c.op, "qemu:///system", c.code, c.domain, "its words")
			got := slices.IndexFunc(classes, func(class error) bool { return errors.Is(err, class) })
			if want := slices.Index(classes, c.class); got != want {
				t.Errorf("got class %d, want %d (%v)", got, want, c.class)
			}
			if text := err.Error(); !strings.HasPrefix(text, c.op+": its words (libvirt error ") || !strings.Contains(text, c.advice) {
				t.Errorf("got %q", text)
			}
			if text := err.Error(); c.advice == "" && !strings.HasSuffix(text, ")") {
				t.Errorf("got %q, want no advice", text)
			}
		})
	}
}

func TestOnlyALibraryThatIsMissingIsToldHowToGetIt(t *testing.T) {
	for _, words := range []string{"libvirt.so.0: cannot open shared object file: No such file or directory", "Failed to open libvirt.so.0"} {
		err := NewError(connecting, "qemu:///system", 1, 0, words)
		if !errors.Is(err, ErrNoLibrary) || !strings.Contains(err.Error(), "package libvirt0") {
			t.Errorf("%s: got %v", words, err)
		}
	}
}

func TestACallThatHangsEndsWithItsContext(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	hang := func() (int, error) { <-release; return 1, nil }

	late, cancel := context.WithTimeout(t.Context(), 1)
	defer cancel()
	_, err := await(late, "read domain u1", hang)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "read domain u1: libvirt has not answered") {
		t.Errorf("got %v", err)
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = await(interrupted, "read domain u1", hang)
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "answered") {
		t.Errorf("got %v", err)
	}
	value, err := await(t.Context(), "", func() (int, error) { return 7, nil })
	if value != 7 || err != nil {
		t.Errorf("got %d, %v", value, err)
	}
}

func TestFlagsHaveTheNamesThatPeopleKnow(t *testing.T) {
	all := ManagedSave | SnapshotsMetadata | NVRAM | KeepNVRAM | CheckpointsMetadata | TPM | KeepTPM
	want := []string{"checkpoints_metadata", "keep_nvram", "keep_tpm", "managed_save", "nvram", "snapshots_metadata", "tpm"}
	if got := all.Names(); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if got := Flags(0).Names(); got == nil || len(got) != 0 {
		t.Errorf("got %v", got)
	}
	if got := Version(8_009_003).String(); got != "8.9.3" {
		t.Errorf("got %s", got)
	}
}

func TestStatesAreNamed(t *testing.T) {
	for state, want := range map[int]string{0: "nostate", 1: "running", 4: "shutdown", 5: "shutoff", 7: "pmsuspended", 8: "unknown",
		-1: "unknown"} {
		if got := stateName(state); got != want {
			t.Errorf("%d: got %s, want %s", state, got, want)
		}
	}
}
