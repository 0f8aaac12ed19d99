package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

// planted are all secrets, by where they are. Some have characters that are
// written otherwise in a URL or in JSON.
var planted = map[string]string{
	"the option auth's password":        `planted/pass&word"1`,
	"the userinfo of auth_url":          "planted-userinfo-2",
	"an application credential":         "planted+credential=3",
	"nova.conf":                         "planted-in-nova-conf-4",
	"clouds.yaml":                       "planted-in-clouds-yaml-5 \u00e4",
	"the URL of a proxy":                "planted-proxy-6",
	"the token that keystone gives":     openstacktest.Token,
	"the token that replaces it":        openstacktest.Token + "-1",
	"the environment's unused password": "planted-unused-8",
}

// ways are those to give credentials, with what a service is sent of the secrets, or told.
var ways = map[string][]string{
	"auth":                   {"the option auth's password", "the userinfo of auth_url", "the URL of a proxy"},
	"application credential": {"an application credential"},
	"nova.conf":              {"nova.conf", "the userinfo of auth_url"},
	"clouds.yaml":            {"clouds.yaml"},
}

// give gives the module credentials in one of the ways.
func give(t *testing.T, how, authURL string) (options arguments, environment []string) {
	t.Helper()
	folder := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	withUserinfo := strings.Replace(authURL, "http://", "http://u:"+planted["the userinfo of auth_url"]+"@", 1)
	switch how {
	case "auth":
		return arguments{"auth": map[string]any{
			"auth_url": withUserinfo, "username": "u", "project_name": "p", "password": planted["the option auth's password"],
		}}, []string{"OS_PASSWORD=" + planted["the environment's unused password"]}
	case "application credential":
		return nil, []string{
			"OS_AUTH_URL=" + authURL, "OS_AUTH_TYPE=v3applicationcredential", "OS_APPLICATION_CREDENTIAL_ID=id",
			"OS_APPLICATION_CREDENTIAL_SECRET=" + planted["an application credential"],
		}
	case "nova.conf":
		conf := "[placement]\nauth_url = " + withUserinfo + "\nusername = u\nproject_name = p\npassword = " + planted["nova.conf"] + "\n"
		return arguments{"nova_conf": write("nova.conf", conf)}, nil
	}
	return arguments{"cloud": "lab"}, []string{"OS_CLIENT_CONFIG_FILE=" + write("clouds.yaml", fmt.Sprintf(
		"clouds: {lab: {auth: {auth_url: %q, username: u, project_name: p, password: %q}}}", authURL, planted["clouds.yaml"]))}
}

// target is a kind of request that a fault befalls.
type target struct{ service, method, path string }

var (
	toKeystone = target{"keystone", "POST", "/identity/v3/auth/tokens"}
	toRead     = target{"placement", "GET", "/placement/allocations/"}
	toNova     = target{"nova", "GET", "/compute/v2.1/servers/"}
	toWrite    = target{"placement", "PUT", "/placement/allocations/"}
)

// told is a fault, and what is said of it.
type told struct {
	openstacktest.Fault
	words []string
}

// faults are those of requests of this kind.
func (to target) faults(secrets []string) (all []told) {
	request := " to " + to.method + " http"
	says := func(status int, code string, words ...string) {
		all = append(all, told{openstacktest.Says(status, code, secrets...), words})
	}
	for _, fault := range openstacktest.Faults(secrets...) {
		words := fault.Told(to.service)
		if len(words) > 0 {
			words = append(words, request)
		}
		if to != toWrite || slices.Contains([]string{"does not answer", "hangs up", "sends elsewhere"}, fault.Name) {
			all = append(all, told{fault, words})
		}
	}
	switch to {
	case toNova: // of which a 404 is an answer
	case toWrite:
		for _, status := range []int{400, 401, 403, 404, 500, 502, 503, 504} {
			again := map[bool]string{true: "run the module again"}[status >= 500]
			says(status, "", fmt.Sprint("placement answered ", status), request, again)
		}
		says(409, "placement.undefined_code", "placement refuses")
		says(409, "placement.concurrent_update", "placement refuses", "run the module again")
	default:
		says(404, "", to.service+" answered 404", request)
	}
	return all
}

