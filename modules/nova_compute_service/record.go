package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
)

// record is what the backup holds.
type record struct {
	Service   compute.Service `json:"service"`
	Before    setting         `json:"before"`
	ChangedTo setting         `json:"changed_to"`
	// At is just before the write.
	At time.Time `json:"at,omitzero"`
	// Left is the service as the run read it back after its write; nil if it did not get so far.
	Left *compute.Service `json:"left,omitempty"`
	// LeftAt is just before it read that.
	LeftAt time.Time `json:"left_at,omitzero"`

	// Of a backup that is read: path and instance are where it is, age how long ago it was written or left.
	path, instance string
	age            time.Duration
}

// setting is what can be changed of a service.
type setting struct {
	ForcedDown     bool   `json:"forced_down"`
	Status         string `json:"status"`
	DisabledReason string `json:"disabled_reason"` // empty: none
}

func settingOf(s compute.Service) setting {
	now := setting{ForcedDown: s.ForcedDown, Status: s.Status}
	if s.DisabledReason != nil {
		now.DisabledReason = *s.DisabledReason
	}
	return now
}

// schedule is the part of a setting that is for the scheduler.
func (s setting) schedule() string {
	if s.DisabledReason == "" {
		return s.Status
	}
	return fmt.Sprintf("%s (%s)", s.Status, s.DisabledReason)
}

// byItself says that nova-compute has set its schedule by its own judgement of libvirt
// (nova/virt/libvirt/driver.py _set_host_enabled, DISABLE_PREFIX).
func (s setting) byItself() bool { return strings.HasPrefix(s.DisabledReason, "AUTO: ") }

// restored puts back the flag that a run changed. It stays if there is an objection to
// that, which is told then.
func restored(service compute.Service, from record, objection string) (after bool, told string, err error) {
	if why := from.scheduled(service); why != "" {
		return service.ForcedDown, "", orphan.Refusal{why}
	}
	if from.Before.ForcedDown == from.ChangedTo.ForcedDown || service.ForcedDown == from.Before.ForcedDown {
		return service.ForcedDown, "", nil
	}
	if objection != "" {
		return service.ForcedDown, objection, nil
	}
	return from.Before.ForcedDown, "", nil
}

// scheduled says what this module does not put back: the status that a run of an earlier version has set.
func (r record) scheduled(now compute.Service) string {
	if was := r.Before.schedule(); was != r.ChangedTo.schedule() && was != settingOf(now).schedule() {
		return fmt.Sprintf("the run of this backup set the status of nova-compute on %s from %s to %s: set it as it is to be, "+
			"and then the flag, with openstack compute service set", now.Host, was, r.ChangedTo.schedule())
	}
	return ""
}

const (
	// longAgo is when a service that a killed run left forced down may have become a fenced one:
	// who fences what is down already writes nothing, so that no column tells.
	longAgo = 10 * time.Minute
	// atLeast is how long a host is left to a run that has it count as down.
	atLeast = 2 * time.Minute
	// inFlight is how long the write may take of a run that was killed before it read it back.
	inFlight = time.Minute
)

// objection says why it cannot be told that the flag is the run's own, and what to do; it is
// empty if nobody else can have set it. The flag was another before the first of all runs
// whose flag it is, since a run that finds it set writes no record.
//
// A nova-compute that runs writes the service every report_interval, forced down or not
// (nova/servicegroup/drivers/db.py _report_state). Only that it reports now explains
// why the service was written since; and a host that reports is none that was fenced.
func (r record) objection(now compute.Service, history []record, reports bool) string {
	why := ""
	switch {
	case slices.ContainsFunc(history, r.overSince):
		why = "it was put back since, and then set again"
	case r.age > longAgo:
		why = fmt.Sprintf("that run is %s ago, and who has fenced the host since wrote nothing", r.age.Round(time.Second))
	case (r.Left == nil || r.Left.UpdatedAt == nil) && !reports && !r.wrote(now):
		why = "that run did not come to write down how it left the service"
	case settingOf(now).schedule() != r.left().schedule() && !settingOf(now).byItself():
		why = fmt.Sprintf("somebody has set the service to %s since", settingOf(now).schedule())
	case reports || r.wrote(now):
		return ""
	default:
		why = "the service was written after that run left it, and nova-compute, which does so while it runs, does not report"
	}
	state, verb := "forced down", "up"
	if !now.ForcedDown {
		state, verb = "not forced down", "down"
	}
	return fmt.Sprintf("nova-compute on %s is %s, and stays so: whether by the run of this backup cannot be told, since %s; "+
		"if nobody else wants it so: openstack compute service set --%s %s %s", now.Host, state, why, verb, now.Host, now.Binary)
}

