package openstack

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
)

// fromEnvironment reads OS_* as openstackclient does. gophercloud's own
// AuthOptionsFromEnv refuses ordinary openrc files: it knows none of
// OS_USER_DOMAIN_NAME, OS_PROJECT_DOMAIN_NAME and their like.
func fromEnvironment(getenv func(string) string) (source, error) {
	first := func(names ...string) string {
		for _, name := range names {
			if value := getenv(name); value != "" {
				return value
			}
		}
		return ""
	}
	found := source{
		origin: "the OS_* environment", cloudName: getenv("OS_CLOUD"), authType: getenv("OS_AUTH_TYPE"), region: getenv("OS_REGION_NAME"),
	}
	if found.authType != "" && !slices.Contains(authTypes(), found.authType) {
		return source{}, fmt.Errorf("value of OS_AUTH_TYPE must be one of: %s, got: %s", strings.Join(authTypes(), ", "), found.authType)
	}
	if name := first("OS_INTERFACE", "OS_ENDPOINT_TYPE"); name != "" {
		found.interfaces = []string{name}
	}
	if found.cloudName != "" {
		return found, nil
	}
	entry := &clouds.Cloud{
		AuthInfo: &clouds.AuthInfo{
			AuthURL:                     getenv("OS_AUTH_URL"),
			Token:                       getenv("OS_TOKEN"),
			Username:                    getenv("OS_USERNAME"),
			UserID:                      first("OS_USER_ID", "OS_USERID"),
			Password:                    getenv("OS_PASSWORD"),
			ApplicationCredentialID:     getenv("OS_APPLICATION_CREDENTIAL_ID"),
			ApplicationCredentialName:   getenv("OS_APPLICATION_CREDENTIAL_NAME"),
			ApplicationCredentialSecret: getenv("OS_APPLICATION_CREDENTIAL_SECRET"),
			SystemScope:                 getenv("OS_SYSTEM_SCOPE"),
			ProjectName:                 first("OS_PROJECT_NAME", "OS_TENANT_NAME"),
			ProjectID:                   first("OS_PROJECT_ID", "OS_TENANT_ID"),
			UserDomainName:              getenv("OS_USER_DOMAIN_NAME"),
			UserDomainID:                getenv("OS_USER_DOMAIN_ID"),
			ProjectDomainName:           getenv("OS_PROJECT_DOMAIN_NAME"),
			ProjectDomainID:             getenv("OS_PROJECT_DOMAIN_ID"),
			DomainName:                  getenv("OS_DOMAIN_NAME"),
			DomainID:                    getenv("OS_DOMAIN_ID"),
			TrustID:                     getenv("OS_TRUST_ID"),
		},
		CACertFile:     getenv("OS_CACERT"),
		ClientCertFile: getenv("OS_CERT"),
		ClientKeyFile:  getenv("OS_KEY"),
	}
	if entry.AuthInfo.AuthURL == "" {
		return source{}, errors.New("no credentials: give cloud (its name in clouds.yaml), auth, or nova_conf (on a controller), or set " +
			"OS_CLOUD, or OS_AUTH_URL, OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME in the task's environment")
	}
	if isTrue(getenv("OS_INSECURE")) {
		entry.Verify = new(bool)
	}
	found.entry = entry
	return found, nil
}

func isTrue(value string) bool {
	return slices.Contains([]string{"1", "true", "yes", "on"}, strings.ToLower(strings.TrimSpace(value)))
}
