package openstack

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"nova-orphan/internal/osloconf"
)

// fromNovaConf takes the credentials with which Nova itself asks Placement, so
// that on a controller no secret needs to travel. The options are keystoneauth's
// (keystoneauth1/loading), the defaults Nova's (nova/conf/placement.py).
func fromNovaConf(path string) (source, error) {
	config, err := osloconf.Load(path)
	if err != nil {
		return source{}, err
	}
	for _, section := range []string{"placement", "keystone_authtoken"} {
		if found, err := fromSection(config, path, section); err != nil || found.info != nil {
			return found, err
		}
	}
	return source{}, fmt.Errorf("read credentials from %s: neither [placement] nor [keystone_authtoken] has an auth_url: "+
		"is it the nova.conf of a controller?", path)
}

// fromSection takes the credentials of a section; the source has no info where there is no auth_url.
func fromSection(config osloconf.Config, path, section string) (found source, err error) {
	get := func(section, option string) string {
		value, failure := config.Get(section, option)
		err = cmp.Or(err, failure)
		return value
	}
	// keystoneauth lets a section point to another one for all but its endpoint.
	credentials := cmp.Or(get(section, "auth_section"), section)
	if get(credentials, "auth_url") == "" {
		return source{}, err
	}
	// They are tried in this order (keystoneauth1/loading/adapter.py; the default is Nova's, nova/conf/utils.py).
	interfaces := cmp.Or(get(section, "valid_interfaces"), "internal,public")
	found = source{
		origin: fmt.Sprintf("[%s] of %s", credentials, path), info: infoOf(func(key string) string { return get(credentials, key) }),
		interfaces: strings.FieldsFunc(interfaces, func(r rune) bool { return r == ',' || r == ' ' }),
		Auth: Auth{RegionName: get(section, "region_name"), AuthType: get(credentials, "auth_type"), CACert: get(credentials, "cafile"),
			ClientCert: get(credentials, "certfile"), ClientKey: get(credentials, "keyfile")},
	}
	if found.authorities = osloconf.Authorities(path); len(found.authorities) > 0 {
		if _, absent := os.Stat(found.CACert); absent != nil {
			found.CACert = ""
		}
	}
	if isTrue(get(credentials, "insecure")) {
		found.ValidateCerts = new(bool)
	}
	return found, err
}

// ForNetwork is the cloud as Nova sees it when it asks Neutron: with nova_conf by the account
// of its [neutron]. Since 2024.1 Neutron lets only the role service write what the host has to
// do with a port (neutron/conf/policies/port.py update_port:binding:profile), which the account
// of [placement] need not have. Without such a section, it is the cloud itself.
func (c *Cloud) ForNetwork(ctx context.Context, auth Auth, secret func(...string)) (*Cloud, error) {
	if auth.NovaConf == "" {
		return c, nil
	}
	config, err := osloconf.Load(auth.NovaConf)
	if err != nil {
		return nil, err
	}
	found, err := fromSection(config, auth.NovaConf, "neutron")
	if err != nil || found.info == nil {
		return c, err
	}
	return connect(ctx, found, auth, secret)
}

// ServiceToken asks Keystone for the token by which a service sees that it is Nova
// who asks (keystoneauth1/service_token.py), with the account of [service_user]. It
// is empty without nova_conf, and where Nova itself sends none. Since CVE-2023-2088
// Cinder wants one for each attachment of which Nova still knows
// (cinder/volume/api.py attachment_deletion_allowed).
func ServiceToken(ctx context.Context, auth Auth, secret func(...string)) (string, error) {
	if auth.NovaConf == "" {
		return "", nil
	}
	config, err := osloconf.Load(auth.NovaConf)
	if err != nil {
		return "", err
	}
	wanted, err := config.Get("service_user", "send_service_user_token")
	if err != nil || !isTrue(wanted) {
		return "", err
	}
	found, err := fromSection(config, auth.NovaConf, "service_user")
	if err != nil || found.info == nil {
		return "", err
	}
	cloud, err := connect(ctx, found, auth, secret)
	if err != nil {
		return "", err
	}
	return cloud.provider.Token(), nil
}
