package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack/openstacktest"
)

// fault is what befalls every request of a kind, in each way of giving credentials.
type fault struct {
	name         string
	method, path string
	answer       http.HandlerFunc
	words        []string
	// refusing says that it ends as a refusal, since it cannot be told what is alive.
	refusing bool
}

// waits says that it ends when the module's time is up.
func (f fault) waits() bool { return slices.Contains(f.words, "deadline") }

const (
	keystonePath  = "/identity/v3/auth/tokens"
	placementPath = "/placement/allocations/"
	novaPath      = "/compute/v2.1/servers/"
)

// says answers with a status, and with words that hold every secret it was sent
// and was told of, as a debugging service might.
func (c *faultyCloud) says(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		message := fmt.Sprintf("debug: %s %s %s", strings.Join(c.secrets, " "), r.Header.Get("X-Auth-Token"), r.Header.Get("Authorization"))
		body, _ := json.Marshal(map[string]any{
			"error": map[string]any{"message": message}, "errors": []any{map[string]any{"code": code, "detail": message}},
		})
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}
}

func raw(kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, body)
	}
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func cutBefore(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// cutWithin sends the headers, and half of a body.
func cutWithin(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"allocations": {`)
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// stall sends the headers, half of a body, and nothing more.
func stall(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"allocations": {`)
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// flood answers without end.
func flood(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"allocations": "`)
	for chunk := bytes.Repeat([]byte("x"), 1<<20); r.Context().Err() == nil; {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func (c *faultyCloud) sendOn(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Location", strings.Replace(c.elsewhere.URL, "http://", "http://"+url.UserPassword("u", c.secrets[0]).String()+"@",
		1)+"/v3")
	w.WriteHeader(http.StatusTemporaryRedirect)
}

func (c *faultyCloud) faults() []fault {
	var all []fault
	add := func(name, method, path string, answer http.HandlerFunc, words ...string) {
		all = append(all, fault{name: name, method: method, path: path, answer: answer, words: words})
	}
	for _, service := range []struct{ name, method, path string }{
		{"keystone", "POST", keystonePath}, {"placement", "GET", placementPath}, {"nova", "GET", novaPath},
	} {
		told := service.name + " answered %d"
		request := " to " + service.method + " http"
		for _, status := range []int{401, 403, 409, 429, 500, 502, 503, 504} {
			add(fmt.Sprint(service.name, " answers ", status), service.method, service.path, c.says(status, ""), fmt.Sprintf(told, status), request)
		}
		if service.name != "nova" { // of which it is an answer
			add(service.name+" answers 404", service.method, service.path, c.says(404, ""), fmt.Sprintf(told, 404), request)
		}
		lost := service.name + " gave no usable answer"
		add(service.name+" does not answer", service.method, service.path, hang, lost, request, "deadline")
		add(service.name+" hangs up", service.method, service.path, cutBefore, lost, request, "EOF")
		add(service.name+" hangs up in the middle", service.method, service.path, cutWithin, lost, request, "status 20", "unexpected EOF")
		add(service.name+" stalls in the middle", service.method, service.path, stall, lost, request, "status 20", "deadline")
		add(service.name+" answers without end", service.method, service.path, flood, lost, request, "more than 32 MiB")
		add(service.name+" answers with a page", service.method, service.path, raw("text/html", "<html>It works!</html>"), lost, request,
			`status 200, but "text/html" instead of JSON`)
		add(service.name+" answers with nothing", service.method, service.path, raw("application/json", ""), lost, request,
			"status 200, but an empty answer")
		add(service.name+" answers with what is not JSON", service.method, service.path, raw("application/json", "{'a': 1}"), lost, request,
			"status 200, but an answer that calls itself JSON and is not")
		add(service.name+" sends elsewhere", service.method, service.path, c.sendOn, fmt.Sprintf(told, 307), request,
			"it sends on to "+c.elsewhere.URL, "the token is not carried there")
	}
	for i := range all {
		all[i].refusing = strings.HasPrefix(all[i].name, "nova")
	}
	put := func(name string, answer http.HandlerFunc, words ...string) {
		add("placement "+name+" to the write", "PUT", placementPath, answer, words...)
	}
	for _, status := range []int{400, 401, 403, 404} {
		put(fmt.Sprint("answers ", status), c.says(status, ""), fmt.Sprintf("placement answered %d", status), " to PUT http")
	}
	for _, status := range []int{500, 502, 503, 504} {
		put(fmt.Sprint("answers ", status), c.says(status, ""), fmt.Sprintf("placement answered %d", status), " to PUT http",
			"run the module again")
	}
	put("says that there is no room", c.says(409, "placement.undefined_code"), "placement refuses")
	put("says that others write", c.says(409, "placement.concurrent_update"), "placement refuses", "run the module again")
	put("gives no answer", hang, "placement gave no usable answer to PUT http", "deadline")
	put("hangs up", cutBefore, "placement gave no usable answer to PUT http", "EOF")
	put("sends elsewhere", c.sendOn, "placement answered 307", "the token is not carried there")
	return all
}

// faultyCloud is the fake cloud, with secrets planted wherever there is a place for one.
type faultyCloud struct {
	*openstacktest.Cloud
	elsewhere *httptest.Server
	// misled counts requests that came elsewhere.
	misled  atomic.Int32
	secrets []string
	folder  string
}

func newFaultyCloud(t *testing.T) *faultyCloud {
	t.Helper()
	c := &faultyCloud{Cloud: openstacktest.New(), folder: t.TempDir()}
	t.Cleanup(c.Close)
	c.elsewhere = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { c.misled.Add(1) }))
	t.Cleanup(c.elsewhere.Close)
	c.AddProvider("compute1", compute1, "", map[string]int{"VCPU": 8})
	return c
}

