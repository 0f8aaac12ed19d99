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

func TestAKilledRunIsFinishedByTheNextOnTheRealServices(t *testing.T) { testCrashes(t, realStages(t)) }

func TestWhatOthersDoMeanwhileOnTheRealServices(t *testing.T) { testRaces(t, realStages(t)) }

// realStages are in the Cinder of the lab, one after the other with the same volumes:
// to make one takes longer than all else.
func realStages(t *testing.T) func(*testing.T) *stage {
	t.Helper()
	if os.Getenv("OS_AUTH_URL") == "" {
		t.Fatal("OS_AUTH_URL is not set: source an openrc file")
	}
	pool := &pool{Lab: cinderlab.New(t), made: map[bool][]string{}}
	return func(t *testing.T) *stage {
		t.Helper()
		pool.used = map[bool]int{}
		t.Cleanup(func() {
			for _, volumes := range pool.made {
				for _, volume := range volumes {
					pool.Clear(volume)
				}
			}
		})
		return newStage(t, pool)
	}
}

// pool hands out volumes that are there already.
type pool struct {
	*cinderlab.Lab
	// made are the volumes, by whether they take several attachments, of which so many
	// are used by the stage of now.
	made map[bool][]string
	used map[bool]int
}

func (p *pool) Volume(multiattach bool) string {
	if p.used[multiattach] == len(p.made[multiattach]) {
		p.made[multiattach] = append(p.made[multiattach], p.Lab.Volume(multiattach))
	}
	p.used[multiattach]++
	return p.made[multiattach][p.used[multiattach]-1]
}

func TestSyslogHasWhatWasDoneAndNoSecret(t *testing.T) {
	s := realStages(t)(t)
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
