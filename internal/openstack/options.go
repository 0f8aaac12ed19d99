package openstack

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"nova-orphan/internal/ansible"
)

// Auth is what a module's options say about the cloud. Embed it in the module's
// parameters, append AuthOptions to its options and AuthRules to its rules.
type Auth struct {
	Cloud         string         `option:"cloud"`
	Auth          map[string]any `option:"auth"`
	AuthType      string         `option:"auth_type"`
	RegionName    string         `option:"region_name"`
	Interface     string         `option:"interface"`
	ValidateCerts *bool          `option:"validate_certs"`
	CACert        string         `option:"ca_cert"`
	ClientCert    string         `option:"client_cert"`
	ClientKey     string         `option:"client_key"`
	NovaConf      string         `option:"nova_conf"`
}

// AuthOptions are the options of Auth, by the names and aliases of the
// collection openstack.cloud, and nova_conf beside them.
func AuthOptions() []ansible.Option {
	return []ansible.Option{
		{Name: "cloud", Type: ansible.Str},
		{Name: "auth", Type: ansible.Dict, NoLog: true},
		{Name: "auth_type", Type: ansible.Str, Choices: authTypes()},
		{Name: "region_name", Type: ansible.Str},
		{Name: "interface", Aliases: []string{"endpoint_type"}, Type: ansible.Str, Choices: []string{"admin", "internal", "public"}},
		{Name: "validate_certs", Aliases: []string{"verify"}, Type: ansible.Bool},
		{Name: "ca_cert", Aliases: []string{"cacert"}, Type: ansible.Path},
		{Name: "client_cert", Aliases: []string{"cert"}, Type: ansible.Path},
		{Name: "client_key", Aliases: []string{"key"}, Type: ansible.Path, NoLog: true},
		NovaConf,
	}
}

// NovaConf is the option that leads to a controller's nova.conf; auto looks for it.
var NovaConf = ansible.Option{Name: "nova_conf", Type: ansible.Path, Check: findNovaConf([]string{
	"/etc/nova/nova.conf", // packages, OpenStack-Ansible
	// kolla-ansible: with several cells, nova-api's alone has all databases (roles/nova/templates/nova.conf.j2)
	"/etc/kolla/nova-api/nova.conf",
	"/var/lib/config-data/puppet-generated/nova/etc/nova/nova.conf", // TripleO
})}

func findNovaConf(usual []string) func(any) (any, error) {
	return func(value any) (any, error) {
		if value != "auto" {
			return value, nil
		}
		there := slices.DeleteFunc(slices.Clone(usual), func(path string) bool {
			_, err := os.Stat(path)
			return os.IsNotExist(err)
		})
		switch len(there) {
		case 0:
			return nil, fmt.Errorf("is auto, and this host has none of %s: is it a controller? Say where its nova.conf is",
				strings.Join(usual, ", "))
		case 1:
			return there[0], nil
		}
		return nil, fmt.Errorf("is auto, and this host has %s: say which one its services read", strings.Join(there, " and "))
	}
}

// AuthRules relate the options of Auth to each other.
func AuthRules() []ansible.Rule {
	return []ansible.Rule{
		ansible.MutuallyExclusive("cloud", "auth", "nova_conf"),
		ansible.RequiredTogether("client_cert", "client_key"),
	}
}

func authTypes() []string {
	return []string{"password", "token", "v3applicationcredential", "v3password", "v3token"}
}
