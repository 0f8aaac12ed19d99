package openstack

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestANovaConfIsLookedForWhereItMayBe(t *testing.T) {
	folder := t.TempDir()
	one, other, none := filepath.Join(folder, "one"), filepath.Join(folder, "other"), filepath.Join(folder, "none")
	for _, path := range []string{one, other} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name   string
		given  any
		usual  []string
		want   any
		failed string
	}{
		{"the one that is there", "auto", []string{none, one}, one, ""},
		{"the one that is named", none, []string{one}, none, ""},
		{"none is there", "auto", []string{none}, nil, "this host has none of " + none + ": is it a controller? Say where"},
		{"two are there", "auto", []string{one, other}, nil, "this host has " + one + " and " + other + ": say which"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := findNovaConf(test.usual)(test.given)
			if got != test.want || (err == nil) != (test.failed == "") || err != nil && !strings.Contains(err.Error(), test.failed) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}
