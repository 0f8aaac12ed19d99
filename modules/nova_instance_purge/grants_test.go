//go:build !lab

package main

import (
	"os"
	"strings"
	"testing"
)

func TestTheDocumentedGrantsAreTheTestedOnes(t *testing.T) {
	document, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	grants, err := os.ReadFile(grantsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(document), "```sql\n"+string(grants)+"```\n") {
		t.Errorf("SECURITY.md does not have the statements of %s", grantsFile)
	}
}
