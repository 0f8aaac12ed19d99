package openstack

import (
	"crypto/tls"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"
)

// credentialsOf reads the credentials as Connect does.
func credentialsOf(auth Auth, env map[string]string) (credentials, error) {
	from, err := find(auth, func(name string) string { return env[name] })
	if err != nil {
		return credentials{}, err
	}
	return read(from, auth)
}

func TestTheEnvironmentIsReadAsOpenstackclientReadsIt(t *testing.T) {
	with := func(more map[string]string) map[string]string {
		env := map[string]string{"OS_AUTH_URL": "http://keystone/v3", "OS_USERNAME": "admin", "OS_PASSWORD": "pw", "OS_PROJECT_NAME": "p"}
		for name, value := range more {
			env[name] = value
		}
		return env
	}
	user := gophercloud.AuthOptions{IdentityEndpoint: "http://keystone/v3", Username: "admin", Password: "pw", TenantName: "p"}
	scoped := func(change func(*gophercloud.AuthOptions, *gophercloud.AuthScope)) gophercloud.AuthOptions {
		auth, scope := user, gophercloud.AuthScope{ProjectName: "p"}
		change(&auth, &scope)
		auth.Scope = &scope
		return auth
	}
	for _, test := range []struct {
		name string
		env  map[string]string
		want gophercloud.AuthOptions
	}{
		{"no domains: both are the default one", with(nil), scoped(func(a *gophercloud.AuthOptions, s *gophercloud.AuthScope) {
			a.DomainID, s.DomainID = "default", "default"
		})},
		{"a user's and a project's domain by name", with(map[string]string{"OS_USER_DOMAIN_NAME": "Users", "OS_PROJECT_DOMAIN_NAME": "Projects"}),
			scoped(func(a *gophercloud.AuthOptions, s *gophercloud.AuthScope) {
				a.DomainName, s.DomainName = "Users", "Projects"
			})},
		{"a mixture of names and ids", with(map[string]string{"OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_DOMAIN_ID": "default"}),
			scoped(func(a *gophercloud.AuthOptions, s *gophercloud.AuthScope) {
				a.DomainName, s.DomainID = "Default", "default"
			})},
		{"ids go before names", with(map[string]string{"OS_USER_DOMAIN_ID": "u", "OS_USER_DOMAIN_NAME": "Users", "OS_PROJECT_DOMAIN_ID": "p",
			"OS_PROJECT_DOMAIN_NAME": "Projects"}),
			scoped(func(a *gophercloud.AuthOptions, s *gophercloud.AuthScope) { a.DomainID, s.DomainID = "u", "p" })},
		{"a token, with the rest of an openrc beside it", map[string]string{
			"OS_AUTH_URL": "http://keystone/v3", "OS_TOKEN": "t", "OS_USERNAME": "admin", "OS_USER_DOMAIN_NAME": "Default", "OS_PROJECT_ID": "pid"},
			gophercloud.AuthOptions{IdentityEndpoint: "http://keystone/v3", TokenID: "t", TenantID: "pid",
				Scope: &gophercloud.AuthScope{ProjectID: "pid"}}},
		{"a token that the auth type asks for", with(map[string]string{"OS_TOKEN": "t", "OS_AUTH_TYPE": "v3token", "OS_PROJECT_DOMAIN_ID": "d"}),
			gophercloud.AuthOptions{IdentityEndpoint: "http://keystone/v3", TokenID: "t", TenantName: "p",
				Scope: &gophercloud.AuthScope{ProjectName: "p", DomainID: "d"}}},
		{"an application credential", map[string]string{
			"OS_AUTH_URL": "http://keystone/v3", "OS_AUTH_TYPE": "v3applicationcredential", "OS_APPLICATION_CREDENTIAL_ID": "id",
			"OS_APPLICATION_CREDENTIAL_SECRET": "s"},
			gophercloud.AuthOptions{IdentityEndpoint: "http://keystone/v3", ApplicationCredentialID: "id", ApplicationCredentialSecret: "s"}},
		{"an old openrc with a tenant", map[string]string{"OS_AUTH_URL": "http://keystone/v3", "OS_USERNAME": "admin", "OS_PASSWORD": "pw",
			"OS_TENANT_NAME": "p"},
			scoped(func(a *gophercloud.AuthOptions, s *gophercloud.AuthScope) {
				a.DomainID, s.DomainID = "default", "default"
			})},
		{"a user by id has no domain", map[string]string{
			"OS_AUTH_URL": "http://keystone/v3", "OS_USER_ID": "uid", "OS_USERNAME": "admin", "OS_PASSWORD": "pw", "OS_USER_DOMAIN_NAME": "Default",
			"OS_PROJECT_ID": "pid"},
			gophercloud.AuthOptions{IdentityEndpoint: "http://keystone/v3", UserID: "uid", Password: "pw", TenantID: "pid",
				Scope: &gophercloud.AuthScope{ProjectID: "pid"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := credentialsOf(Auth{}, test.env)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got.auth); diff != "" {
				t.Error(diff)
			}
			if got.tls.InsecureSkipVerify {
				t.Error("certificates are not verified")
			}
		})
	}
}

