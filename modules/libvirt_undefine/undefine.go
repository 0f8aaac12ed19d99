package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/hypervisor"
)

// What the evidence proves of a domain.
const (
	absent    = "absent"
	removable = "removable"
	refused   = "refused"
	unknown   = "unknown"
	// Of a domain to write down:
	savable = "savable"
	written = "saved" // the last backup says the same already
	// Of a domain to restore:
	restorable = "restorable"
	present    = "present" // it is there already, as in the backup
)

type answer struct {
	ansible.Result
	Found      bool               `json:"found"`
	Domain     *hypervisor.Domain `json:"domain,omitempty"`
	Flags      []string           `json:"flags,omitempty"`
	Removed    []string           `json:"removed,omitempty"`
	LeftBehind []string           `json:"left_behind,omitempty"`
	Restored   []string           `json:"restored,omitempty"`
	// Lost is what no restore brings back.
	Lost        []string `json:"lost,omitempty"`
	LibvirtCode int      `json:"libvirt_code,omitempty"`
	// Users and Images are there, if empty, wherever it was looked for them.
	Users  []sharer           `json:"users,omitzero"`
	Images []hypervisor.Image `json:"images,omitzero"`
}

// undefine reads, judges and, but in check mode, applies.
func undefine(ctx context.Context, call *ansible.Call, libvirt domains, p parameters) (ansible.Answer, error) {
	found, err := readEvidence(ctx, libvirt, p)
	switch {
	case errors.Is(err, hypervisor.ErrNoDomain):
		return withoutDomain(ctx, libvirt, p)
	case err != nil && found.Domain.UUID != "":
		result, failed := failure("who uses the files of instance "+p.UUID+" could not be read", err)
		result.Found, result.Domain = true, &found.Domain
		return result, failed
	case err != nil:
		return failure("domain "+p.UUID+" could not be read", err)
	}
	result := &answer{Found: true, Domain: &found.Domain}
	result.fillUsage(found.Usage, p)
	planned, reasons := judge(found, p)
	if len(reasons) > 0 {
		result.Verdict, result.Reasons = refused, reasons
		return result, &refusal{found.Domain, reasons}
	}
	result.describe(planned, found.Domain, p)
	if call.Check {
		result.Msg = strings.Replace(result.Msg, "removed", "would remove", 1)
		return result, nil
	}
	writes, cancel := call.WithoutInterrupt(ctx)
	defer cancel()
	s := step{libvirt: libvirt, p: p, audit: call.Audit, usage: found.Usage}
	err = s.apply(writes, found, planned)
	result.fillUsage(s.usage, p)
	if s.anew != nil {
		result.Domain = s.anew
		result.describe(s.anewPlan, *s.anew, p)
		result.Warnings = append(result.Warnings, "it was changed by another meanwhile, and judged anew")
	}
	result.Changed, result.BackupFile = s.changed, s.backupFile
	if err != nil {
		var refusal *refusal
		if errors.As(err, &refusal) {
			result.Verdict, result.Reasons, result.Domain, result.Plan = refused, refusal.reasons, &refusal.domain, nil
		}
		result.Diff, result.Removed, result.LeftBehind, result.Lost = nil, nil, nil, nil
		result.LibvirtCode = libvirtCode(err)
		return result, err
	}
	if !s.changed {
		result.Msg = fmt.Sprintf("domain %s (%s) was gone before it could be undefined", found.Domain.Name, p.UUID)
		result.Diff, result.Removed, result.LeftBehind, result.Lost = nil, nil, nil, nil
	}
	return result, nil
}

// withoutDomain is success only where nobody uses what the instance may have left:
// nova-compute removes its folder even so.
func withoutDomain(ctx context.Context, libvirt domains, p parameters) (ansible.Answer, error) {
	found, err := readUsage(ctx, libvirt, p)
	if err != nil {
		return failure("who uses the files of instance "+p.UUID+" could not be read", err)
	}
	result := &answer{Result: ansible.Result{Verdict: absent, Msg: fmt.Sprintf("no domain %s at %s", p.UUID, p.URI)}}
	result.fillUsage(found, p)
	if result.Reasons = objections(result.Users); len(result.Reasons) > 0 {
		reasons := strings.Join(result.Reasons, "; ")
		return result, fmt.Errorf("there is no domain %s at %s, but its files are in use: %s", p.UUID, p.URI, reasons)
	}
	return result, nil
}

func (a *answer) fillUsage(found usage, p parameters) {
	a.Users, a.Images = found.users(p), found.images(p.UUID)
}

// describe fills in what a real run and --check both say.
func (a *answer) describe(planned plan, domain hypervisor.Domain, p parameters) {
	a.Changed, a.Verdict, a.Warnings = true, removable, planned.Warnings
	a.Plan = planned.steps(domain, p.BackupDir)
	a.Flags, a.Removed, a.LeftBehind, a.Lost = planned.Flags.Names(), planned.Removed, planned.LeftBehind, planned.Lost
	a.Msg = fmt.Sprintf("domain %s (%s): removed %s", domain.Name, domain.UUID, strings.Join(planned.Removed, ", "))
	a.Diff = &ansible.Diff{
		BeforeHeader: "domain " + domain.UUID, AfterHeader: "domain " + domain.UUID,
		Before: map[string]any{"domain": domain}, After: map[string]any{},
	}
}

// refusal is the error of a judgement, the first or one while others change the domain.
type refusal struct {
	domain  hypervisor.Domain
	reasons []string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("refused to undefine domain %s (%s): %s", r.domain.Name, r.domain.UUID, strings.Join(r.reasons, "; "))
}

// failure is the answer where nothing could be judged.
func failure(reason string, err error) (*answer, error) {
	return &answer{
		Result:      ansible.Result{Verdict: unknown, Reasons: []string{reason}},
		LibvirtCode: libvirtCode(err),
	}, err
}

func libvirtCode(err error) int {
	var said *hypervisor.Error
	if errors.As(err, &said) {
		return said.Code
	}
	return 0
}