// left is the setting as the run left it, as far as it came to know.
func (r record) left() setting {
	if r.Left == nil {
		return r.ChangedTo
	}
	return settingOf(*r.Left)
}

// since is when the run's write was done, for certain.
func (r record) since() time.Time {
	if r.Left == nil {
		return r.At.Add(inFlight)
	}
	return r.LeftAt
}

// overSince says that a run has seen the flag as it was before r, after r set it.
func (r record) overSince(other record) bool {
	return other.Left != nil && other.Service.ID == r.Service.ID && other.Left.ForcedDown == r.Before.ForcedDown &&
		other.LeftAt.After(r.since())
}

// wrote says that the service was written last by the run. Where that run was killed
// before it knew, its write came within a moment of its backup.
func (r record) wrote(now compute.Service) bool {
	switch {
	case now.UpdatedAt == nil:
		return false
	case r.Left != nil:
		return r.Left.UpdatedAt != nil && *now.UpdatedAt == *r.Left.UpdatedAt && now.ForcedDown == r.Left.ForcedDown
	}
	at, err := time.Parse("2006-01-02T15:04:05", *now.UpdatedAt) // and with any fraction of a second
	return err == nil && at.Sub(r.At).Abs() <= inFlight
}

// leftovers are the records whose flag a service may still have, the instance's own first, then
// the latest. Beside an instance's own they are those of which it is not long ago.
func leftovers(history []record, instance string) (found []record) {
	for _, r := range history {
		forced := !r.Before.ForcedDown && r.ChangedTo.ForcedDown && !slices.ContainsFunc(history, r.overSince)
		if forced && (instance == "" || r.instance == instance || r.age <= longAgo) {
			found = append(found, r)
		}
	}
	others := func(r record) int {
		if r.instance == instance {
			return 0
		}
		return 1
	}
	slices.SortFunc(found, func(a, b record) int { return cmp.Or(others(a)-others(b), b.since().Compare(a.since())) })
	return found
}

// ledger is what this module has written down in backup_dir, on behalf of whichever instance.
type ledger struct {
	parameters
	nova services
	// backup is the file to put back; empty: none.
	backup string
	now    func() time.Time
	warn   func(string)
}

// own is the folder of the instance on whose behalf the module is called, or of that of the backup.
func (l ledger) own() string {
	if l.InstanceUUID != "" || l.backup == "" {
		return l.InstanceUUID
	}
	folder, _ := backup.Source{File: l.backup}.UUID() // a file that has none is not read
	return folder
}

// given reads the backup to put back, which must be one of this very service.
func (l ledger) given(service compute.Service) (from record, err error) {
	if l.InstanceUUID == "" {
		if _, err = (backup.Source{File: l.backup}).UUID(); err != nil {
			return from, err
		}
	}
	if from, err = l.read(l.backup, l.own()); err == nil && from.Service.ID != service.ID {
		err = fmt.Errorf("read the backup: %s is that of the service %s on %s (%s), not of %s on %s (%s)",
			l.backup, from.Service.Binary, from.Service.Host, from.Service.ID, service.Binary, service.Host, service.ID)
	}
	return from, err
}

func (l ledger) read(file, folder string) (r record, err error) {
	err = backup.Read(file, name, folder, &r)
	r.path, r.instance, r.age = file, folder, l.now().Sub(cmp.Or(r.LeftAt, r.At))
	return r, err
}

// records are all. What is no backup for others, as a copy that somebody keeps there, is
// told, and stops nobody.
func (l ledger) records() (all []record, err error) {
	folders, err := os.ReadDir(l.BackupDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for earlier runs: %w", err)
	}
	own := l.own()
	for _, folder := range folders {
		if _, err := ansible.UUID(folder.Name()); err != nil {
			continue
		}
		records, err := l.recordsOf(folder.Name())
		switch {
		case err == nil:
			all = append(all, records...)
		case folder.Name() == own:
			return nil, err
		default:
			l.warn("what a run for another instance has forced down cannot be told: " + err.Error())
		}
	}
	return all, nil
}

