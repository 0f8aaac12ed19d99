package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/hypervisor/hypervisortest"
	"nova-orphan/internal/orphan"
)

// guests have these uuids and names of their own, and disks in their folders.
func uuidOf(n int) string { return fmt.Sprintf("%08d-f6a4-8304-79aa-97f2502e193f", n) }

func guestOf(n int) hypervisortest.Guest {
	return hypervisortest.Guest{UUID: uuidOf(n), Name: fmt.Sprintf("instance-%08d", n), ProjectID: "p1",
		Disk: "/var/lib/nova/instances/" + uuidOf(n) + "/disk"}
}

func TestWhatIsRefusedOrCannotBeReadKeepsNoneOfTheOthers(t *testing.T) {
	for _, check := range []bool{true, false} {
		fake, dir := hypervisortest.NewFake(), t.TempDir()
		running, used, unreadable, foreign := guestOf(1), guestOf(2), guestOf(3), guestOf(5)
		running.Running, foreign.Foreign = true, true
		rescue := hypervisortest.Guest{UUID: otherUUID, Name: "rescue", Foreign: true, Disk: used.Disk}
		for _, guest := range []hypervisortest.Guest{running, used, unreadable, guestOf(4), foreign, rescue} {
			fake.Make(t, guest)
		}
		fake.Before = func(request, uuid string) error {
			if request == "read" && uuid == unreadable.UUID {
				return hypervisortest.Said(1, "internal error")
			}
			return nil
		}
		answer := answerOf(t, fake, map[string]any{"backup_dir": dir, "_ansible_check_mode": check,
			"uuid": []string{uuidOf(1), uuidOf(2), uuidOf(3), uuidOf(4), uuidOf(5), uuidOf(6), uuidOf(4)}})
		wantAnswer(t, answer, map[string]string{
			"failed": "true", "changed": "true", "msg": "4 of 6 domains failed: " + uuidOf(1) + ": undefine domain instance-00000001",
			"domains.#.uuid":    fmt.Sprintf(`["%s","%s","%s","%s","%s","%s"]`, uuidOf(1), uuidOf(2), uuidOf(3), uuidOf(4), uuidOf(5), uuidOf(6)),
			"domains.#.verdict": `["live","live","unknown","","foreign","absent"]`, "domains.#.failed": "[true,true,true,false,true,false]",
			"domains.#.changed": "[false,false,false,true,false,false]", "domains.1.users.0.name": "rescue", "domains.3.users": "[]",
			"domains.2.libvirt_code": "1", "domains.2.reasons": `["domain ` + uuidOf(3) + ` could not be read"]`,
			"diff.before.@keys": `["` + uuidOf(4) + `"]`,
		})
		writes := []string{"undefine"}
		if check {
			writes = nil
		}
		if entries, err := os.ReadDir(dir); err != nil || !slices.Equal(fake.Writes, writes) || len(entries) != len(writes) {
			t.Errorf("asked %v, wrote %v, %v", fake.Writes, entries, err)
		}
		for _, uuid := range []string{uuidOf(1), uuidOf(2), uuidOf(5)} {
			if _, err := fake.Domain(t.Context(), uuid); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestWhoUsesAFileIsLookedForOnceForEachAtMost(t *testing.T) {
	for title, c := range map[string]struct{ check, there bool }{
		"a check": {check: true, there: true}, "none is there": {}, "all of them removed": {there: true},
	} {
		t.Run(title, func(t *testing.T) {
			fake := hypervisortest.NewFake()
			var uuids []string
			for n := range 20 {
				if uuids = append(uuids, uuidOf(n)); c.there {
					fake.Make(t, guestOf(n))
				}
			}
			var mu sync.Mutex
			looks := map[string]int{}
			fake.Before = func(request, _ string) error {
				mu.Lock()
				defer mu.Unlock()
				looks[request]++
				return nil
			}
			answer := answerOf(t, fake, map[string]any{"backup_dir": t.TempDir(), "uuids": uuids, "_ansible_check_mode": c.check, "uuid": nil})
			// Those who ask at the same time share a look (package shared).
			if answer.Get("failed").Bool() || looks["list"] > len(uuids) || looks["processes"] != looks["list"] {
				t.Errorf("looked %v: %s", looks, answer.Get("msg"))
			}
		})
	}
}

func TestTheHostIsLookedAtTwiceForFiftyDomains(t *testing.T) {
	for title, check := range map[string]bool{"a check": true, "all of them removed": false} {
		t.Run(title, func(t *testing.T) {
			fake, call := hypervisortest.NewFake(), ansibletest.SilentCall(t, check)
			p := parameters{State: absent, BackupDir: t.TempDir()}
			for n := range 50 {
				p.UUIDs = append(p.UUIDs, uuidOf(n))
				fake.Make(t, guestOf(n))
			}
			synctest.Test(t, func(t *testing.T) {
				looks := 0
				fake.Before = func(request, _ string) error {
					if request == "list" {
						looks++
						synctest.Wait() // until nobody else is at work
					}
					return nil
				}
				reply, err := (&host{parameters: p, call: call, libvirt: fake}).all(t.Context())
				if err != nil || !reply.(*answer).Changed || looks > 2 {
					t.Errorf("looked %d times: %v", looks, err)
				}
			})
		})
	}
}

// late has somebody come once the host was looked at for the first time.
type late struct {
	*hypervisortest.Fake
	come func()
	once *sync.Once
}

func (l late) ProcessUses(ctx context.Context, matters func(string) bool) ([]hypervisor.ProcessUse, error) {
	defer l.once.Do(l.come)
	return l.Fake.ProcessUses(ctx, matters)
}

func TestOneThatComesAfterTheLookIsSeenBeforeItsFilesGo(t *testing.T) {
	fake := hypervisortest.NewFake()
	for n := range 2 {
		guest := guestOf(n)
		guest.Running = true
		fake.Make(t, guest)
	}
	libvirt := late{fake, func() {
		fake.Make(t, hypervisortest.Guest{UUID: otherUUID, Name: "rescue", Foreign: true, Disk: guestOf(1).Disk, Running: true})
	}, &sync.Once{}}
	answer := answerOf(t, libvirt, map[string]any{"backup_dir": t.TempDir(), "uuid": []string{uuidOf(0), uuidOf(1)}, "destroy": true})
	wantAnswer(t, answer, map[string]string{"failed": "true", "domains.#.verdict": `["","live"]`, "domains.#.failed": "[false,true]",
		"domains.1.users.0.name": "rescue", "domains.1.plan": "[]"})
	undefined := slices.DeleteFunc(slices.Clone(fake.Writes), func(write string) bool { return write != "undefine" })
	if _, err := fake.Domain(t.Context(), uuidOf(1)); err != nil || len(undefined) != 1 {
		t.Errorf("asked %v: %v", fake.Writes, err)
	}
}

func TestALibvirtThatHasNotAnsweredIsToldOfEachThoughTheTimeIsUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h := &host{parameters: parameters{UUIDs: []string{uuidOf(1), uuidOf(2)}, State: absent}, unreachable: hypervisortest.Lost()}
	reply, err := h.all(ctx)
	if !errors.Is(err, hypervisor.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	for i, domain := range reply.(*answer).Domains {
		if domain.UUID != uuidOf(i+1) || domain.Verdict != orphan.Unknown || domain.LibvirtCode != 38 || len(domain.Reasons) != 1 {
			t.Errorf("got %+v", domain)
		}
	}
}

func TestSeveralAreWrittenDownInOneCall(t *testing.T) {
	fake, foreign := hypervisortest.NewFake(), guestOf(2)
	foreign.Foreign = true
	fake.Make(t, guestOf(1))
	fake.Make(t, foreign)
	answer := answerOf(t, fake, map[string]any{"backup_dir": t.TempDir(), "state": "saved", "uuid": []string{uuidOf(1), uuidOf(2), uuidOf(3)}})
	wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "true", "domains.#.verdict": `["","foreign","absent"]`,
		"domains.#.changed": "[true,false,false]", "domains.#.found": "[true,true,false]", "domains.1.backup_file": ""})
}

func TestOfAListThatIsRestoredEachIsDoneForItself(t *testing.T) {
	fake, dir := hypervisortest.NewFake(), t.TempDir()
	contents := map[string]any{}
	list := []string{uuidOf(1), uuidOf(2), uuidOf(3)}
	for i, uuid := range list {
		guest := guestOf(i + 1)
		guest.Disk = ""
		fake.Make(t, guest)
		answerOf(t, fake, map[string]any{"uuid": uuid, "backup_dir": dir})
		content := ansibletest.Contents(t, dir, uuid)[0]
		if i == 2 {
			content = content[:len(content)/2]
		}
		contents[uuid] = base64.StdEncoding.EncodeToString(content)
	}
	taken := guestOf(4)
	taken.Name, taken.Disk = guestOf(2).Name, ""
	fake.Make(t, taken)
	answer := answerOf(t, fake, map[string]any{"uuid": list, "state": "present", "backup_dir": dir, "backup_content": contents})
	wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "true", "msg": "2 of 3 domains failed: " + uuidOf(2) + ": restore",
		"domains.#.changed": "[true,false,false]", "domains.#.failed": "[false,true,true]", "domains.2.verdict": "unknown"})
	for uuid, want := range map[string]string{uuidOf(1): "[purge restore]", uuidOf(2): "[purge]", uuidOf(3): "[purge]"} {
		if got := fmt.Sprint(ansibletest.Kinds(t, dir, uuid)); got != want {
			t.Errorf("the backups of %s are %s, want %s", uuid, got, want)
		}
	}
}
