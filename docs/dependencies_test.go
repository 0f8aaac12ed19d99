package docs_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTheArchitectureGivesAReasonForEachDirectDependencyAndNoOther(t *testing.T) {
	output, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatalf("read go.mod: %v", err)
	}
	var module struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err = json.Unmarshal(output, &module); err != nil {
		t.Fatalf("read go.mod: %v", err)
	}
	var direct, listed []string
	for _, required := range module.Require {
		if !required.Indirect {
			direct = append(direct, required.Path)
		}
	}
	text, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Dependencies")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, row := range regexp.MustCompile(`(?m)^\| ([^ |]*[./][^ |]*) \|`).FindAllStringSubmatch(section, -1) {
		listed = append(listed, row[1])
	}
	slices.Sort(listed)
	if !slices.Equal(direct, listed) {
		t.Errorf("go.mod requires\n%q\nARCHITECTURE.md lists\n%q", direct, listed)
	}
}
