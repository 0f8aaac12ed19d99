// Placement_allocation is an Ansible module that shows, removes or sets what a
// consumer holds in Placement.
package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/compute"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/orphan"
	"nova-orphan/internal/placement"
)

func main() { os.Exit(ansible.Main(os.Args, os.Stdout, module())) }

const name = "placement_allocation"

func module() ansible.Module {
	return ansible.Module{
		Name: name,
		Each: "consumer",
		Options: append([]ansible.Option{
			{Name: "consumer", Aliases: []string{"consumers"}, Type: ansible.List, Elements: ansible.Str, Check: ansible.UUID},
			{Name: "instance_uuid", Type: ansible.Str, Check: ansible.UUID},
			{Name: "resource_provider", Type: ansible.Str},
			{Name: "state", Type: ansible.Str, Choices: []string{absent, present, saved}},
			{Name: "resources", Type: ansible.Dict, Check: checkResources},
			{Name: "project_id", Type: ansible.Str},
			{Name: "user_id", Type: ansible.Str},
			backup.FileOption,
			backup.ContentOption,
			{Name: "verify_consumer", Type: ansible.Bool, Default: true},
			{Name: "backup_dir", Type: ansible.Path, Default: backup.DefaultDir, Check: ansible.Absolute},
			ansible.Timeout,
		}, openstack.AuthOptions()...),
		Rules: append([]ansible.Rule{
			ansible.RequiredOneOf("consumer", "resource_provider", "backup_file", "backup_content"),
			ansible.RequiredIf("state", absent, "consumer"),
			ansible.RequiredIf("state", saved, "consumer"),
			savedAsAWhole,
			ansible.OnlyIf("resources", "state", present),
			ansible.OnlyIf("project_id", "state", present),
			ansible.OnlyIf("user_id", "state", present),
			ansible.OnlyIf("backup_file", "state", present),
			ansible.OnlyIf("backup_content", "state", present),
			ansible.MutuallyExclusive("backup_file", "backup_content"),
			notWithBackup("resource_provider", "resources", "project_id", "user_id"),
			presentFromOptionsOrBackup,
		}, openstack.AuthRules()...),
		Run: run,
	}
}

const (
	absent  = "absent"
	present = "present"
	saved   = "saved"
)

type parameters struct {
	openstack.Auth
	Consumers      []string            `option:"consumer"`
	Instance       string              `option:"instance_uuid"`
	Provider       string              `option:"resource_provider"`
	State          string              `option:"state"`
	Resources      placement.Resources `option:"resources"`
	ProjectID      string              `option:"project_id"`
	UserID         string              `option:"user_id"`
	VerifyConsumer bool                `option:"verify_consumer"`
	Backup         backup.Source       `option:",squash"`
	BackupDir      string              `option:"backup_dir"`
}

// allocations is the Placement that this module needs.
type allocations interface {
	Allocation(ctx context.Context, consumer string) (placement.Allocation, error)
	Provider(ctx context.Context, uuidOrName string, isUUID bool) (placement.Provider, error)
	Tree(ctx context.Context, provider string) ([]placement.Provider, error)
	Consumers(ctx context.Context, provider string) (map[string]placement.Resources, error)
	ConsumerType(ctx context.Context, consumer string) (string, error)
	Replace(ctx context.Context, allocation placement.Allocation) error
}

// task is one call of the module.
type task struct {
	parameters
	call      *ansible.Call
	placement allocations
	// nova is looked for only when it is asked something: its error is no answer.
	nova func() (novaLookup, error)
	// names are those of the resource providers met, by their UUIDs, and roots the
	// UUIDs of their trees' roots.
	names, roots map[string]string
}

func run(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
	t := &task{call: call, names: map[string]string{}, roots: map[string]string{}}
	if err := call.Decode(&t.parameters); err != nil {
		return nil, err
	}
	t.Consumers = withoutRepetition(t.Consumers)
	reply := newAnswer()
	err := t.run(ctx, reply)
	var against orphan.Refusal
	var outage *openstack.Failure
	switch {
	case errors.As(err, &against):
		reply.Reasons = against
	case errors.As(err, &outage) && len(reply.BackupFiles) == 0:
		reply.Verdict = unknown
	}
	return reply, err
}

