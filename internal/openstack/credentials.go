package openstack

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
	"gopkg.in/yaml.v2"

	"nova-orphan/internal/osloconf"
)

// A source is where the credentials come from.
type source struct {
	origin string // as it stands in error texts
	// Auth is what it says of the options that the task leaves out. Cloud is the entry of
	// clouds.yaml, unless there is info.
	Auth
	// info is the section auth of an entry of clouds.yaml, in whose form all others are put, so
	// that one reader serves all.
	info any
	// interfaces are tried in this order; empty: as the entry says, else public.
	interfaces []string
	// authorities are files of CA certificates that are trusted besides.
	authorities []string
}

// infoOf takes the section auth from where its keys have these values.
func infoOf(value func(key string) string, more ...string) map[string]string {
	info := map[string]string{}
	for _, key := range append([]string{
		"auth_url", "username", "user_id", "password", "project_name", "project_id", "user_domain_name", "user_domain_id", "project_domain_name",
		"project_domain_id", "system_scope", "application_credential_id", "application_credential_name", "application_credential_secret",
	}, more...) {
		info[key] = value(key)
	}
	return info
}

// credentials are a source, read and made complete.
type credentials struct {
	origin     string
	auth       gophercloud.AuthOptions
	tls        *tls.Config
	region     string
	interfaces []gophercloud.Availability
}

// find picks the source: what the task says, else the environment.
func find(auth Auth, getenv func(string) string) (source, error) {
	switch {
	case auth.Cloud != "":
		return source{origin: "clouds.yaml", Auth: Auth{Cloud: auth.Cloud}}, nil
	case auth.Auth != nil:
		return fromOption(auth.Auth)
	case auth.NovaConf != "":
		return fromNovaConf(auth.NovaConf)
	default:
		return fromEnvironment(getenv)
	}
}

func fromOption(auth map[string]any) (source, error) {
	info := &clouds.AuthInfo{}
	metadata := mapstructure.Metadata{}
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result: info, TagName: "yaml", WeaklyTypedInput: true, Metadata: &metadata,
		MatchName: func(key, field string) bool { return key == field },
	})
	if err != nil {
		return source{}, fmt.Errorf("decode auth: %w", err)
	}
	if err := decoder.Decode(auth); err != nil {
		// The decoder's error quotes the value, which may be the password.
		return source{}, errors.New("argument 'auth' takes texts, as in the auth section of clouds.yaml: auth_url, username, password, " +
			"project_name, user_domain_name, project_domain_name")
	}
	if len(metadata.Unused) > 0 {
		slices.Sort(metadata.Unused)
		return source{}, fmt.Errorf("argument 'auth' has unknown keys: %s: it takes those of the auth section of clouds.yaml",
			strings.Join(metadata.Unused, ", "))
	}
	if info.AuthURL == "" {
		return source{}, errors.New("argument 'auth' has no auth_url: that is Keystone's URL, like https://HOST:5000/v3")
	}
	return source{origin: "the option auth", info: info}, nil
}

// read turns a source into credentials; options of the task go first.
func read(from source, auth Auth) (credentials, error) {
	parsed, endpoint, config, err := parse(from, auth)
	if err != nil {
		return credentials{}, fmt.Errorf("read credentials from %s: %w", from.origin, err)
	}
	if auth.CACert == "" {
		if config.RootCAs, err = osloconf.Trust(config.RootCAs, from.authorities); err != nil {
			return credentials{}, fmt.Errorf("read the CA certificates beside %s: %w", from.origin, err)
		}
	}
	complete(&parsed, cmp.Or(auth.AuthType, from.AuthType))
	interfaces := []gophercloud.Availability{endpoint.Availability}
	if auth.Interface == "" && len(from.interfaces) > 0 {
		interfaces = nil
		for _, name := range from.interfaces {
			interfaces = append(interfaces, gophercloud.Availability(strings.TrimSuffix(name, "URL")))
		}
	}
	return credentials{origin: from.origin, auth: parsed, tls: config, region: endpoint.Region, interfaces: interfaces}, nil
}

func parse(from source, auth Auth) (parsed gophercloud.AuthOptions, endpoint gophercloud.EndpointOpts, config *tls.Config, err error) {
	// gophercloud reads OS_REGION_NAME and OS_INTERFACE even for a cloud that the task
	// names; an empty text here stops that.
	options := []clouds.ParseOption{
		clouds.WithCloudName(from.Cloud), clouds.WithRegion(cmp.Or(auth.RegionName, from.RegionName)), clouds.WithEndpointType(auth.Interface),
		// These it takes from OS_CACERT and its like only where they are empty.
		clouds.WithCACertPath(cmp.Or(auth.CACert, from.CACert)), clouds.WithClientCertPath(cmp.Or(auth.ClientCert, from.ClientCert)),
		clouds.WithClientKeyPath(cmp.Or(auth.ClientKey, from.ClientKey)),
	}
	if verify := cmp.Or(auth.ValidateCerts, from.ValidateCerts); verify != nil {
		options = append(options, clouds.WithInsecure(!*verify))
	}
	if from.info != nil {
		var text []byte
		if text, err = yaml.Marshal(map[string]any{"clouds": map[string]any{"task": map[string]any{"auth": from.info}}}); err != nil {
			return parsed, endpoint, nil, err
		}
		options = append(options, clouds.WithCloudName("task"), clouds.WithCloudsYAML(bytes.NewReader(text)))
	}
	// gophercloud 2.15 takes for granted that an entry of clouds.yaml has a section "auth".
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("the cloud %s has no section auth", from.Cloud)
		}
	}()
	parsed, endpoint, config, err = clouds.Parse(options...)
	if form := new(yaml.TypeError); errors.As(err, &form) {
		err = errors.New("it does not have the form of clouds.yaml") // the error quotes values
	}
	return parsed, endpoint, config, err
}

// complete fills in what openstackclient takes for granted, and drops what
// Keystone would refuse beside the method of authentication.
func complete(auth *gophercloud.AuthOptions, authType string) {
	auth.AllowReauth = false // the Cloud renews its token itself
	switch {
	case strings.HasSuffix(authType, "token") || authType == "" && auth.Password == "" && auth.TokenID != "":
		auth.Password, auth.ApplicationCredentialID, auth.ApplicationCredentialName = "", "", ""
		auth.Username, auth.UserID, auth.DomainID, auth.DomainName = "", "", "", ""
	case authType == "v3applicationcredential":
		auth.Password, auth.TokenID = "", ""
	case strings.HasSuffix(authType, "password"):
		auth.TokenID, auth.ApplicationCredentialID, auth.ApplicationCredentialName = "", "", ""
	}
	switch {
	case auth.UserID != "":
		auth.Username, auth.DomainID, auth.DomainName = "", "", ""
	case auth.Username != "":
		auth.DomainID, auth.DomainName = oneDomain(auth.DomainID, auth.DomainName)
	}
	if scope := auth.Scope; scope != nil && scope.ProjectName != "" {
		scope.DomainID, scope.DomainName = oneDomain(scope.DomainID, scope.DomainName)
	}
}

// oneDomain is what --os-default-domain of openstackclient does.
func oneDomain(id, name string) (string, string) {
	switch {
	case id != "":
		return id, ""
	case name != "":
		return "", name
	default:
		return "default", ""
	}
}
