package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"nova-orphan/internal/orphan"
)

// columns are the table's. They leave room for what ansible.builtin.debug puts around a line, in 120.
var columns = []struct {
	title string
	width int
}{{"FINDING", 25}, {"NAME", 16}, {"HOST", 14}, {"HELD", 14}, {"AGE", 5}, {"VERDICT", 8}, {"WAY OUT", 20}}

// table is what a terminal of 120 columns shows; see docs/audit.md.
func table(findings []orphan.Finding, now time.Time) []string {
	lines := []string{}
	if len(findings) == 0 {
		return lines
	}
	var titles []string
	for _, column := range columns {
		titles = append(titles, column.title)
	}
	lines = append(lines, line(titles))
	for _, f := range findings {
		way := cmp.Or(f.Method, "-")
		if f.Method == "" && f.Command != "" {
			way = "see its command"
		}
		lines = append(lines, line([]string{cmp.Or(string(f.Kind), "-"), cmp.Or(f.Name, f.UUID), cmp.Or(strings.Join(f.Hosts, ","), "-"),
			held(f.Resources), age(f.Since, now), string(f.Verdict), way}))
	}
	return lines
}

func line(cells []string) string {
	var text strings.Builder
	for i, cell := range cells {
		if i > 0 {
			text.WriteByte(' ')
		}
		runes := []rune(strings.Map(printable, cell))
		if width := columns[i].width; len(runes) > width {
			runes = append(runes[:width-1], '~')
		} else if i < len(cells)-1 {
			runes = append(runes, []rune(strings.Repeat(" ", width-len(runes)))...)
		}
		text.WriteString(string(runes))
	}
	return text.String()
}

// printable: a name is a user's, and must not move the terminal's cursor.
func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return '?'
	}
	return r
}

// held is in the units that people count in: "4c 8G 20G" are VCPUs, RAM and disk.
func held(resources map[string]int) string {
	var parts []string
	if n := resources["VCPU"] + resources["PCPU"]; n > 0 {
		parts = append(parts, fmt.Sprintf("%dc", n))
	}
	if n := resources["MEMORY_MB"]; n > 0 {
		parts = append(parts, size(n))
	}
	if n := resources["DISK_GB"]; n > 0 {
		parts = append(parts, fmt.Sprintf("%dG", n))
	}
	others := 0
	for class := range resources {
		if !slices.Contains([]string{"VCPU", "PCPU", "MEMORY_MB", "DISK_GB"}, class) {
			others++
		}
	}
	if others > 0 {
		parts = append(parts, fmt.Sprintf("+%d", others))
	}
	return cmp.Or(strings.Join(parts, " "), "-")
}

func size(mebibytes int) string {
	if mebibytes >= 1024 {
		return fmt.Sprintf("%dG", mebibytes/1024)
	}
	return fmt.Sprintf("%dM", mebibytes)
}

// age is how long ago that was, in the largest unit that it has one of.
func age(since *time.Time, now time.Time) string {
	if since == nil {
		return "-"
	}
	idle := now.Sub(*since)
	switch {
	case idle >= 48*time.Hour:
		return fmt.Sprintf("%dd", int(idle.Hours())/24)
	case idle >= 2*time.Hour:
		return fmt.Sprintf("%dh", int(idle.Hours()))
	}
	return fmt.Sprintf("%dm", max(0, int(idle.Minutes())))
}
