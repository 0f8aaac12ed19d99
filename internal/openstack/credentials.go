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
)

// A source is where the credentials come from. All but clouds.yaml itself are
// put in the form of its entries, so that one reader serves all.
type source struct {
	origin    string // as it stands in error texts
	cloudName string
	entry     *clouds.Cloud // nil: the entry cloudName of clouds.yaml
	authType  string
	region    string
	// interfaces are tried in this order; empty: as the entry says, else public.
	interfaces []string
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
		return source{origin: "clouds.yaml", cloudName: auth.Cloud}, nil
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
	return source{origin: "the option auth", entry: &clouds.Cloud{AuthInfo: info}}, nil
}

// read turns a source into credentials; options of the task go first.
func read(from source, auth Auth) (credentials, error) {
	parsed, endpoint, config, err := parse(from, auth)
	if err != nil {
		return credentials{}, fmt.Errorf("read credentials from %s: %w", from.origin, err)
	}
	complete(&parsed, cmp.Or(auth.AuthType, from.authType))
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
		clouds.WithCloudName(from.cloudName), clouds.WithRegion(cmp.Or(auth.RegionName, from.region)), clouds.WithEndpointType(auth.Interface),
	}
	for _, file := range []struct {
		path string
		with func(string) clouds.ParseOption
	}{{auth.CACert, clouds.WithCACertPath}, {auth.ClientCert, clouds.WithClientCertPath}, {auth.ClientKey, clouds.WithClientKeyPath}} {
		if file.path != "" {
			options = append(options, file.with(file.path))
		}
	}
	if auth.ValidateCerts != nil {
		options = append(options, clouds.WithInsecure(!*auth.ValidateCerts))
	}
	if from.entry != nil {
		var text []byte
		if text, err = yaml.Marshal(clouds.Clouds{Clouds: map[string]clouds.Cloud{"task": *from.entry}}); err != nil {
			return parsed, endpoint, nil, err
		}
		options = append(options, clouds.WithCloudName("task"), clouds.WithCloudsYAML(bytes.NewReader(text)))
		if from.entry.CACertFile != "" && auth.CACert == "" {
			options = append(options, clouds.WithCACertPath(from.entry.CACertFile))
		}
	}
	// gophercloud 2.15 takes for granted that an entry of clouds.yaml has a section "auth".
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("the cloud %s has no section auth", from.cloudName)
		}
	}()
	parsed, endpoint, config, err = clouds.Parse(options...)
	var form *yaml.TypeError
	if errors.As(err, &form) {
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
