package openstack

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzKeystone holds Connect to this: whatever Keystone answers, there is an error
// of one line, or a cloud whose endpoints can be asked for.
func FuzzKeystone(f *testing.F) {
	for _, body := range []string{
		`{"token": {"expires_at": "2099-01-01T00:00:00.000000Z", "catalog": [{"type": "placement", "endpoints": [{"interface": "public", "region_id": "R", "url": "http://127.0.0.1:8778"}]}]}}`,
		`{"token": {"catalog": [{"type": "placement", "endpoints": null}]}}`, `{"token": {"catalog": {}}}`, `{"token": null}`, `{"token": {}}`,
		`{"error": {"message": "no", "code": 401}}`, `[]`, `null`, ``,
		`{"token": {"catalog": [{"type": "placement", "endpoints": [{"interface": "public", "url": "::"}]}]}}`,
	} {
		f.Add(201, []byte(body))
		f.Add(401, []byte(body))
	}
	var status int
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Subject-Token", "token")
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	f.Cleanup(server.Close)
	// Each Connect has connections of its own; they must not add up.
	server.Config.SetKeepAlivesEnabled(false)
	f.Fuzz(func(t *testing.T, answer int, text []byte) {
		// 429 and those above 500 are repeated, with pauses.
		if answer < 200 || answer == 204 || answer == 304 || answer == 429 || answer > 500 {
			return
		}
		status, body = answer, text
		auth := Auth{Auth: map[string]any{"auth_url": server.URL + "/v3", "username": "u", "password": "planted-secret", "project_name": "p"}}
		cloud, err := Connect(t.Context(), auth, func(...string) {})
		if err == nil {
			_, err = cloud.Placement()
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("an error of more than a line: %q", err)
		}
	})
}

// FuzzCredentials holds the readers of clouds.yaml, of the option auth and of
// nova.conf to this: there is an error that tells no secret, or there are credentials.
func FuzzCredentials(f *testing.F) {
	for _, text := range []string{
		"clouds: {lab: {auth: {auth_url: 'http://k', username: u, password: planted-secret}}}",
		"clouds: {lab: {auth: {auth_url: 'http://k', token: planted-secret}, verify: false, cacert: /no/such}}",
		"clouds: {lab: {auth: planted-secret}}", "clouds: {lab: [planted-secret]}", "clouds: [planted-secret]",
		"clouds:\n  lab: &a\n    auth: *a\n",
		`{"auth_url": "http://k", "password": "planted-secret"}`, `{"auth_url": "http://u:planted-secret@k", "username": ["planted-secret"]}`,
		"[placement]\nauth_url = http://k\npassword = planted-secret\n", "[placement\nplanted-secret\n",
		"[placement]\nauth_url = $a\na = ${auth_url}\npassword = planted-secret\n",
	} {
		f.Add(text)
	}
	folder := f.TempDir()
	clouds, conf := filepath.Join(folder, "clouds.yaml"), filepath.Join(folder, "nova.conf")
	f.Setenv("OS_CLIENT_CONFIG_FILE", clouds)
	f.Fuzz(func(t *testing.T, text string) {
		for _, path := range []string{clouds, conf} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		ways := []Auth{{Cloud: "lab"}, {NovaConf: conf}}
		var option map[string]any
		if json.Unmarshal([]byte(text), &option) == nil && option != nil {
			ways = append(ways, Auth{Auth: option})
		}
		start := time.Now()
		for _, auth := range ways {
			from, err := find(auth, func(string) string { return "" })
			if err == nil {
				_, err = read(from, auth)
			}
			if err != nil && strings.Contains(err.Error(), "planted-secret") {
				t.Errorf("it tells a secret: %v", err)
			}
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}
