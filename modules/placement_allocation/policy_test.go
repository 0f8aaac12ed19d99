//go:build !lab

package main

import (
	"os"
	"strings"
	"testing"
)

func TestTheDocumentedPolicyIsTheTestedOne(t *testing.T) {
	document, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"placement", "nova"} {
		rules, err := os.ReadFile("testdata/policy/" + service + ".rules")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(document), "```yaml\n# "+service+"\n"+string(rules)+"```\n") {
			t.Errorf("SECURITY.md does not have the rules of testdata/policy/%s.rules", service)
		}
	}
}
