package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/placement"
)

// undertaking is something that a restart of the host's nova-compute would harm.
type undertaking struct {
	// InstanceUUID is the consumer's where Nova knows no instance.
	InstanceUUID string `json:"instance_uuid"`
	What         string `json:"what"`
	// Since is when it was last written; empty if that is not known.
	Since string `json:"since"`
}

// judgedRow is an orphan's row as it was when it was judged; empty where it had none.
type judgedRow struct {
	UpdatedAt string `option:"updated_at"`
	VMState   string `option:"vm_state"`
	TaskState string `option:"task_state"`
	Host      string `option:"host"`
}

// judgedRows is the Check of orphans: of what nova_instance_purge answers about an
// instance it keeps what is compared.
func judgedRows(value any) (any, error) {
	rows := map[string]any{}
	for key, instance := range value.(map[string]any) {
		uuid, err := ansible.UUID(key)
		if err != nil {
			return nil, err
		}
		given, isDict := instance.(map[string]any)
		if !isDict && instance != nil {
			return nil, fmt.Errorf("takes a dictionary for %s, as nova_instance_purge answers instance", uuid)
		}
		row := map[string]any{}
		for _, column := range []string{"updated_at", "vm_state", "task_state", "host"} {
			text, isText := given[column].(string)
			if _, there := given[column]; len(given) > 0 && (!there || !isText && given[column] != nil) {
				return nil, fmt.Errorf("takes for %s the texts updated_at, vm_state, task_state and host, as nova_instance_purge answers instance: "+
					"%s is none", uuid, column)
			}
			row[column] = text
		}
		rows[uuid.(string)] = row
	}
	return rows, nil
}

// cells are the databases that this module needs, and allocations the Placement.
type (
	cells interface {
		Providers(ctx context.Context, host string) ([]string, error)
		Activity(ctx context.Context, host string, consumers []string) (nova.Activity, error)
	}
	allocations interface {
		Consumers(ctx context.Context, provider string) (map[string]placement.Resources, error)
	}
)

// surroundings are where it is read what is in progress.
type surroundings struct {
	cells       cells
	allocations allocations
	close       func() error
}

// lookAround tells what is in progress on the host.
func (t *task) lookAround(ctx context.Context, around *surroundings) error {
	found, err := around.see(ctx, t.seen.service.Host, t.Orphans)
	if err != nil {
		t.reply.Verdict = orphan.Unknown
		return fmt.Errorf("cannot tell what is in progress on %s: %w", t.host, err)
	}
	t.reply.InProgress = found.inProgress(t.Orphans)
	refused := t.refuseRestart(t.seen.service, t.reply.InProgress, found.unreadable(t.Orphans))
	t.reply.Restart = &refused
	return nil
}

// refusals are why nova-compute must not be restarted; empty where it may.
type refusals struct {
	Silent     string `json:"silent"`
	Busy       string `json:"busy"`
	Unreadable string `json:"unreadable"`
}

// refuseRestart does not take a service for stopped that is forced down: Nova then says down, whether it reports or not.
func (p parameters) refuseRestart(service compute.Service, busy []undertaking, unreadable []string) (why refusals) {
	if service.State != "up" && !service.ForcedDown && !p.StartCompute {
		why.Silent = fmt.Sprintf("nova-compute on %s does not report, and is to clean up there: if it was stopped on purpose, a start would "+
			"take the host back: start it yourself, or with start_compute: true", service.Host)
	}
	if len(busy) > 0 && !p.RestartWhileBusy {
		whose := make([]string, len(busy))
		for i, one := range busy {
			whose[i] = one.InstanceUUID + " " + one.What
		}
		why.Busy = fmt.Sprintf("nova-compute would have to be restarted on %s, and that would fail what is in progress there: %s: wait for it, "+
			"name what of it is an orphan, too, in the same call, or say restart_while_busy: true", service.Host, strings.Join(whose, "; "))
	}
	if len(unreadable) > 0 {
		why.Unreadable = fmt.Sprintf("nova-compute would not start again on %s, since it reads each of its instances then, and cannot: %s: put "+
			"these rows right first, or delete them, if they are orphans, with a call of their own", service.Host, strings.Join(unreadable, "; "))
	}
	return why
}

// sight is all from which it is decided.
type sight struct {
	host string
	// consumers hold something on the host's resource providers.
	consumers []string
	activity  nova.Activity
}

