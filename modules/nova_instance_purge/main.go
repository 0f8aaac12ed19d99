// Command nova_instance_purge is the Ansible module that finishes the deletion
// of an instance in Nova's databases, as Nova itself would have done it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/backup"
	"nova-orphan/internal/nova"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/reap"
	"nova-orphan/internal/step"
)

func main() { os.Exit(ansible.Main(os.Args, os.Stdout, module)) }

const name = "nova_instance_purge"

// What the option state takes.
const (
	stateAbsent  = "absent"  // finish the deletion
	statePresent = "present" // put back what an earlier run saved
)

var module = ansible.Module{
	Name: name,
	Each: step.Instances.Name,
	Options: slices.Concat([]ansible.Option{
		step.Instances,
		{Name: "state", Type: ansible.Str, Default: stateAbsent, Choices: []string{stateAbsent, statePresent}},
		backup.FileOption,
		backup.ContentOption,
		{Name: "host", Type: ansible.Str},
		openstack.NovaConf,
		{Name: "login_host", Type: ansible.Str},
		{Name: "login_port", Type: ansible.Int, Check: ansible.Between(1, 65535)},
		{Name: "login_user", Type: ansible.Str},
		{Name: "login_password", Type: ansible.Str, NoLog: true, AllowEmpty: true},
		{Name: "login_unix_socket", Type: ansible.Path},
		{Name: "config_file", Type: ansible.Path},
		{Name: "ca_cert", Aliases: []string{"ssl_ca"}, Type: ansible.Path},
		{Name: "login_db", Type: ansible.Str},
		{Name: "preserve_volumes", Type: ansible.Bool, Default: false},
		{Name: "remove_share_mappings", Type: ansible.Bool, Default: false},
		{Name: "judged_as", Type: ansible.Dict, Check: judgedRows},
		step.BackupDir,
		ansible.Timeout,
	}, step.PolicyOptions(), apiOptions()),
	Rules: append(append(backup.SourceRules(statePresent, step.Instances.Name), notBesideNovaConf()...),
		forOneOnly("host"), forOneOnly(backup.FileOption.Name),
		ansible.OnlyIf("judged_as", "state", stateAbsent),
		ansible.MutuallyExclusive("cloud", "auth"),
		ansible.RequiredTogether("client_cert", "client_key"),
	),
	Run: run,
}

// apiOptions are those by which Cinder and Neutron are asked. nova_conf and ca_cert are
// the databases' as well, so that they are declared with those.
func apiOptions() []ansible.Option {
	return slices.DeleteFunc(openstack.AuthOptions(), func(o ansible.Option) bool { return o.Name == "nova_conf" || o.Name == "ca_cert" })
}

func notBesideNovaConf() (rules []ansible.Rule) {
	for _, option := range []string{"login_host", "login_port", "login_user", "login_password", "login_unix_socket", "config_file", "ca_cert",
		"login_db"} {
		rules = append(rules, ansible.MutuallyExclusive("nova_conf", option))
	}
	return rules
}

// forOneOnly is for an option that says something of one instance.
func forOneOnly(option string) ansible.Rule {
	return func(values map[string]any) error {
		list, _ := values[step.Instances.Name].([]any)
		if _, given := values[option]; given && len(list) > 1 {
			return fmt.Errorf("parameter '%s' is of one instance, but %s lists %d: call the module for each of them", option,
				step.Instances.Name, len(list))
		}
		return nil
	}
}

type parameters struct {
	step.Policy
	// Auth has nova_conf, too.
	openstack.Auth
	Instances []string      `option:"instance_uuid"`
	State     string        `option:"state"`
	Backup    backup.Source `option:",squash"`
	Host      string        `option:"host"`
	Login     nova.Login    `option:",squash"`
	BackupDir string        `option:"backup_dir"`

	PreserveVolumes     bool           `option:"preserve_volumes"`
	RemoveShareMappings bool           `option:"remove_share_mappings"`
	JudgedAs            map[string]any `option:"judged_as"`
}

// open opens the databases; in check mode the sessions themselves are read-only.
func (p parameters) open(call *ansible.Call) (*nova.Databases, error) {
	access, err := p.access(nova.DefaultConf, call.Secret)
	if err != nil {
		return nil, err
	}
	return nova.Open(access, call.Check)
}

func run(ctx context.Context, call *ansible.Call) (ansible.Answer, error) {
	var p parameters
	if err := call.Decode(&p); err != nil {
		return nil, err
	}
	databases, err := p.open(call)
	if err != nil {
		reply := &answer{}
		reply.Instances, err = step.Stop[entry](&reply.Result, "instances", p.Instances, err)
		return reply, err
	}
	defer databases.Close()
	reaps := reap.New(p.apis(nova.DefaultConf), call.Secret)
	return (&work{parameters: p, call: call, db: databases, reaps: reaps}).all(ctx)
}

// apis is how to reach Cinder and Neutron: as the task says, else by the nova.conf that
// leads to the databases. ca_cert is the databases'.
func (p parameters) apis(defaultConf string) openstack.Auth {
	auth := p.Auth
	auth.CACert = ""
	if auth.NovaConf == "" && p.Login == (nova.Login{}) {
		auth.NovaConf = defaultConf
	}
	return auth
}

// access is through nova_conf, or through login_*, or through the default
// configuration, if there is one.
func (p parameters) access(defaultConf string, secret func(...string)) (nova.Access, error) {
	if p.Login != (nova.Login{}) {
		return nova.FromLogin(p.Login, secret)
	}
	if p.NovaConf != "" {
		return nova.FromConf(p.NovaConf, secret)
	}
	access, err := nova.FromConf(defaultConf, secret)
	if errors.Is(err, fs.ErrNotExist) {
		return access, fmt.Errorf("one of the following is required: nova_conf, login_host, login_unix_socket, config_file: this host has no %s",
			defaultConf)
	}
	return access, err
}
