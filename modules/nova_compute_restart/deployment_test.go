package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deployed is a host with these units and containers, each as NAME=STATE or ENGINE:NAME=STATE, and with this in the journal.
func deployed(journal string, units ...string) host {
	return host{poll: time.Millisecond, command: func(_ context.Context, argv ...string) (string, error) {
		switch argv[0] {
		case "journalctl":
			return journal, nil
		case "docker", "podman":
			err := fmt.Errorf("%s container: %w", argv[0], exec.ErrNotFound)
			for _, container := range units {
				if engine, known, is := strings.Cut(container, ":"); is && engine == argv[0] {
					err = fmt.Errorf("%s container: exit status 1: no such container %s", engine, argv[len(argv)-1])
					name, state, _ := strings.Cut(known, "=")
					state, second, _ := strings.Cut(state, "@")
					if name == argv[len(argv)-1] {
						return fmt.Sprintf(`{"Status": "%s", "StartedAt": "2026-11-28T06:00:%s.5+01:00"}`, state, cmp.Or(second, "00")), nil
					}
				}
			}
			return "", err
		}
		var shown []string
		for _, name := range argv[slices.Index(argv, "--")+1:] {
			load, state := "not-found", "inactive"
			for _, unit := range units {
				if known, is, _ := strings.Cut(unit, "="); known == name {
					load, state = "loaded", is
				}
			}
			shown = append(shown, fmt.Sprintf("Id=%s.service\nLoadState=%s\nActiveState=%s\n", name, load, state))
		}
		return strings.Join(shown, "\n"), nil
	}}
}

func TestWhichNovaComputeIsMeant(t *testing.T) {
	const kolla = "kolla-nova_compute-container"
	for _, test := range []struct {
		name    string
		p       parameters
		units   []string
		unit    string
		refused string
	}{
		{"that of packages", parameters{}, []string{"nova-compute=active"}, "nova-compute", ""},
		{"that of RDO", parameters{}, []string{"openstack-nova-compute=active"}, "openstack-nova-compute", ""},
		{"that of kolla", parameters{}, []string{kolla + "=active"}, kolla, ""},
		{"that of RHOSO", parameters{}, []string{"edpm_nova_compute=active"}, "edpm_nova_compute", ""},
		{"the container that took the place of the package's", parameters{}, []string{"nova-compute=inactive", kolla + "=active"}, kolla, ""},
		{"one that is just being started", parameters{}, []string{"nova-compute=activating"}, "nova-compute", ""},
		{
			"one that was stopped", parameters{},
			[]string{"nova-compute=inactive"}, "nova-compute", "the unit nova-compute is inactive, as where somebody has stopped it",
		},
		{"one that has failed", parameters{}, []string{"nova-compute=failed"}, "nova-compute", "is failed"},
		{"one that was stopped, and may be started", parameters{StartCompute: true}, []string{"nova-compute=inactive"}, "nova-compute", ""},
		{"none", parameters{}, []string{"libvirtd=active"}, "", "none of the units nova-compute, openstack-nova-compute, " + kolla},
		{
			"two that are on", parameters{},
			[]string{"nova-compute=active", kolla + "=active"}, "", "there are the unit nova-compute, the unit " + kolla + ": say which",
		},
		{"two that are off", parameters{StartCompute: true}, []string{"nova-compute=inactive", kolla + "=failed"}, "", "say which it is"},
		{"the one that is named", parameters{Service: "nova-2"}, []string{"nova-compute=active", "nova-2=active"}, "nova-2", ""},
		{
			"one that is named, and not there", parameters{Service: "nova-2"},
			[]string{"nova-compute=active"}, "", "systemd has loaded no unit nova-2 (service)",
		},
		{"the container that no unit starts", parameters{}, []string{"docker:nova_compute=running"}, "nova_compute", ""},
		{
			"the container, where the unit of the package is off", parameters{},
			[]string{"nova-compute=failed", "docker:nova_compute=running"}, "nova_compute", "",
		},
		{"the unit that starts the container", parameters{}, []string{kolla + "=active", "docker:nova_compute=running"}, kolla, ""},
		{"the container that is named", parameters{Service: "compute_2"}, []string{"podman:compute_2=running"}, "compute_2", ""},
		{
			"a container that was stopped", parameters{},
			[]string{"docker:nova_compute=exited"}, "nova_compute", "the container nova_compute of docker is exited, as where",
		},
		{
			"a container that was stopped, and may be started", parameters{StartCompute: true},
			[]string{"podman:nova_compute=exited"}, "nova_compute", "",
		},
		{
			"podman's container, which it also shows as docker", parameters{},
			[]string{"docker:nova_compute=running", "podman:nova_compute=running"}, "nova_compute", "",
		},
		{
			"two containers", parameters{}, []string{"docker:nova_compute=running", "podman:nova_compute=running@01"},
			"", "there are the container nova_compute of docker, the container nova_compute of podman: say which",
		},
		{
			"neither a unit nor a container", parameters{},
			[]string{"docker:nova_api=running"}, "", "docker container: exit status 1: no such container nova_compute: say which it is (service)",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.p.Log = "none"
			found, err := test.p.find(t.Context(), deployed("", test.units...))
			if err != nil || found.unit != test.unit || (len(found.refusals) > 0) != (test.refused != "") ||
				!strings.Contains(strings.Join(found.refusals, "; "), test.refused) {
				t.Errorf("got %q, refused %q, %v", found.unit, found.refusals, err)
			}
		})
	}
}

