package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/osloconf"
	"nova-orphan/internal/placement"
	"nova-orphan/internal/reap"
)

// audit is one reading of the cloud. It reads where suspects show first, and what settles
// whether they are orphans last: what changes meanwhile is then seen as it is by now.
type audit struct {
	parameters
	call    *ansible.Call
	db      *nova.Databases
	policy  orphan.Policy
	picture orphan.Picture
	// allocations is Placement, over its API or from its database; nil where neither can be reached.
	allocations source
	survey      *placement.Survey
	// found are the records of the instances that may be purged.
	found map[string]nova.Finding
	reaps *reap.Cloud
	// unasked are the services that could not be asked for volumes or ports, with why.
	unasked map[string]error
	close   func()
}

// source is how Placement is read.
type source interface {
	Survey(ctx context.Context) (*placement.Survey, error)
	Details(ctx context.Context, consumers []string) (map[string]placement.Allocation, error)
}

func newAudit(p parameters, call *ansible.Call) (*audit, error) {
	conf := p.NovaConf
	if conf == "" {
		conf = nova.DefaultConf
	}
	access, err := nova.FromConf(conf, call.Secret)
	if err != nil {
		return nil, err
	}
	db, err := nova.Open(access, true)
	if err != nil {
		return nil, err
	}
	a := &audit{parameters: p, call: call, db: db, reaps: reap.New(p.Auth, call.Secret),
		policy: p.To(orphan.Policy{MinAge: time.Duration(p.MinAge) * time.Second}),
		close:  func() { _ = db.Close() }}
	a.picture.HypervisorsAsked = p.Domains != nil
	a.picture.Hypervisors = p.Domains
	a.picture.Named = len(p.Instances) > 0
	if a.picture.DownTime, err = nova.ServiceDownTime(conf); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// connect prepares Placement.
func (a *audit) connect(ctx context.Context) error {
	connection, authorities := a.PlacementDatabase, []string(nil)
	if a.PlacementConf != "" {
		var err error
		authorities = osloconf.Authorities(a.PlacementConf)
		if connection, err = placement.DatabaseURL(a.PlacementConf); err != nil {
			return err
		}
	}
	if connection != "" {
		db, err := nova.OpenReadOnly(connection, authorities, a.call.Secret)
		if err != nil {
			return fmt.Errorf("open Placement's database: %w", err)
		}
		first := a.close
		a.close = func() { first(); _ = db.Close() }
		a.allocations = placement.Database{DB: db}
		return nil
	}
	cloud, err := openstack.Connect(ctx, a.Auth, a.call.Secret)
	if err != nil {
		return err
	}
	service, err := cloud.Placement()
	if err != nil {
		return err
	}
	client := placement.New(service)
	client.Workers = a.Workers
	a.allocations = client
	return nil
}

func (a *audit) answer(ctx context.Context) (ansible.Answer, error) {
	began := time.Now()
	// It takes as long as to read some thousand rows.
	_ = ansible.Go(func() (struct{}, error) { return struct{}{}, a.reaps.Connect(ctx) })
	if err := a.readAll(ctx); err != nil {
		return nil, err
	}
	uuids, err := a.suspects(ctx)
	if err != nil {
		return nil, err
	}
	// A move takes its task before an allocation, and a build its row before it gives up the request: the rows are read last.
	owners := a.lookAtAllocations(ctx, uuids)
	looks, err := a.look(ctx, uuids)
	if err != nil {
		return nil, err
	}
	commands := orphan.Commands{Controller: a.Controller, Playbook: a.Playbook, Inventory: a.Inventory, Credentials: a.credentials()}
	findings, doubts := a.picture.Findings(looks, owners, commands)
	if err := cmp.Or(a.unknownHost(findings, doubts), a.implausible(len(findings))); err != nil {
		return nil, err
	}
	a.foresee(ctx, looks, a.purgeable(findings))
	r := newReply(a, began)
	r.Findings, r.Unknown = a.picture.Findings(looks, owners, commands)
	r.Instances = a.picture.Assess(a.Instances, looks, owners, commands, orphan.Consents{HostsGone: a.HostsGone, ComputeHost: a.ComputeHost})
	unmapped := func(one orphan.Assessment) bool { return one.Verdict == orphan.Stuck && !one.Mapped }
	if slices.ContainsFunc(r.Instances, unmapped) {
		r.NovaManage = append(r.NovaManage, nova.Manage(a.NovaConf)...)
	}
	return r, a.finish(r)
}

// credentials are those that this module was given, for the commands of the report; no secret is among them.
func (a *audit) credentials() string {
	switch {
	case a.NovaConf != "":
		return "nova_conf=" + a.NovaConf
	case a.Cloud != "":
		return "cloud=" + a.Cloud
	}
	return ""
}

// readAll reads Placement, and then Nova's databases.
func (a *audit) readAll(ctx context.Context) error {
	a.picture.Placed = func(func(string, []string) bool) {}
	err := a.connect(ctx)
	if err == nil {
		// Of named instances it is enough what they hold; a database is asked for all at once.
		_, overAPI := a.allocations.(*placement.Client)
		if a.survey = new(placement.Survey); !a.picture.Named || !overAPI {
			a.survey, err = a.allocations.Survey(ctx)
		}
	}
	if err != nil {
		a.picture.PlacementFailure = err.Error()
	} else {
		a.picture.Placed, a.picture.Providers, a.picture.UnreadProviders = a.survey.Consumers(), map[string]orphan.Provider{}, map[string]string{}
		for uuid, p := range a.survey.Providers {
			a.picture.Providers[uuid] = orphan.Provider{UUID: p.UUID, Name: p.Name, Root: p.Root, Sharing: p.Sharing, Compute: p.Compute}
		}
		for _, failure := range a.survey.Failures {
			a.picture.UnreadProviders[failure.Provider.UUID] = failure.Err.Error()
		}
	}
	var named []string
	if a.picture.Named {
		if named, err = a.instances(ctx); err != nil {
			return err
		}
	}
	return a.db.Survey(ctx, &a.picture, named)
}

// instances are those that are named, a migration's uuid by its instance's.
func (a *audit) instances(ctx context.Context) (uuids []string, _ error) {
	migrations, err := a.db.MigrationsOf(ctx, a.Instances)
	if err != nil {
		return nil, err
	}
	a.picture.Migrations = migrations
	for _, uuid := range a.Instances {
		uuids = append(uuids, cmp.Or(migrations[uuid].Instance, uuid))
	}
	return uuids, a.picture.SameInstance(a.Instances)
}

func (a *audit) suspects(ctx context.Context) ([]string, error) {
	if a.picture.Named {
		return a.withMigrations(ctx)
	}
	consumers := a.picture.Consumers()
	var err error
	if a.picture.Migrations, err = a.db.MigrationsOf(ctx, consumers); err != nil {
		return nil, err
	}
	return a.picture.Suspects(a.policy, consumers), nil
}

// withMigrations are the instances that are named, with their migrations in the picture.
func (a *audit) withMigrations(ctx context.Context) ([]string, error) {
	uuids, err := a.instances(ctx)
	if err != nil {
		return nil, err
	}
	migrations, err := a.db.MigrationsOfInstances(ctx, uuids)
	maps.Copy(a.picture.Migrations, migrations)
	return uuids, err
}

// atOnce is how many instances are looked at closely in one reading.
const atOnce = 200

// look reads all that Nova's databases have of each.
func (a *audit) look(ctx context.Context, uuids []string) (map[string]orphan.Look, error) {
	looks := map[string]orphan.Look{}
	a.found = map[string]nova.Finding{}
	for some := range slices.Chunk(uuids, atOnce) {
		found, err := a.db.FindAll(ctx, some)
		if err != nil {
			return nil, err
		}
		for uuid, finding := range found {
			evidence := finding.Evidence(a.policy)
			judgement := orphan.Judge(evidence)
			if !judgement.Verdict.Refuses() {
				a.found[uuid] = finding
			}
			look := orphan.Look{Judgement: judgement, Evidence: evidence, Name: finding.Name(), Project: finding.Project()}
			for _, cell := range finding.Cells {
				for _, host := range cell.Hosts {
					look.Hosts = append(look.Hosts, host.Name)
				}
			}
			if a.picture.Named {
				look.Record = record(finding.Instance(judgement))
			}
			looks[uuid] = look
		}
	}
	return looks, nil
}

// purgeable are the records of those that may be purged: of all that were named, and else of the findings.
func (a *audit) purgeable(findings []orphan.Finding) (purgeable []nova.Finding) {
	if a.picture.Named {
		return slices.Collect(maps.Values(a.found))
	}
	for _, f := range findings {
		if found, may := a.found[f.UUID]; may && f.Kind != "" {
			purgeable = append(purgeable, found)
		}
	}
	return purgeable
}

// foresee looks at the volumes and ports of what may be purged.
func (a *audit) foresee(ctx context.Context, looks map[string]orphan.Look, purgeable []nova.Finding) {
	if len(purgeable) == 0 {
		return
	}
	outlooks, unread := a.reaps.Survey(ctx, purgeable)
	a.unasked = unread
	for uuid, outlook := range outlooks {
		look := looks[uuid]
		look.Plan, look.Keeps, look.Given, look.Unread = outlook.Plan, outlook.Keeps, outlook.Remains, unread
		looks[uuid] = look
	}
}

// lookAtAllocations reads what the instances and their migrations hold now. Where it cannot, Placement is unread.
func (a *audit) lookAtAllocations(ctx context.Context, uuids []string) map[string]orphan.Owner {
	if a.picture.PlacementFailure != "" {
		return nil
	}
	consumers := map[string]bool{}
	for _, uuid := range uuids {
		consumers[uuid] = true
	}
	for uuid, migration := range a.picture.Migrations {
		if consumers[migration.Instance] {
			consumers[uuid] = true
		}
	}
	owners := map[string]orphan.Owner{}
	a.picture.Held = map[string][]orphan.Held{}
	details, err := a.details(ctx, slices.Sorted(maps.Keys(consumers)))
	for consumer, allocation := range details {
		if allocation.Empty() {
			continue
		}
		owners[consumer] = orphan.Owner{Type: allocation.Type, Project: allocation.ProjectID}
		for _, provider := range slices.Sorted(maps.Keys(allocation.Providers)) {
			a.picture.Held[consumer] = append(a.picture.Held[consumer], orphan.Held{Provider: provider, Resources: allocation.Providers[provider]})
			err = cmp.Or(err, a.name(ctx, provider))
		}
	}
	err = cmp.Or(err, a.findProviders(ctx, a.picture.WithoutNode(uuids)))
	if err != nil {
		a.picture.PlacementFailure = fmt.Sprintf("look at the suspects' allocations: %v", err)
	}
	return owners
}

// findProviders finds out which of these names a resource provider has, if no survey told.
func (a *audit) findProviders(ctx context.Context, names []string) error {
	client, asks := a.allocations.(*placement.Client)
	if !a.picture.Named || !asks {
		return nil
	}
	for _, name := range names {
		p, err := client.Provider(ctx, name)
		if _, known := a.picture.Providers[p.UUID]; err == nil && !known {
			a.picture.Providers[p.UUID] = orphan.Provider{UUID: p.UUID, Name: p.Name, Root: p.Root}
		} else if err != nil && !errors.Is(err, placement.ErrNoProvider) {
			return err
		}
	}
	return nil
}

// details are what consumers hold. Where a cell was not read nothing becomes a finding, and all that are mapped to it are
// suspects: what the survey has seen of those is enough.
func (a *audit) details(ctx context.Context, consumers []string) (map[string]placement.Allocation, error) {
	seen := map[string]placement.Allocation{}
	if !a.picture.Named && slices.ContainsFunc(a.picture.Cells, func(c orphan.CellPicture) bool { return c.Failure != "" }) {
		for _, consumer := range consumers {
			if _, mapped := a.picture.Mappings[consumer]; mapped {
				seen[consumer] = placement.Allocation{Consumer: consumer, Providers: a.survey.Held(consumer)}
			}
		}
		consumers = slices.DeleteFunc(consumers, func(consumer string) bool { return seen[consumer].Consumer != "" })
	}
	details, err := a.allocations.Details(ctx, consumers)
	maps.Copy(seen, details)
	return seen, err
}

// name finds out which provider that is, if no survey told.
func (a *audit) name(ctx context.Context, uuid string) error {
	client, asks := a.allocations.(*placement.Client)
	if _, known := a.picture.Providers[uuid]; known || !asks {
		return nil
	}
	p, err := client.SurveyProvider(ctx, uuid)
	if errors.Is(err, placement.ErrNoProvider) {
		return nil
	}
	if err != nil {
		return err
	}
	a.picture.Providers[uuid] = orphan.Provider{UUID: uuid, Name: p.Name, Root: p.Root, Sharing: p.Sharing, Compute: p.Compute}
	return a.name(ctx, p.Root)
}