// way is a way to give credentials, with the secrets in it.
type way struct {
	options     arguments
	environment []string
	secrets     []string
}

// planted are all secrets, by where they are. Some have characters that are
// written otherwise in a URL or in JSON.
func planted() map[string]string {
	return map[string]string{
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
}

func (c *faultyCloud) ways(t *testing.T) map[string]way {
	t.Helper()
	secret := planted()
	write := func(name, content string) string {
		path := filepath.Join(c.folder, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	withUserinfo := strings.Replace(c.AuthURL(), "http://", "http://u:"+secret["the userinfo of auth_url"]+"@", 1)
	entry := fmt.Sprintf("clouds: {lab: {auth: {auth_url: %q, username: u, project_name: p, password: %q}}}", c.AuthURL(),
		secret["clouds.yaml"])
	conf := fmt.Sprintf("[placement]\nauth_url = %s\nusername = u\nproject_name = p\npassword = %s\n", withUserinfo, secret["nova.conf"])
	ways := map[string]way{
		"auth": {
			options: arguments{"auth": map[string]any{
				"auth_url": withUserinfo, "username": "u", "project_name": "p", "password": secret["the option auth's password"],
			}},
			environment: []string{"OS_PASSWORD=" + secret["the environment's unused password"]},
			secrets:     []string{secret["the option auth's password"], secret["the userinfo of auth_url"], secret["the URL of a proxy"]},
		},
		"application credential": {
			environment: []string{
				"OS_AUTH_URL=" + c.AuthURL(), "OS_AUTH_TYPE=v3applicationcredential", "OS_APPLICATION_CREDENTIAL_ID=id",
				"OS_APPLICATION_CREDENTIAL_SECRET=" + secret["an application credential"],
			},
			secrets: []string{secret["an application credential"]},
		},
		"nova.conf": {
			options: arguments{"nova_conf": write("nova.conf", conf)},
			secrets: []string{secret["nova.conf"], secret["the userinfo of auth_url"]},
		},
		"clouds.yaml": {
			options: arguments{"cloud": "lab"}, environment: []string{"OS_CLIENT_CONFIG_FILE=" + write("clouds.yaml", entry)},
			secrets: []string{secret["clouds.yaml"]},
		},
	}
	c.Secrets = slices.Collect(maps.Values(secret))
	return ways
}

func TestNoFaultTellsASecretOrLeavesSomethingHalfDone(t *testing.T) {
	var searched, masked atomic.Int32
	faults := (&faultyCloud{elsewhere: httptest.NewUnstartedServer(nil)}).faults()
	// Those that wait for a deadline do so all at once; of the others no more run than leave these the processor.
	var all sync.WaitGroup
	places := make(chan struct{}, 2*runtime.GOMAXPROCS(0))
	ways := newFaultyCloud(t).ways(t)
	for i := range faults {
		for how := range ways {
			all.Go(func() {
				if !faults[i].waits() {
					places <- struct{}{}
					defer func() { <-places }()
				}
				t.Run(faults[i].name+", "+how, func(t *testing.T) {
					c := newFaultyCloud(t)
					given := c.ways(t)[how]
					c.secrets = given.secrets
					output := c.suffer(t, given, c.faults()[i])
					searched.Add(1)
					if strings.Contains(output, "********") {
						masked.Add(1)
					}
				})
			})
		}
	}
	all.Wait()
	if masked.Load() < int32(len(faults)) {
		t.Errorf("only %d of %d outputs had a secret to mask: the services do not tell them", masked.Load(), searched.Load())
	}
	t.Logf("faults of keystone, placement and nova: %d", len(faults))
	t.Logf("planted secrets: %d, searched for in %d outputs and their backups, of which %d had one to mask", len(planted()), searched.Load(),
		masked.Load())
}

// suffer calls the module with the fault, and again without it.
func (c *faultyCloud) suffer(t *testing.T, given way, f fault) string {
	t.Helper()
	c.Do(func() { c.Release(orphanUUID); c.Allocate(orphanUUID, compute1, map[string]int{"VCPU": 2}) })
	c.Fail(openstacktest.Failure{Method: f.method, Path: f.path, Times: 99, Answer: f.answer})
	// What it tells of the last try must not be that time was up, on a busy machine either.
	timeout := 60
	if f.waits() {
		timeout = 3
	}
	options := arguments{
		"consumer": orphanUUID, "state": "absent", "backup_dir": filepath.Join(c.folder, "backups"), "timeout": timeout,
		"_ansible_verbosity": 4, "_ansible_debug": true, "_ansible_diff": true,
	}
	maps.Copy(options, given.options)
	environment := append(slices.Clone(given.environment), "PATH="+os.Getenv("PATH"), "HOME="+c.folder,
		"HTTPS_PROXY=http://u:"+planted()["the URL of a proxy"]+"@proxy.invalid:99999")
	c.Requests()
	answer := ansibletest.Start(t, name, options, environment).Failed(false, f.words...)
	if f.refusing && answer.Get("verdict").String() != "unknown" {
		t.Errorf("want the verdict unknown, got %s", answer)
	}
	requests := strings.Join(c.Requests(), "\n")
	output := answer.String() + answer.Get("msg").String() + c.written(t)
	for where, secret := range planted() {
		if strings.Contains(output, secret) {
			t.Errorf("it tells the secret of %s: %s", where, output)
		}
	}
	if strings.Contains(answer.Get("msg").String(), "\n") {
		t.Errorf("the message takes more than a line: %s", answer)
	}
	if c.misled.Load() > 0 {
		t.Error("it followed to another host")
	}
	if n := strings.Count(requests, "PUT"); n > maxWrites || f.method != "PUT" && n > 0 {
		t.Errorf("%d writes", n)
	}

	c.Do(c.Recover)
	options["timeout"] = 60
	ansibletest.Start(t, name, options, environment).Done(true)
	return output
}

// written is all that the module has written down.
func (c *faultyCloud) written(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(c.folder, "backups", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(content)
	}
	return all.String()
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