func (l ledger) recordsOf(folder string) (all []record, err error) {
	files, err := backup.Earlier(l.BackupDir, folder, name)
	for _, file := range files {
		var r record
		if r, err = l.read(file, folder); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, err
}

// leftover is a service that an earlier run has forced down and not put back.
type leftover struct {
	Host       string `json:"host"`
	BackupFile string `json:"backup_file"`
	// InstanceUUID is on whose behalf; empty: it was said of none.
	InstanceUUID string `json:"instance_uuid"`
	// AsLeft says that backup_file puts it back; if not, Msg says why.
	AsLeft  bool            `json:"as_left"`
	Msg     string          `json:"msg"`
	Service compute.Service `json:"service"`
}

// left tells what earlier runs have left forced down, by host; of each service for itself, since each may be looked at for a while.
func (l ledger) left(ctx context.Context) (*[]leftover, error) {
	history, err := l.records()
	if err != nil {
		return nil, err
	}
	records := leftovers(history, l.InstanceUUID)
	var services []string
	var outcomes []<-chan ansible.Outcome[*leftover]
	for _, r := range records {
		if slices.Contains(services, r.Service.ID) {
			continue
		}
		services = append(services, r.Service.ID)
		own := slices.DeleteFunc(slices.Clone(records), func(other record) bool { return other.Service.ID != r.Service.ID })
		outcomes = append(outcomes, ansible.Go(func() (*leftover, error) { return l.leftOf(ctx, own) }))
	}
	left := []leftover{}
	for _, outcome := range outcomes {
		one := <-outcome
		if err = cmp.Or(err, one.Err); one.Value != nil {
			left = append(left, *one.Value)
		}
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(left, func(a, b leftover) int { return strings.Compare(a.Host, b.Host) })
	return &left, nil
}

// runsOwn are the hosts whose flag is certainly a run's own, with the backups that put it back.
func runsOwn(left []leftover) (hosts []string, backups map[string]string) {
	backups = map[string]string{}
	for _, one := range left {
		if one.AsLeft {
			hosts, backups[one.Host] = append(hosts, one.Host), one.BackupFile
		}
	}
	return hosts, backups
}

// leftOf is nil if the service is not forced down any more, else the first of its records that puts it back, or else the first.
func (l ledger) leftOf(ctx context.Context, records []record) (first *leftover, err error) {
	for _, r := range records {
		services, err := l.nova.Services(ctx, binary, r.Service.Host)
		if err != nil {
			return nil, err
		}
		now := slices.IndexFunc(services, func(s compute.Service) bool { return s.ID == r.Service.ID && s.ForcedDown })
		if now < 0 {
			continue
		}
		why := fmt.Sprintf("nova-compute on %s is forced down by a run%s, %s ago, which may still be at work", r.Service.Host, r.onBehalf(),
			r.age.Round(time.Second))
		if r.instance == l.InstanceUUID || r.age > atLeast {
			if why, err = l.objection(ctx, r, services[now]); err != nil {
				return nil, err
			}
			why = cmp.Or(why, r.scheduled(services[now]))
		}
		one := &leftover{
			Host: r.Service.Host, BackupFile: r.path, InstanceUUID: r.whose(), AsLeft: why == "", Msg: why, Service: services[now],
		}
		if one.AsLeft {
			return one, nil
		}
		first = cmp.Or(first, one)
	}
	return first, nil
}

// whose is the instance of the run; empty if it had none, whose records are in the folder of the service.
func (r record) whose() string {
	if r.instance == r.Service.ID {
		return ""
	}
	return r.instance
}

func (r record) onBehalf() string {
	if r.whose() == "" {
		return ""
	}
	return " for " + r.whose()
}

// reportLooks are how many looks, 3.2 s apart, a nova-compute that runs is given to report:
// by default it does every 10 seconds ([DEFAULT]report_interval), and every 60 on some clouds.
const (
	reportLooks = 24
	reportPause = 5 // failures, to openstack.Pause
)

// objection is the record's, and looks whether nova-compute reports where that decides.
func (l ledger) objection(ctx context.Context, r record, now compute.Service) (string, error) {
	history, err := l.records()
	if err != nil {
		return "", err
	}
	why := r.objection(now, history, false)
	if why == "" || r.objection(now, history, true) != "" || now.UpdatedAt == nil {
		return why, nil
	}
	for looks := 0; looks < reportLooks && openstack.Pause(ctx, reportPause) == nil; looks++ {
		services, err := l.nova.Services(ctx, now.Binary, now.Host)
		if err != nil {
			return "", err
		}
		reports := func(s compute.Service) bool {
			return s.ID == now.ID && s.ForcedDown == now.ForcedDown && s.UpdatedAt != nil && *s.UpdatedAt != *now.UpdatedAt
		}
		if slices.ContainsFunc(services, reports) {
			return "", nil
		}
	}
	return why, nil
}
