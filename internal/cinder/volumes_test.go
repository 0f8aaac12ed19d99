package cinder_test

import (
	"io"
	"net/http"
	"testing"

	"nova-orphan/internal/cinder"
	"nova-orphan/internal/openstack"
	"nova-orphan/internal/openstack/openstacktest"
)

func TestAVolumeIsGoneOnlyIfCinderDoesNotKnowItByItsOwnID(t *testing.T) {
	for name, body := range map[string]string{
		"it takes no list of ids":     `{"volumes": []}`,
		"it does not filter":          `{"volumes": [{"id": "other", "status": "available", "attachments": []}]}`,
		"it tells half of the volume": `{"volumes": [{"id": "there"}]}`,
	} {
		cloud := openstacktest.NewInEnvironment(t)
		cloud.Do(func() { cloud.Volumes = []*openstacktest.Volume{{ID: "there", Status: "in-use"}} })
		client := cinder.New(openstacktest.Client(t, (*openstack.Cloud).BlockStorage))
		cloud.Fail(openstacktest.Failure{Path: "/volume/v3/volumes/detail", Times: 1, Answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, body)
		}})
		found, err := client.Volumes(t.Context(), "there", "gone")
		if err != nil || len(found) != 1 || found[0].ID != "there" || found[0].Status != "in-use" {
			t.Errorf("%s: got %+v, %v", name, found, err)
		}
		cloud.Fail(openstacktest.Failure{Path: "/volume/v3/volumes/gone", Status: http.StatusForbidden, Times: 1})
		if found, err := client.Volumes(t.Context(), "there", "gone"); err == nil || found != nil {
			t.Errorf("%s: one that is not shown is taken for gone: %+v", name, found)
		}
	}
}
