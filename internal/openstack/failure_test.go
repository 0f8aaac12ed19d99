package openstack

import "testing"

func TestARequestBelongsToTheServiceOfTheLongestEndpointThatItBeginsWith(t *testing.T) {
	cloud := Cloud{services: map[string]string{
		"https://cloud/": "keystone", "https://cloud/compute/v2.1/": "nova", "https://cloud/compute/": "placement", "https://other/": "cinder",
	}}
	for address, want := range map[string]string{
		"https://cloud/v3/auth/tokens":         "keystone",
		"https://cloud/compute/v2.1/servers/x": "nova",
		"https://cloud/compute/allocations/x":  "placement",
		"https://other/v3/volumes":             "cinder",
		"https://nowhere/":                     "keystone",
	} {
		for range 50 { // the order of a map is another each time
			if got := cloud.service(address); got != want {
				t.Errorf("%s: got %s, want %s", address, got, want)
				break
			}
		}
	}
}