func TestAnEndpointIsChosenAsTheSourceSays(t *testing.T) {
	environment := map[string]string{"OS_AUTH_URL": "http://keystone/v3", "OS_USERNAME": "u", "OS_PASSWORD": "p", "OS_REGION_NAME": "R1",
		"OS_INTERFACE": "internal", "OS_INSECURE": "true"}
	verify := true
	for _, test := range []struct {
		name       string
		auth       Auth
		region     string
		interfaces []gophercloud.Availability
		insecure   bool
	}{
		{"the environment", Auth{}, "R1", []gophercloud.Availability{"internal"}, true},
		{"options go first", Auth{RegionName: "R2", Interface: "admin", ValidateCerts: &verify}, "R2", []gophercloud.Availability{"admin"},
			false},
		{"the option auth knows nothing of the environment", Auth{Auth: map[string]any{"auth_url": "http://keystone"}}, "",
			[]gophercloud.Availability{"public"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := credentialsOf(test.auth, environment)
			if err != nil {
				t.Fatal(err)
			}
			if got.region != test.region || !cmp.Equal(got.interfaces, test.interfaces) || got.tls.InsecureSkipVerify != test.insecure {
				t.Errorf("got region %q, interfaces %v, insecure %v", got.region, got.interfaces, got.tls.InsecureSkipVerify)
			}
		})
	}
}

