//go:build !lab

package main

import (
	"os"
	"strings"
	"testing"
)

func TestTheDocumentedAccessIsTheTestedOne(t *testing.T) {
	document, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile("testdata/acl/50-nova-orphan.rules")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(document), "```js\n"+string(rules)+"```\n") {
		t.Error("SECURITY.md does not have the rules of testdata/acl/50-nova-orphan.rules")
	}
}
