package step

import (
	"nova-orphan/internal/ansible"
	"nova-orphan/internal/orphan"
)

// Answer is what a module says of one element of its list. A module embeds it in its own
// entry, whose fields stand beside these.
type Answer struct {
	// Verdict and Reasons say what the evidence proves of an instance; the verdict is empty where it proves
	// nothing that settles or forbids the step.
	Verdict orphan.Verdict `json:"verdict"`
	Reasons []string       `json:"reasons"`
	// Plan is what is done, or would be in check mode, a step a line.
	Plan    []string `json:"plan"`
	Changed bool     `json:"changed"`
	Failed  bool     `json:"failed"`
	Msg     string   `json:"msg"`
	// BackupFile is this call's backup of how it was before the call's first change.
	BackupFile string `json:"backup_file"`

	// Warnings and Diff go into the call's answer, with those of the other elements.
	Warnings []string      `json:"-"`
	Diff     *ansible.Diff `json:"-"`
}

func (a *Answer) answer() *Answer { return a }

// Warn adds a warning, once.
func (a *Answer) Warn(text string) { a.Warnings = appendNew(a.Warnings, text) }

// complete is done when the element's work is over.
func (a *Answer) complete(err error) {
	if err != nil {
		a.Failed, a.Msg = true, err.Error()
	}
	// A play need not ask whether they are there.
	a.Reasons, a.Plan = append([]string{}, a.Reasons...), append([]string{}, a.Plan...)
}