func TestNovaConfGivesItsCredentials(t *testing.T) {
	const placement = "[placement]\nauth_url = http://keystone:5000\nusername = placement\npassword = pa$$word\nproject_name = " +
		"service\nuser_domain_name = Users\nproject_domain_id = d\nregion_name = R1\n"
	want := gophercloud.AuthOptions{
		IdentityEndpoint: "http://keystone:5000", Username: "placement", Password: "pa$word", DomainName: "Users", TenantName: "service",
		Scope: &gophercloud.AuthScope{ProjectName: "service", DomainID: "d"},
	}
	for _, test := range []struct {
		name, conf string
		interfaces []gophercloud.Availability
		insecure   bool
	}{
		{"of placement", placement, []gophercloud.Availability{"internal", "public"}, false},
		{"with interfaces in their order", placement + "valid_interfaces = admin, public\n", []gophercloud.Availability{"admin", "public"},
			false},
		{"without verification", placement + "insecure = True\n", []gophercloud.Availability{"internal", "public"}, true},
		{"of keystone_authtoken, where placement has none", "[placement]\nregion_name = R2\n" +
			strings.Replace(placement, "[placement]", "[keystone_authtoken]", 1),
			[]gophercloud.Availability{"internal", "public"}, false},
		{"of the section that auth_section names", strings.Replace(placement, "[placement]", "[service_user]", 1) +
			"[placement]\nauth_section = service_user\nregion_name = R1\n",
			[]gophercloud.Availability{"internal", "public"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := credentialsOf(Auth{NovaConf: write(t, "nova.conf", test.conf)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got.auth); diff != "" {
				t.Error(diff)
			}
			if got.region != "R1" || !cmp.Equal(got.interfaces, test.interfaces) || got.tls.InsecureSkipVerify != test.insecure {
				t.Errorf("got region %q, interfaces %v, insecure %v", got.region, got.interfaces, got.tls.InsecureSkipVerify)
			}
		})
	}
}

func TestTheCertificatesOfNovaConfGoBeforeThoseOfTheEnvironment(t *testing.T) {
	for option, variable := range map[string]string{"cafile": "OS_CACERT", "certfile": "OS_CERT", "keyfile": "OS_KEY"} {
		t.Run(option, func(t *testing.T) {
			t.Setenv(variable, "/of/the/environment")
			files := map[string]string{"certfile": write(t, "cert", ""), "keyfile": write(t, "key", "")}
			files[option] = "/of/nova.conf"
			conf := "[placement]\nauth_url = https://keystone\n"
			for name, path := range files {
				conf += name + " = " + path + "\n"
			}
			_, err := credentialsOf(Auth{NovaConf: write(t, "nova.conf", conf)}, nil)
			if err == nil || !strings.Contains(err.Error(), "/of/nova.conf") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// kolla-ansible's nova.conf names a bundle that only its container has, and keeps what is in it beside nova.conf.
func TestTheAuthoritiesBesideNovaConfAreTrusted(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for _, test := range []struct {
		name, cafile, beside string
		trusts               bool
	}{
		{"a bundle that only the container has", "/of/the/container.crt", ca, true},
		{"the host's bundle of that name", "/etc/ssl/certs/ca-certificates.crt", ca, true},
		{"no bundle", "", ca, true},
		{"none beside it", "", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			conf := write(t, "nova.conf", "[placement]\nauth_url = https://keystone\ncafile = "+test.cafile+"\n")
			if test.beside != "" {
				folder := filepath.Join(filepath.Dir(conf), "ca-certificates")
				if err := os.Mkdir(folder, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(folder, "own.crt"), []byte(test.beside), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			found, err := credentialsOf(Auth{NovaConf: conf}, nil)
			if err != nil {
				t.Fatal(err)
			}
			connection, err := tls.Dial("tcp", server.Listener.Addr().String(), found.tls)
			if err == nil {
				connection.Close()
			}
			if (err == nil) != test.trusts {
				t.Errorf("got %v", err)
			}
		})
	}
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCloudsYAMLIsReadByName(t *testing.T) {
	path := write(t, "clouds.yaml", "clouds:\n  lab:\n    auth: {auth_url: 'http://keystone', username: u, password: 12345678, "+
		"project_name: p}\n    region_name: R1\n    interface: internal\n    verify: false\n")
	t.Setenv("OS_CLIENT_CONFIG_FILE", path)
	t.Setenv("OS_REGION_NAME", "of another cloud")
	for name, from := range map[string]struct {
		auth Auth
		env  map[string]string
	}{"option": {auth: Auth{Cloud: "lab"}}, "environment": {env: map[string]string{"OS_CLOUD": "lab"}}} {
		got, err := credentialsOf(from.auth, from.env)
		if err != nil {
			t.Fatal(name, err)
		}
		if got.auth.Password != "12345678" || got.auth.DomainID != "default" || got.region != "R1" || got.interfaces[0] != "internal" ||
			!got.tls.InsecureSkipVerify {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestCredentialsThatCannotBeReadAreOneClearLine(t *testing.T) {
	broken := func(content string) string { return write(t, "clouds.yaml", content) }
	for _, test := range []struct {
		name   string
		auth   Auth
		env    map[string]string
		clouds string
		want   string
	}{
		{"none at all", Auth{}, nil, "", "no credentials: give cloud (its name in clouds.yaml), auth, or nova_conf (on a controller), or set " +
			"OS_CLOUD, or OS_AUTH_URL"},
		{"an auth type that is not there", Auth{}, map[string]string{"OS_AUTH_TYPE": "v3oidcpassword", "OS_AUTH_URL": "http://k"}, "",
			"OS_AUTH_TYPE must be one of: password, token"},
		{"a cloud that is not there", Auth{Cloud: "nolab"}, nil, broken("clouds: {}"), `cloud "nolab" not found in clouds.yaml`},
		{"a cloud without auth", Auth{Cloud: "lab"}, nil, broken("clouds: {lab: {auht: {password: hunter2}}}"),
			"the cloud lab has no section auth"},
		{"a clouds.yaml of another form", Auth{Cloud: "lab"}, nil, broken("clouds: {lab: {auth: hunter2}}"),
			"it does not have the form of clouds.yaml"},
		{"no clouds.yaml", Auth{Cloud: "lab"}, nil, "/no/such/clouds.yaml", "/no/such/clouds.yaml"},
		{"a value in auth that is no text", Auth{Auth: map[string]any{"auth_url": "http://k", "password": map[string]any{"x": "hunter2"}}}, nil,
			"", "argument 'auth' takes texts"},
		{"a certificate that is not there", Auth{Auth: map[string]any{"auth_url": "http://k"}, CACert: "/no/such/ca.pem"}, nil, "",
			"/no/such/ca.pem"},
		{"the nova.conf of a compute host", Auth{NovaConf: write(t, "nova.conf", "[DEFAULT]\nhost = x\n")}, nil, "",
			"neither [placement] nor [keystone_authtoken] has an auth_url"},
		{"a nova.conf that refers to nothing", Auth{NovaConf: write(t, "nova.conf", "[placement]\nauth_url = http://k\npassword = pa$hunter2\n")},
			nil, "", "read [placement]password of /"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv("OS_CLIENT_CONFIG_FILE", test.clouds)
			_, err := credentialsOf(test.auth, test.env)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %s", err, test.want)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("it tells a secret, or takes more than a line: %v", err)
			}
		})
	}
}
