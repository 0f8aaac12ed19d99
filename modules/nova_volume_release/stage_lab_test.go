//go:build lab

package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"nova-orphan/internal/cinder/cinderlab"
)

func TestAKilledRunIsFinishedByTheNextOnTheRealServices(t *testing.T) { testCrashes(t, newRealStage) }

func TestWhatOthersDoMeanwhileOnTheRealServices(t *testing.T) { testRaces(t, newRealStage) }

// newRealStage is in the Cinder of the lab.
func newRealStage(t *testing.T) *stage {
	t.Helper()
	if os.Getenv("OS_AUTH_URL") == "" {
		t.Fatal("OS_AUTH_URL is not set: source an openrc file")
	}
	return newStage(t, cinderlab.New(t))
}

func TestSyslogHasWhatWasDoneAndNoSecret(t *testing.T) {
	s := newRealStage(t)
	s.start(arguments{}).Done(true)
	log := ""
	for end := time.Now().Add(20 * time.Second); strings.Count(log, s.instance) < 2 && time.Now().Before(end); {
		output, err := exec.Command("journalctl", "--quiet", "--output=cat", "--identifier=ansible-"+name).Output()
		if err != nil {
			t.Fatal(err)
		}
		log = string(output)
	}
	for _, volume := range []string{s.root, s.data} {
		if !strings.Contains(log, "instance "+s.instance+": detach volume "+volume) {
			t.Errorf("syslog does not say that %s was detached: %s", volume, log)
		}
	}
	if secret := os.Getenv("OS_PASSWORD"); secret == "" || strings.Contains(log, secret) {
		t.Error("syslog has the password")
	}
}