func TestNoFaultTellsASecretOrLeavesSomethingHalfDone(t *testing.T) {
	cases := map[string]func(*testing.T) ansibletest.FaultCase{}
	for how, sent := range ways {
		var secrets []string
		for _, where := range sent {
			secrets = append(secrets, planted[where])
		}
		for _, to := range []target{toKeystone, toRead, toNova, toWrite} {
			for _, fault := range to.faults(secrets) {
				cases[fmt.Sprint(to.service, " ", to.method, " ", fault.Name, ", ", how)] = func(t *testing.T) ansibletest.FaultCase {
					return removal(t, to, fault, how)
				}
			}
		}
	}
	ansibletest.RunFaults(t, cases)
	t.Logf("planted secrets: %d", len(planted))
}

// removal is one during a fault.
func removal(t *testing.T, to target, fault told, how string) ansibletest.FaultCase {
	t.Helper()
	cloud := openstacktest.New()
	t.Cleanup(cloud.Close)
	cloud.AddProvider("compute1", compute1, "", map[string]int{"VCPU": 8})
	cloud.Allocate(orphanUUID, compute1, map[string]int{"VCPU": 2})
	cloud.Secrets = slices.Collect(maps.Values(planted))
	cloud.Fail(openstacktest.Failure{Method: to.method, Path: to.path, Times: 99, Answer: fault.Answer})
	options, environment := give(t, how, cloud.AuthURL())
	all := arguments{"consumer": orphanUUID, "state": "absent"}
	maps.Copy(all, options)
	return ansibletest.FaultCase{
		Module: name, Options: all, Told: fault.words, Secrets: slices.Collect(maps.Values(planted)), Waits: fault.Hangs, Changed: true,
		Environment: append(environment, "HTTPS_PROXY=http://u:"+planted["the URL of a proxy"]+"@proxy.invalid:99999"),
		Recover:     func() { cloud.Do(cloud.Recover) },
		Failed: func(t *testing.T, answer gjson.Result) {
			if to == toNova && answer.Get("verdict").String() != "unknown" {
				t.Errorf("want the verdict unknown, got %s", answer)
			}
			writes := openstacktest.Writes(cloud.Requests())
			if answer.Get("changed").Bool() || len(writes) > maxWrites || to != toWrite && len(writes) > 0 {
				t.Errorf("%d writes, got %s", len(writes), answer)
			}
		},
	}
}

func TestCertificatesAreVerified(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	folder := t.TempDir()
	own := filepath.Join(folder, "own.pem")
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(own, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		url     string
		options arguments
		want    string
	}{
		{"a certificate of its own", secure.URL, nil, "keystone gave no usable answer to POST https://"},
		{"another authority", secure.URL, arguments{"ca_cert": otherAuthority(t, folder)}, "give the authority's certificate as ca_cert"},
		{"another host name", strings.Replace(secure.URL, "127.0.0.1", "localhost", 1), arguments{"ca_cert": own},
			"check the host name in the URL"},
		{"a file that holds no certificate", secure.URL, arguments{"ca_cert": filepath.Join(folder, "none.pem")}, "none.pem"},
		{"its own authority", secure.URL, arguments{"ca_cert": own}, "keystone answered 404"},
		{"verification that is turned off", secure.URL, arguments{"validate_certs": false}, "keystone answered 404"},
	} {
		t.Run(test.name, func(t *testing.T) {
			options := arguments{"consumer": orphanUUID, "timeout": 5, "auth": map[string]any{
				"auth_url": strings.Replace(test.url, "https://", "https://u:planted-userinfo-2@", 1), "username": "u", "password": "planted-pass-1",
				"project_name": "p",
			}}
			maps.Copy(options, test.options)
			answer := ansibletest.Start(t, name, options, nil).Failed(false, test.want)
			if strings.Contains(answer.String(), "planted") {
				t.Errorf("it tells a secret: %s", answer)
			}
		})
	}
}

// otherAuthority is the certificate of an authority that has signed nothing here.
func otherAuthority(t *testing.T, folder string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "other"}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(time.Hour),
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "other.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