func TestWhereItsLogIs(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "nova-compute.log")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, usual, given, journal string
		want, refused               string
	}{
		{"the deployment's file", file, "", "said", file, ""},
		{"the journal, where there is no such file", folder + "/none", "", "said", "the journal of nova-compute", ""},
		{"the journal, where the deployment has no file", "", "", "said", "the journal of nova-compute", ""},
		{"the file that is named", folder + "/none", file, "", file, ""},
		{"the journal that is named", file, "journal", "said", "the journal of nova-compute", ""},
		{"none that is named", file, "none", "said", "none", ""},
		{
			"not known, where neither is there", folder + "/none", "", "\n",
			"", "there is no " + folder + "/none, and the journal has nothing of nova-compute: say where",
		},
		{"not known, where the journal has nothing", file, "journal", "", "", "the journal has nothing of nova-compute: say where"},
		{"not known, where the file that is named is not there", file, folder + "/none", "said", "", "there is no " + folder + "/none (log)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			found := compute{deployment: deployment{unit: "nova-compute", log: test.usual}}
			err := parameters{Log: test.given}.findLog(t.Context(), deployed(test.journal), &found)
			got := ""
			if found.log != nil {
				got = found.log.String()
			}
			if err != nil || got != test.want || (len(found.refusals) > 0) != (test.refused != "") ||
				!strings.Contains(strings.Join(found.refusals, "; "), test.refused) {
				t.Errorf("got %q, refused %q, %v", got, found.refusals, err)
			}
		})
	}
	// What the process that runs has not written to is another time's.
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &up); err != nil {
		t.Fatal(err)
	}
	now := strconv.FormatInt(up.Nano()/1000, 10)
	shown := func(state, since string) unit {
		return parseUnits("ActiveState=" + state + "\nInactiveExitTimestampMonotonic=" + since)[0]
	}
	lately := shown("active", now)
	for _, test := range []struct {
		name    string
		given   string
		state   unit
		journal string
		want    string
	}{
		{"one that is older than the process", "", lately, "said", "the journal of nova-compute"},
		{"one that is older, where the journal has nothing", "", lately, "", file},
		{"one that is older, and is named", file, lately, "said", file},
		{"one of a unit that is off", "", shown("inactive", now), "said", file},
		{"one of a systemd that does not tell", "", shown("active", ""), "said", file},
	} {
		found := compute{deployment: deployment{unit: "nova-compute", log: file}, state: test.state}
		err := parameters{Log: test.given}.findLog(t.Context(), deployed(test.journal), &found)
		if err != nil || found.log == nil || found.log.String() != test.want {
			t.Errorf("%s: got %v, %v", test.name, found.log, err)
		}
	}
	found := compute{}
	if err := (parameters{Log: file + "/log"}).findLog(t.Context(), deployed("said"), &found); err == nil || found.log != nil {
		t.Errorf("a log that cannot be looked for: got %v, %v", found.log, err)
	}
}

func TestWhereItsConfigurationIs(t *testing.T) {
	folder := t.TempDir()
	for _, test := range []struct{ usual, want []string }{
		{[]string{folder, folder + "/older"}, []string{folder}},
		{[]string{folder + "/newer", folder}, []string{folder}},
		// What is nowhere is told as unread.
		{[]string{folder + "/newer", folder + "/older"}, []string{folder + "/newer", folder + "/older"}},
	} {
		if got := there(test.usual); !slices.Equal(got, test.want) {
			t.Errorf("%q: got %q", test.usual, got)
		}
	}
}

func TestTheJournalIsReadOnByItsCursor(t *testing.T) {
	var asked [][]string
	says := []string{"one\ntwo\n" + cursorMark + "s=1;i=2\n", "", "three\n" + cursorMark + "s=1;i=3\n"}
	here := host{command: func(_ context.Context, argv ...string) (string, error) {
		if asked = append(asked, argv); len(asked) > len(says) {
			return "", errors.New("journalctl --quiet: no")
		}
		return says[len(asked)-1], nil
	}}
	journal, err := here.openLog("journal:edpm_nova_compute@1764281073.000123")
	if err != nil || journal.String() != "the journal of edpm_nova_compute" {
		t.Fatalf("got %v, %v", journal, err)
	}
	const matches = " _SYSTEMD_UNIT=edpm_nova_compute.service + CONTAINER_NAME=nova_compute"
	for i, want := range []struct{ text, since string }{
		{"one\ntwo\n", "--since=@1764281073.000123"}, {"", "--after-cursor=s=1;i=2"}, {"three\n", "--after-cursor=s=1;i=2"},
	} {
		got, err := journal.read(t.Context())
		argv := strings.Join(asked[i], " ")
		if got != want.text || err != nil || !strings.HasSuffix(argv, want.since+matches) {
			t.Errorf("got %q, %v from %q", got, err, argv)
		}
	}
	if _, err := journal.read(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "read nova-compute's log: journalctl") {
		t.Errorf("got %v", err)
	}
}

func TestAPlaceInALogLeadsBackToIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nova@compute.log")
	if err := os.WriteFile(file, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	here := host{}
	for _, of := range []log{noLog{}, &fileLog{path: file}, here.journal("nova-compute@1")} {
		place, err := of.place(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		again, err := here.openLog(place)
		if err != nil || again.String() != of.String() {
			t.Errorf("%q leads to %v, %v", place, again, err)
		}
	}
}
