package openstack

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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
	found := source{origin: "the OS_* environment", Auth: Auth{
		Cloud: getenv("OS_CLOUD"), AuthType: getenv("OS_AUTH_TYPE"), RegionName: getenv("OS_REGION_NAME"),
	}}
	if found.AuthType != "" && !slices.Contains(authTypes(), found.AuthType) {
		return source{}, fmt.Errorf("value of OS_AUTH_TYPE must be one of: %s, got: %s", strings.Join(authTypes(), ", "), found.AuthType)
	}
	if name := first("OS_INTERFACE", "OS_ENDPOINT_TYPE"); name != "" {
		found.interfaces = []string{name}
	}
	if found.Cloud != "" {
		return found, nil
	}
	if getenv("OS_AUTH_URL") == "" {
		return source{}, errors.New("no credentials: give cloud (its name in clouds.yaml), auth, or nova_conf (on a controller), or set " +
			"OS_CLOUD, or OS_AUTH_URL, OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME in the task's environment")
	}
	older := map[string]string{"user_id": "OS_USERID", "project_name": "OS_TENANT_NAME", "project_id": "OS_TENANT_ID"}
	found.info = infoOf(func(key string) string { return first("OS_"+strings.ToUpper(key), older[key]) },
		"token", "domain_name", "domain_id", "trust_id")
	found.CACert, found.ClientCert, found.ClientKey = getenv("OS_CACERT"), getenv("OS_CERT"), getenv("OS_KEY")
	if isTrue(getenv("OS_INSECURE")) {
		found.ValidateCerts = new(bool)
	}
	return found, nil
}

func isTrue(value string) bool {
	return slices.Contains([]string{"1", "true", "yes", "on"}, strings.ToLower(strings.TrimSpace(value)))
}