func (t *task) run(ctx context.Context, reply *answer) error {
	cloud, err := openstack.Connect(ctx, t.Auth, t.call.Secret)
	if err != nil {
		return err
	}
	service, err := cloud.Placement()
	if err != nil {
		return err
	}
	t.placement = placement.New(service)
	t.nova = func() (novaLookup, error) {
		service, err := cloud.Compute()
		if err != nil {
			return nil, err
		}
		return compute.New(service), nil
	}
	switch t.State {
	case "":
		return t.show(ctx, reply)
	case saved:
		return t.writeDown(ctx, reply)
	}
	return t.change(ctx, reply)
}

func withoutRepetition(consumers []string) (once []string) {
	for _, consumer := range consumers {
		if !slices.Contains(once, consumer) {
			once = append(once, consumer)
		}
	}
	return once
}

// change reads and judges all consumers before it writes to the first.
func (t *task) change(ctx context.Context, reply *answer) error {
	w, err := t.wanted(ctx, reply)
	if err != nil {
		return err
	}
	var steps []step
	for _, consumer := range t.Consumers {
		now, err := t.read(ctx, consumer)
		if err != nil {
			return err
		}
		reply.Allocations = append(reply.Allocations, t.listed(now))
		next, err := plan(now, w)
		if err != nil {
			return err
		}
		steps = append(steps, next)
	}
	if !t.fillAnswer(reply, steps) {
		return nil
	}
	if err := t.verify(ctx, reply, steps); err != nil {
		return err
	}
	if t.call.Check {
		reply.Changed = true
		return nil
	}
	return t.apply(ctx, reply, steps, w)
}

// wanted is what the options ask for, with the provider tree that they name.
func (t *task) wanted(ctx context.Context, reply *answer) (wanted, error) {
	if t.Backup.Given() {
		return t.wantedFrom(ctx)
	}
	w := wanted{state: t.State, resources: t.Resources, projectID: t.ProjectID, userID: t.UserID, named: t.Provider}
	if t.Provider == "" {
		return w, nil
	}
	provider, err := t.findProvider(ctx)
	if errors.Is(err, placement.ErrNoProvider) && t.State == absent {
		return w, nil // nothing can be held there; whether that is a typing error, plan judges
	}
	if err != nil {
		return w, err
	}
	reply.ResourceProvider, w.provider = &provider, provider.UUID
	if t.State == present {
		return w, nil
	}
	tree, err := t.placement.Tree(ctx, provider.UUID)
	if err != nil {
		return w, err
	}
	t.note(tree)
	for _, member := range tree {
		w.tree = append(w.tree, member.UUID)
	}
	if !slices.Contains(w.tree, provider.UUID) {
		return w, fmt.Errorf("read the provider tree of %s: the provider itself is not in it", provider.UUID)
	}
	return w, nil
}

func (t *task) findProvider(ctx context.Context) (placement.Provider, error) {
	uuid, err := ansible.UUID(t.Provider)
	name := t.Provider
	if err == nil {
		name = uuid.(string)
	}
	provider, err := t.placement.Provider(ctx, name, err == nil)
	if errors.Is(err, placement.ErrNoProvider) {
		return provider, fmt.Errorf("%w: resource_provider takes the UUID or the name, which for a compute host is the hypervisor's host "+
			"name, not nova's host", err)
	}
	t.names[provider.UUID], t.roots[provider.UUID] = provider.Name, provider.Root
	return provider, err
}

// read reads what a consumer holds, and the names of the providers: one request
// for each tree of which nothing is known yet.
func (t *task) read(ctx context.Context, consumer string) (placement.Allocation, error) {
	now, err := t.placement.Allocation(ctx, consumer)
	if err != nil {
		return now, err
	}
	for _, uuid := range slices.Sorted(maps.Keys(now.Providers)) {
		if _, err := t.learn(ctx, uuid); err != nil {
			return now, err
		}
	}
	return now, nil
}

// learn reads the names of a provider's tree, unless they are known; it says
// whether there is such a provider.
func (t *task) learn(ctx context.Context, provider string) (bool, error) {
	if _, known := t.roots[provider]; !known {
		tree, err := t.placement.Tree(ctx, provider)
		if err != nil {
			return false, err
		}
		t.note(tree)
	}
	_, known := t.roots[provider]
	return known, nil
}

func (t *task) note(tree []placement.Provider) {
	for _, member := range tree {
		t.names[member.UUID], t.roots[member.UUID] = member.Name, member.Root
	}
}
