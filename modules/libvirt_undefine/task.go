package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/instancefiles"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/shared"
	"nova-orphan/internal/step"
)

type answer struct {
	ansible.Result
	Domains []*outcome `json:"domains"`
}

// outcome is the answer for one domain.
type outcome struct {
	UUID string `json:"uuid"`
	step.Answer
	Found      bool               `json:"found"`
	Domain     *hypervisor.Domain `json:"domain,omitempty"`
	Flags      []string           `json:"flags,omitempty"`
	Removed    []string           `json:"removed,omitempty"`
	LeftBehind []string           `json:"left_behind,omitempty"`
	// RemovedFiles are the instance's folders that are gone, for good.
	RemovedFiles []instancefiles.Content `json:"removed_files,omitempty"`
	Restored     []string                `json:"restored,omitempty"`
	// Lost is what no restore brings back.
	Lost        []string `json:"lost,omitempty"`
	LibvirtCode int      `json:"libvirt_code,omitempty"`
	// Users, Files and Images are there, if empty, wherever it was looked for them.
	Users  []sharer `json:"users,omitzero"`
	Files  []disk   `json:"files,omitzero"`
	Images []image  `json:"images,omitzero"`
}

// Name implements step.Entry.
func (o *outcome) Name(uuid string) { o.UUID = uuid }

// host is where the call's domains are.
type host struct {
	parameters
	call    *ansible.Call
	libvirt hypervisor.Libvirt
	// unreachable is why nothing of it can be read, if so.
	unreachable error
	// instances are the folders of the host's instances, shared why other hosts may have them, too, and unseen why they cannot be looked at.
	instances *instancefiles.Host
	shared    string
	unseen    error
	now       func() time.Time // by this host's clock
	// usage is asked once for all whose domains are looked at at the same time.
	usage shared.Question[usage]
	ceph  ceph
}

// atOnce is how many domains are worked on at a time: so many share a look at who uses what.
const atOnce = 64

// all is the call: each domain for itself.
func (h *host) all(ctx context.Context) (ansible.Answer, error) {
	if h.unreachable != nil {
		ctx = context.WithoutCancel(ctx) // to be told of each, though the time may be up
	}
	reply := &answer{}
	h.ceph.call, h.ceph.command, h.ceph.patience = h.call, h.RBD, patience
	if h.unreachable == nil && h.State == absent {
		defer h.openInstances()()
		if h.unseen != nil && h.InstanceFiles == keep {
			reply.Warnings = []string{"whether folders of the instances stay is not known: " + h.unseen.Error()}
		}
	}
	var err error
	reply.Domains, err = step.Each(ctx, &reply.Result, "domains", h.UUIDs, atOnce, h.one)
	return reply, err
}

// task is what is done for one domain.
type task struct {
	*host
	*outcome
	// reading is what is being read, for the case that it cannot be.
	reading string
}

func (h *host) one(ctx context.Context, uuid string, o *outcome) error {
	t := &task{h, o, "domain " + uuid}
	err := h.unreachable
	switch {
	case err != nil:
		o.Verdict = orphan.Unknown
	case h.State == present:
		err = (&restoration{task: t}).run(ctx)
	case h.State == written:
		err = t.save(ctx)
	default:
		err = (&removal{task: t}).run(ctx)
	}
	if o.Verdict == orphan.Unknown {
		o.Reasons = []string{t.reading + " could not be read"}
	}
	var said *hypervisor.Error
	if errors.As(err, &said) {
		o.LibvirtCode = said.Code
	}
	return err
}

// refuse is the error of a step that is not done for these reasons; nil without any.
func (t *task) refuse(step string, reasons []string) error {
	if t.Reasons = reasons; len(reasons) == 0 {
		return nil
	}
	t.Plan = nil
	return fmt.Errorf("%s: %w", step, orphan.Refusal(reasons))
}

// done says that something was done, or would be in check mode.
func (t *task) done(past, infinitive string) string {
	if t.call.Check {
		return "would " + infinitive
	}
	return past
}

func (t *task) writeBackup(kind backup.Kind, data any) (err error) {
	path, err := ansible.OnHost(t.call, func() (string, error) {
		return backup.Write(t.BackupDir, backup.Backup{Kind: kind, Module: moduleName, UUID: t.UUID, Instance: t.UUID, Data: data})
	})
	if err != nil {
		return fmt.Errorf("%w: make room there or give another backup_dir", err)
	}
	t.BackupFile = path
	return nil
}

// attempts bounds how often something is asked for that another job's lock stood in the way of, for which libvirt
// itself waits 30 s (qemu_domainjob.c QEMU_JOB_WAIT_TIME), that another changed meanwhile, or whose answer was lost.
const attempts = 3

// noPause: libvirt has waited for a lock, and connecting waits for a daemon that restarts.
func noPause(ctx context.Context, _ uint) error { return ctx.Err() }
