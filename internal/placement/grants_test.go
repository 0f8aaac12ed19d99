//go:build !lab

package placement_test

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
	grants, err := os.ReadFile("testdata/grants.sql")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(document), "```sql\n"+string(grants)+"```\n") {
		t.Error("SECURITY.md does not have the statements of testdata/grants.sql")
	}
}
