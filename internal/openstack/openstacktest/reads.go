package openstacktest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/gjson"
)

// FailEachRead makes a call again and again, and lets another of its reads fail each
// time: the token refused, not allowed, broken, cut off. The call, which must succeed
// without, must fail then, and write nothing.
func FailEachRead(t *testing.T, cloud *Cloud, fails func(*testing.T) bool) {
	t.Helper()
	cloud.Requests()
	if fails(t) {
		t.Fatal("it fails without a fault")
	}
	var reads []string
	for _, request := range cloud.Requests() {
		if path, isRead := strings.CutPrefix(request, "GET "); isRead && !slices.Contains(reads, path) {
			reads = append(reads, path)
		}
	}
	if len(reads) == 0 {
		t.Fatal("it reads nothing")
	}
	for _, path := range reads {
		for _, status := range []int{0, 401, 403, 500} {
			t.Run(fmt.Sprint(path, " ", status), func(t *testing.T) {
				cloud.Fail(Failure{Method: "GET", Path: path, Status: status, Times: 100, Body: `{"error": {"message": "no"}}`})
				defer cloud.Do(cloud.Recover)
				if !fails(t) {
					t.Error("it takes it for nothing there")
				}
				if writes := Writes(cloud.Requests()); len(writes) > 0 {
					t.Errorf("it sent %v", writes)
				}
			})
		}
	}
	t.Logf("reads that were made to fail: %d", len(reads))
}

// outages are how a whole service, or a proxy before it, is out of order; nil: nobody
// listens there.
var outages = map[string]http.HandlerFunc{
	"refuses connections":      nil,
	"answers 503":              raw(503, "text/html", ""),
	"answers with a page":      raw(200, "text/html", "<html>It works!</html>"),
	"hangs until the deadline": hang,
}

// FailEachService makes a call that succeeds, and again with each service that it asks out
// of order in each way. It must fail then, change nothing, and be unknown. Each call has
// a cloud of its own, to which auth leads, and one second.
func FailEachService(t *testing.T, arrange func(*Cloud), call func(t *testing.T, auth map[string]any) gjson.Result,
	isUnknown func(gjson.Result) bool) {
	t.Helper()
	try := func(t *testing.T, service string, outage http.HandlerFunc) (answer gjson.Result, requests []string) {
		t.Helper()
		cloud := New()
		t.Cleanup(cloud.Close)
		arrange(cloud)
		auth := map[string]any{"auth_url": cloud.AuthURL(), "username": "admin", "password": Password, "project_name": "admin"}
		switch {
		case service == "":
		case outage != nil:
			cloud.Fail(Failure{Path: "/" + service + "/", Times: 999, Answer: outage})
		case service == "identity":
			auth["auth_url"] = nobody
		default:
			cloud.Nobody = service
		}
		return call(t, auth), cloud.Requests()
	}
	answer, requests := try(t, "", nil)
	if answer.Get("failed").Bool() || len(Writes(requests)) == 0 {
		t.Fatalf("without an outage: %s", answer)
	}
	services := map[string]bool{}
	for _, request := range requests {
		services[strings.Split(request, "/")[1]] = true
	}
	var all sync.WaitGroup // at once, since some wait their time
	for service := range services {
		for name, outage := range outages {
			all.Go(func() {
				t.Run(service+" "+name, func(t *testing.T) {
					answer, requests := try(t, service, outage)
					if !answer.Get("failed").Bool() || answer.Get("changed").Bool() || !isUnknown(answer) {
						t.Errorf("got %s", answer)
					}
					if writes := Writes(requests); len(writes) > 0 {
						t.Errorf("it sent %v", writes)
					}
				})
			})
		}
	}
	all.Wait()
	t.Logf("services out of order: %d, each in %d ways", len(services), len(outages))
}
