package openstack

import (
	"fmt"
	"strings"

	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"

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
		credentials := section
		// keystoneauth lets a section point to another one for all but its endpoint.
		if other := config.Get(section, "auth_section"); other != "" {
			credentials = other
		}
		if config.Get(credentials, "auth_url") == "" {
			continue
		}
		found := source{
			origin: fmt.Sprintf("[%s] of %s", credentials, path), region: config.Get(section, "region_name"),
			entry:    entryFrom(func(option string) string { return config.Get(credentials, option) }),
			authType: config.Get(credentials, "auth_type"), interfaces: []string{"internal", "public"},
		}
		if names := config.Get(section, "valid_interfaces"); names != "" && section == "placement" {
			found.interfaces = strings.FieldsFunc(names, func(r rune) bool { return r == ',' || r == ' ' })
		}
		return found, nil
	}
	return source{}, fmt.Errorf("read credentials from %s: neither [placement] nor [keystone_authtoken] has an auth_url: is it the nova.conf of a controller?", path)
}

func entryFrom(get func(string) string) *clouds.Cloud {
	entry := &clouds.Cloud{
		AuthInfo: &clouds.AuthInfo{
			AuthURL:                     get("auth_url"),
			Username:                    get("username"),
			UserID:                      get("user_id"),
			Password:                    get("password"),
			ProjectName:                 get("project_name"),
			ProjectID:                   get("project_id"),
			UserDomainName:              get("user_domain_name"),
			UserDomainID:                get("user_domain_id"),
			ProjectDomainName:           get("project_domain_name"),
			ProjectDomainID:             get("project_domain_id"),
			SystemScope:                 get("system_scope"),
			ApplicationCredentialID:     get("application_credential_id"),
			ApplicationCredentialName:   get("application_credential_name"),
			ApplicationCredentialSecret: get("application_credential_secret"),
		},
		CACertFile:     get("cafile"),
		ClientCertFile: get("certfile"),
		ClientKeyFile:  get("keyfile"),
	}
	if insecure(get("insecure")) {
		entry.Verify = new(bool)
	}
	return entry
}
