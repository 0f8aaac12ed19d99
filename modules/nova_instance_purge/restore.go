package main

import (
	"context"
	"fmt"
	"slices"

	"nova-orphan/internal/nova"
	"nova-orphan/internal/orphan"
)

// readBackup reads what a purge saved.
func (t *task) readBackup() error {
	if err := t.Backup.Read(name, t.instance, &t.from); err != nil {
		return err
	}
	if t.from.State != stateAbsent {
		return fmt.Errorf("restore instance %s: %s is not of a run with state: absent; to undo a restore, run the module with "+
			"state: absent", t.instance, t.Backup)
	}
	return nil
}

// compare asks what is somebody else's by now, where anything is to be put back.
func (t *task) compare(ctx context.Context, f *found) {
	restoration := f.Restoration(t.from.Saved, nova.Elsewhere{})
	if len(restoration.Conflicts) > 0 || !restoration.Cell.Empty() {
		var elsewhere nova.Elsewhere
		elsewhere, f.unseen = t.reaps.Elsewhere(ctx, t.instance, t.from.Saved)
		restoration = f.Restoration(t.from.Saved, elsewhere)
	}
	f.changes, f.conflicts, f.notes = restoration.Changes, restoration.Conflicts, restoration.Notes
}

func (t *task) refuseRestore(f found, against *orphan.Refusal) {
	switch verdict := f.judgement.Verdict; {
	case verdict == orphan.Unknown:
		*against = append(*against, fmt.Sprintf("instance %s is %s", t.instance, verdict))
		*against = append(*against, f.judgement.Reasons...)
	case len(f.conflicts) > 0:
		*against = append(*against, fmt.Sprintf("instance %s is %s, and is not any more as the purge left it", t.instance, verdict))
		*against = append(*against, f.conflicts...)
	}
}

func (t *task) warnings(f found) []string {
	warnings := slices.Clone(f.notes)
	switch t.from.Verdict {
	case orphan.Stuck:
		warnings = append(warnings, "instance "+t.instance+" was stuck: one in the middle of a delete is deleted for good by nova-compute "+
			"when that starts the next time (_init_instance)")
	case orphan.Deleted:
		warnings = append(warnings, "the backup is of a run that found the instance deleted already, and puts back only "+
			"what that run changed: if an earlier run deleted it, restore what that one saved instead")
	}
	return warnings
}
