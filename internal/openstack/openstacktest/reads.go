package openstacktest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
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
