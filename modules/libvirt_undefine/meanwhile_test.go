package main

import (
	"slices"
	"testing"

	"nova-orphan/internal/hypervisor/hypervisortest"
)

// Each row is something that others do, or libvirt says, while the module works.
func TestWhatHappensMeanwhileIsNoticed(t *testing.T) {
	once := func(request string, do func()) func(string, string) error {
		done := false
		return func(got, _ string) error {
			if got == request && !done {
				done = true
				do()
			}
			return nil
		}
	}
	fails := func(request string, times int, err error) func(string, string) error {
		return func(got, _ string) error {
			if got == request && times > 0 {
				times--
				return err
			}
			return nil
		}
	}
	busy := hypervisortest.Said(68, "cannot acquire state change lock")
	for title, c := range map[string]struct {
		guest   func(*hypervisortest.Guest)
		prepare func(*hypervisortest.Fake)
		writes  []string
		want    map[string]string
	}{
		"defined after it was looked for, before it was looked who uses its files": {
			prepare: func(f *hypervisortest.Fake) {
				f.Remove(uuid)
				f.Before = once("list", func() { f.Make(t, plain) })
			},
			writes: []string{"undefine"},
			want:   map[string]string{"failed": "false", "changed": "true", "found": "true", "verdict": ""},
		},
		"gone before undefine": {
			prepare: func(f *hypervisortest.Fake) { f.Before = once("undefine", func() { f.Remove(uuid) }) },
			writes:  []string{"undefine"},
			want:    map[string]string{"failed": "false", "changed": "false", "diff": "", "removed": "", "msg": "was gone before"},
		},
		"gone before destroy": {
			guest:   func(g *hypervisortest.Guest) { g.Running = true },
			prepare: func(f *hypervisortest.Fake) { f.Before = once("destroy", func() { f.Remove(uuid) }) },
			writes:  []string{"destroy"},
			want:    map[string]string{"failed": "false", "changed": "false"},
		},
		"started before undefine": {
			prepare: func(f *hypervisortest.Fake) { f.Before = once("undefine", func() { f.Start(uuid) }) },
			writes:  []string{"undefine"},
			want:    map[string]string{"failed": "true", "changed": "false", "msg": "it was started meanwhile, so it was left as it is"},
		},
		"started in the very instant: the definition is put back": {
			prepare: func(f *hypervisortest.Fake) { f.Between = f.Start },
			writes:  []string{"undefine", "define"},
			want:    map[string]string{"failed": "true", "changed": "true", "msg": "got its definition back", "removed": ""},
		},
		"started in the very instant, and the definition cannot be put back": {
			prepare: func(f *hypervisortest.Fake) {
				f.Between, f.Before = f.Start, fails("define", 1, hypervisortest.Said(38, "no space left"))
			},
			writes: []string{"undefine"},
			want:   map[string]string{"failed": "true", "changed": "true", "msg": "now runs without a definition", "libvirt_code": "38"},
		},
		"defined again at once": {
			prepare: func(f *hypervisortest.Fake) {
				f.Before = func(request, _ string) error {
					if request == "read" && slices.Contains(f.Writes, "undefine") {
						f.Make(t, plain)
					}
					return nil
				}
			},
			writes: []string{"undefine"},
			want:   map[string]string{"failed": "true", "changed": "true", "msg": "it was defined again meanwhile"},
		},
		"restarted before destroy": {
			guest:   func(g *hypervisortest.Guest) { g.Running = true },
			prepare: func(f *hypervisortest.Fake) { f.Before = once("destroy", func() { f.Start(uuid) }) },
			writes:  []string{"destroy"},
			want:    map[string]string{"failed": "true", "changed": "false", "msg": "started anew since it was looked at"},
		},
		"started again after destroy": {
			guest: func(g *hypervisortest.Guest) { g.Running = true },
			prepare: func(f *hypervisortest.Fake) {
				started := false
				f.Before = func(request, _ string) error {
					if request == "read" && slices.Contains(f.Writes, "destroy") && !started {
						started = true
						f.Start(uuid)
					}
					return nil
				}
			},
			writes: []string{"destroy"},
			want:   map[string]string{"failed": "true", "changed": "true", "msg": "started again after it had been powered off"},
		},
		"destroy fails on a process that does not die": {
			guest: func(g *hypervisortest.Guest) { g.Running = true },
			prepare: func(f *hypervisortest.Fake) {
				f.Before = fails("destroy", 9, hypervisortest.Said(38, "Failed to terminate process 7 with SIGKILL: Device or resource busy"))
			},
			want: map[string]string{"failed": "true", "changed": "false", "msg": "with SIGKILL", "libvirt_code": "38"},
		},
		"another job holds it for a while": {
			prepare: func(f *hypervisortest.Fake) { f.Before = fails("undefine", 2, busy) },
			writes:  []string{"undefine"},
			want:    map[string]string{"failed": "false", "changed": "true"},
		},
		"another job holds it for good": {
			prepare: func(f *hypervisortest.Fake) { f.Before = fails("undefine", 9, busy) },
			want:    map[string]string{"failed": "true", "changed": "false", "libvirt_code": "68", "msg": "virsh domjobinfo"},
		},
		"started while another job held it": {
			prepare: func(f *hypervisortest.Fake) {
				f.Before = func(request, _ string) error {
					if request == "undefine" {
						f.Start(uuid)
						return busy
					}
					return nil
				}
			},
			// Judged anew it is powered off, as destroy: true allows.
			writes: []string{"destroy"},
			want:   map[string]string{"failed": "true", "changed": "true", "libvirt_code": "68"},
		},
		"another job holds it, and then it cannot be read": {
			prepare: func(f *hypervisortest.Fake) {
				held := false
				f.Before = func(request, _ string) error {
					switch {
					case request == "undefine":
						held = true
						return busy
					case request == "read" && held:
						return hypervisortest.Said(1, "no such thing")
					}
					return nil
				}
			},
			want: map[string]string{"failed": "true", "changed": "false", "libvirt_code": "1", "msg": "cannot acquire state change lock"},
		},
		"powered off, and then it cannot be read": {
			guest: func(g *hypervisortest.Guest) { g.Running = true },
			prepare: func(f *hypervisortest.Fake) {
				f.Before = func(request, _ string) error {
					if request == "read" && slices.Contains(f.Writes, "destroy") {
						return hypervisortest.Said(1, "no such thing")
					}
					return nil
				}
			},
			writes: []string{"destroy"},
			want:   map[string]string{"failed": "true", "changed": "true", "msg": "was powered off, but"},
		},
		"a managed save that libvirtd does not know of": {
			prepare: func(f *hypervisortest.Fake) {
				f.Before = fails("undefine", 1, hypervisortest.Said(55, "Refusing to undefine while domain managed save image exists"))
			},
			want: map[string]string{"failed": "true", "libvirt_code": "55", "msg": "managed save image exists"},
		},
		"defined otherwise after it was judged": {
			prepare: func(f *hypervisortest.Fake) {
				f.Before = once("undefine", func() {
					other := plain
					other.Snapshot = "late"
					f.Make(t, other)
				})
			},
			writes: []string{"undefine", "undefine"},
			want: map[string]string{
				"failed": "false", "changed": "true", "flags": `["snapshots_metadata"]`,
				"domain.snapshots.0.name": "late", "warnings.0": "it was changed by another meanwhile, and judged anew",
			},
		},
		"another's after it was judged": {
			prepare: func(f *hypervisortest.Fake) {
				f.Before = once("undefine", func() {
					other := plain
					other.Foreign = true
					f.Make(t, other)
				})
			},
			writes: []string{"undefine"},
			want: map[string]string{"failed": "true", "changed": "false", "verdict": "foreign", "reasons.#": "1", "plan": "[]",
				"msg": "no Nova metadata"},
		},
		"libvirt restarts before it undefines": {
			prepare: func(f *hypervisortest.Fake) { f.Before = fails("undefine", 1, hypervisortest.Lost()) },
			writes:  []string{"undefine"},
			want:    map[string]string{"failed": "false", "changed": "true"},
		},
		"libvirt restarts after it undefined": {
			prepare: func(f *hypervisortest.Fake) {
				f.Before = func(request, _ string) error {
					if request == "undefine" {
						f.Remove(uuid)
						return hypervisortest.Lost()
					}
					return nil
				}
			},
			want: map[string]string{"failed": "false", "changed": "true", "removed": `["domain"]`},
		},
		"libvirt restarts before it undefines, and does so all the same before it is asked again": {
			prepare: func(f *hypervisortest.Fake) {
				asked := 0
				f.Before = func(request, _ string) error {
					if request != "undefine" {
						return nil
					}
					if asked++; asked == 1 {
						return hypervisortest.Lost()
					}
					f.Remove(uuid)
					return nil
				}
			},
			writes: []string{"undefine"},
			want:   map[string]string{"failed": "false", "changed": "true", "removed": `["domain"]`, "warnings.#": "1"},
		},
		"libvirt restarts after it powered off": {
			guest: func(g *hypervisortest.Guest) { g.Running, g.Transient = true, true },
			prepare: func(f *hypervisortest.Fake) {
				f.Before = func(request, _ string) error {
					if request == "destroy" {
						f.Remove(uuid)
						return hypervisortest.Lost()
					}
					return nil
				}
			},
			want: map[string]string{"failed": "false", "changed": "true"},
		},
		"libvirt goes away while it undefines": {
			prepare: func(f *hypervisortest.Fake) {
				gone := false
				f.Before = func(request, _ string) error {
					if gone = gone || request == "undefine"; gone {
						return hypervisortest.Lost()
					}
					return nil
				}
			},
			want: map[string]string{"failed": "true", "changed": "false", "libvirt_code": "38",
				"msg": "run the module again to see what came of it"},
		},
		"libvirt goes away": {
			prepare: func(f *hypervisortest.Fake) {
				f.Before = fails("read", 1, hypervisortest.Said(38, "client socket is closed"))
			},
			want: map[string]string{"failed": "true", "verdict": "unknown", "found": "false", "libvirt_code": "38"},
		},
		"libvirt goes away after undefine": {
			prepare: func(f *hypervisortest.Fake) {
				f.Before = func(request, _ string) error {
					if request == "read" && slices.Contains(f.Writes, "undefine") {
						return hypervisortest.Said(38, "client socket is closed")
					}
					return nil
				}
			},
			writes: []string{"undefine"},
			want:   map[string]string{"failed": "true", "changed": "true", "msg": "looking for it afterwards failed"},
		},
	} {
		t.Run(title, func(t *testing.T) {
			fake, guest := hypervisortest.NewFake(), plain
			if c.guest != nil {
				c.guest(&guest)
			}
			fake.Make(t, guest)
			c.prepare(fake)
			answer := answerOf(t, fake, map[string]any{"backup_dir": t.TempDir(), "destroy": true})
			wantAnswer(t, answer, c.want)
			if !slices.Equal(fake.Writes, c.writes) {
				t.Errorf("asked %v, want %v", fake.Writes, c.writes)
			}
		})
	}
}
