package main

import (
	"context"
	"fmt"
	"slices"

	"nova-orphan/internal/backup"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/orphan"
)

// workable says that the verdict allows a change.
func workable(judgement orphan.Judgement) bool {
	return !judgement.Refuses() && judgement.Verdict != orphan.Absent
}

// rowless says that no cell has a row of the instance.
func rowless(verdict orphan.Verdict) bool {
	return verdict == orphan.Archived || verdict == orphan.Lost
}

// foresee asks what the reap of the instance would do, and what the deletion then is. Without a row
// nova-compute reaps nothing (nova/compute/manager.py _running_deleted_instances).
func (t *task) foresee(ctx context.Context, f *found) {
	deletion := nova.Deletion{ShareMappings: t.RemoveShareMappings}
	now := f.Now
	if !rowless(f.judgement.Verdict) {
		now = f.Cell().Now
		if f.reap, f.unseen = t.reaps.Foresee(ctx, f.Finding, t.PreserveVolumes); f.unseen == nil {
			deletion.Disarm = f.reap.Disarm
		}
	}
	if t.at.IsZero() {
		if t.at = now; rowless(f.judgement.Verdict) {
			f.unseen = t.goOn()
		}
	}
	deletion.At = t.at
	f.changes = f.Deletion(deletion)
}

// goOn goes on with a purge of an instance without a row that came to no end. It has deleted rows already, so that the backup of
// this one must have them as they were before, and this one must delete at its time: a restore takes the newest backup alone.
func (t *task) goOn() error {
	var earlier record
	found, err := backup.Unrestored(t.BackupDir, t.instance, name, &earlier)
	if err != nil {
		return fmt.Errorf("whether an earlier run has deleted a part of it cannot be told: %w (move it away, then run it again)", err)
	}
	if found && earlier.Rows == nil && !earlier.At.IsZero() {
		t.earlier, t.at = &earlier.Saved, earlier.At
	}
	return nil
}

// refuseDeletion takes an instance for busy that somebody wrote since the caller judged it.
// One that is gone as it was to be, with nothing left to do, is no matter of that.
func (t *task) refuseDeletion(f *found, changes []nova.Change, against *orphan.Refusal) {
	verdict := f.judgement.Verdict
	gone := verdict == orphan.Archived || verdict == orphan.Deleted && f.unseen == nil && len(changes) == 0
	ours := len(t.done) > 0 || t.unknown != nil && verdict == orphan.Deleted && f.changes.Cell.Empty()
	var since []string
	if judged, given := t.JudgedAs[t.instance]; given && !gone && !ours {
		since = rewritten(judged, f.instance)
	}
	if len(since) > 0 {
		if !verdict.Refuses() {
			f.judgement.Verdict = orphan.Busy
		}
		f.judgement.Reasons = slices.Concat(f.judgement.Reasons, since)
	}
	if f.judgement.Refuses() {
		*against = append(*against, fmt.Sprintf("instance %s is %s", t.instance, f.judgement.Verdict))
		*against = append(*against, f.judgement.Reasons...)
	} else if t.unknown != nil && !workable(f.judgement) && !rowless(t.reply.Verdict) { // of which a commit may have left no trace
		against.Add("instance %s is %s by now: whether the commit that was not answered had happened cannot be told", t.instance, verdict)
	}
}

// sideEffects says what nova-compute then does by itself, since some of it cannot be undone.
func (t *task) sideEffects(f found) (steps []string) {
	if host := f.instance.Host; host != "" {
		steps = append(steps, "afterwards nova-compute on "+host+" removes the allocation and reaps the domain, "+
			"at its next start or in at most half an hour")
	}
	steps = append(steps, f.reap.SideEffects()...)
	if shares := len(f.instance.Shares); shares > 0 && !t.RemoveShareMappings {
		steps = append(steps, fmt.Sprintf("afterwards nova-compute unmounts %d shares and removes their rows of share_mapping, "+
			"which stay until then (it does so from 2025.1 on)", shares))
	}
	if secret := f.instance.VTPMSecret; secret != "" {
		steps = append(steps, "afterwards the secret "+secret+" of its vTPM stays in the key manager "+
			"(up to 2024.2 nova-compute deletes it with the domain): openstack secret delete it")
	}
	return steps
}