// see asks for the allocations before the databases: conductor has written the row of a
// build only when the scheduler has its allocation, and the build request stays until then.
func (a *surroundings) see(ctx context.Context, host string, orphans map[string]judgedRow) (sight, error) {
	s := sight{host: host}
	providers, err := a.cells.Providers(ctx, host)
	if err != nil {
		return s, err
	}
	for _, provider := range providers {
		held, failure := a.allocations.Consumers(ctx, provider)
		// nova-compute makes its provider when it first reports: before, nothing is scheduled there.
		if failure != nil && !errors.Is(failure, placement.ErrNoProvider) {
			return s, failure
		}
		s.consumers = slices.AppendSeq(s.consumers, maps.Keys(held))
	}
	slices.Sort(s.consumers)
	s.consumers = slices.Compact(s.consumers)
	s.activity, err = a.cells.Activity(ctx, host, slices.AppendSeq(slices.Clone(s.consumers), maps.Keys(orphans)))
	return s, err
}

// inProgress never is nil. An orphan is left out while it is as it was judged.
func (s sight) inProgress(orphans map[string]judgedRow) []undertaking {
	all := []undertaking{}
	add := func(uuid, what string, since time.Time) {
		if row, ok := orphans[uuid]; ok && s.unchanged(uuid, row) {
			return
		}
		one := undertaking{InstanceUUID: uuid, What: what}
		if !since.IsZero() {
			one.Since = since.Format(time.RFC3339)
		}
		all = append(all, one)
	}
	for _, instance := range s.activity.Instances {
		switch {
		case !atWork(instance):
		case s.isHere(instance.Host):
			add(instance.UUID, state(instance), instance.WrittenAt)
		case slices.Contains(s.consumers, instance.UUID):
			add(instance.UUID, state(instance)+": sent to "+s.host+", and not there yet", instance.WrittenAt)
		}
	}
	for _, move := range s.activity.Migrations {
		if !move.Over && (s.isHere(move.Source) || s.isHere(move.Dest)) {
			add(move.Instance, described(move), move.WrittenAt)
		}
	}
	// By the order of reading no build is without both, row and request: a consumer that has neither is
	// what an instance left, and nothing that a restart could harm.
	for _, consumer := range s.consumers {
		if !s.known(consumer) && slices.Contains(s.activity.BuildRequests, consumer) {
			add(consumer, "a build request, sent to "+s.host+" and in no cell yet", time.Time{})
		}
	}
	slices.SortStableFunc(all, func(a, b undertaking) int { return cmp.Compare(a.InstanceUUID, b.InstanceUUID) })
	return all
}

// unreadable leaves out the orphans that are deleted before a restart, and not those that it is to take up.
func (s sight) unreadable(orphans map[string]judgedRow) (whose []string) {
	for _, one := range s.activity.Unreadable {
		row, isOrphan := orphans[one.UUID]
		if !isOrphan || !s.unchanged(one.UUID, row) || row.TaskState == "deleting" || row.VMState == "deleted" {
			whose = append(whose, one.UUID+", of which "+one.What+" is gone or broken")
		}
	}
	return whose
}

// atWork says whether somebody works on the instance, as far as its row tells. While
// it is built it may have no task (nova/compute/manager.py _do_build_and_run_instance),
// and nova-compute's start gives it up all the same (_init_instance).
func atWork(instance nova.Worked) bool {
	return !instance.Deleted && (instance.TaskState != "" || instance.VMState == "building" || instance.VMState == "")
}

// isHere compares names as the columns' collation does.
func (s sight) isHere(host string) bool { return strings.EqualFold(host, s.host) }

// known says that a consumer is a migration, or an instance of which a cell has a row or had one.
func (s sight) known(consumer string) bool {
	return slices.ContainsFunc(s.activity.Instances, func(i nova.Worked) bool { return i.UUID == consumer }) ||
		slices.ContainsFunc(s.activity.Migrations, func(m nova.Move) bool { return m.UUID == consumer }) ||
		slices.Contains(s.activity.Archived, consumer)
}

// unchanged says whether an orphan's rows, one a cell at most, are those that were judged.
func (s sight) unchanged(uuid string, judged judgedRow) bool {
	rows := 0
	for _, instance := range s.activity.Instances {
		if instance.UUID != uuid {
			continue
		}
		rows++
		if judged != (judgedRow{instance.UpdatedAt, instance.VMState, instance.TaskState, instance.Host}) {
			return false
		}
	}
	if judged == (judgedRow{}) {
		return rows == 0 && !slices.Contains(s.activity.BuildRequests, uuid)
	}
	return rows > 0
}

func state(instance nova.Worked) string {
	return fmt.Sprintf("vm_state = %s, task_state = %s", cmp.Or(instance.VMState, "NULL"), cmp.Or(instance.TaskState, "NULL"))
}

func described(move nova.Move) string {
	age := "at no known time"
	if !move.WrittenAt.IsZero() {
		age = move.Age.Round(time.Second).String() + " ago"
	}
	return fmt.Sprintf("%s %s from %s to %s is %s, last written %s", cmp.Or(move.Type, "migration"), move.UUID,
		cmp.Or(move.Source, "no host"), cmp.Or(move.Dest, "no host yet"), cmp.Or(move.Status, "NULL"), age)
}
