//go:build lab

package main

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/nova/novalab"
)

// rows are those of tables, by column.
type rows = map[string][]map[string]string

// allowed are the differences between our deletion and a release's own, with their reasons.
var allowed = map[string]string{
	"cell1.instance_extra.updated_at": "Instance.save writes what it has there again, as it was",
	"cell1.share_mapping: only ours":  "nova-compute removes them from 2025.1 on when it reaps the domain, and finds by them what it unmounts",
	"cell1.instance_system_metadata vtpm_secret_uuid: only ours": "from 2025.1 on Nova deletes the vTPM's secret, and with it the " +
		"row that names it; we delete no secret, and tell of it",
	"cell1.instance_actions_events compute_deny_share: only Nova's": "what nova-compute did to the shares",
}

// leftAlone are the tables with an instance's uuid that neither Nova nor we touch at a deletion, with the reasons.
var leftAlone = map[string]string{
	"cell1.volume_usage_cache":  "what was used of volumes, for the usage that is billed",
	"api.request_specs":         "go when the instance is archived, with its mapping",
	"api.instance_group_member": "go when the instance is archived, with its mapping",
}

// unused are the columns for an instance's uuid that no code of these releases writes, or that belong to another service.
var unused = map[string]string{
	"cell1.consoles.instance_uuid":     "of nova-consoleauth, which is gone",
	"cell1.fixed_ips.instance_uuid":    "of nova-network, which is gone",
	"cell1.allocations.consumer_id":    "of Placement, which has a database of its own",
	"api.allocations.consumer_id":      "of Placement, which has a database of its own",
	"api.build_requests.instance_uuid": "there is none as soon as a cell has the instance",
}

func TestOurDeletionIsThatOfEachReleaseOfNova(t *testing.T) {
	seen := map[string]bool{}
	releases := novalab.Releases(t, "testdata/releases.json.bz2")
	for _, name := range slices.Sorted(maps.Keys(releases)) {
		t.Run(name, func(t *testing.T) {
			release := releases[name]
			lab := release.Load(t)
			deleteAndRestore(t, lab, release, "stuck", seen)
			novalab.Exec(t, lab.Cell1, "UPDATE instances SET deleted = 1, deleted_at = UTC_TIMESTAMP() WHERE uuid = ?", release.Orphan)
			deleteAndRestore(t, lab, release, "zombie", seen)
		})
	}
	for difference := range allowed {
		if !seen[difference] {
			t.Errorf("no release has the difference %q any more", difference)
		}
	}
	t.Logf("releases of Nova: %d", len(releases))
}

func deleteAndRestore(t *testing.T, lab *novalab.Databases, release novalab.Release, verdict string, seen map[string]bool) {
	t.Helper()
	uuid, before := release.Orphan, lab.Rows(t)
	expect := func(what string, changed bool, want rows, options map[string]any) gjson.Result {
		t.Helper()
		answer := call(t, lab.Conf, t.TempDir(), uuid, what == "check", options)
		if answer.Get("failed").Bool() || answer.Get("changed").Bool() != changed {
			t.Fatalf("%s, %s: %s", verdict, what, answer)
		}
		if diff := cmp.Diff(want, lab.Rows(t)); want != nil && diff != "" {
			t.Errorf("%s, %s: other rows: %s", verdict, what, diff)
		}
		return answer
	}
	if check := expect("check", true, before, nil); check.Get("verdict").String() != verdict {
		t.Errorf("it is not %s: %s", verdict, check)
	}
	backup := expect("purge", true, nil, nil).Get("backup_file").String()
	deleted := lab.Rows(t)
	for _, difference := range differences(release, deleted) {
		if seen[difference] = true; allowed[difference] == "" {
			t.Errorf("%s: Nova %s deletes otherwise: %s", verdict, release.Nova, difference)
		}
	}
	if diff := cmp.Diff(rowsOf(before, release.Neighbour), rowsOf(deleted, release.Neighbour)); diff != "" {
		t.Errorf("%s: the neighbour's rows: %s", verdict, diff)
	}
	expect("purge again", false, deleted, nil)
	expect("restore", true, before, map[string]any{"state": "present", "backup_file": backup})
	expectAllKnown(t, release, before, backup)
}

// differences names what the deletion has left otherwise than Nova's own did.
func differences(release novalab.Release, ours rows) (found []string) {
	for table := range ours {
		if strings.HasPrefix(table, "cell0.") {
			found = append(found, table+": only ours")
		}
	}
	for database, tables := range release.Databases {
		for name, content := range tables {
			table := database + "." + name
			if table == "api.cell_mappings" { // each test's own
				continue
			}
			novas, left := byKey(content.After), byKey(ours[table])
			for key, row := range left {
				if novas[key] == nil {
					found = append(found, table+what(row)+": only ours")
				}
				for column, value := range row {
					if nova := novas[key]; nova != nil && nova[column] != value && (nova[column] != "NOW" || !recent(value)) {
						found = append(found, table+"."+column)
					}
				}
			}
			for key, row := range novas {
				if left[key] == nil {
					found = append(found, table+what(row)+": only Nova's")
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// what tells the rows of a table apart that are of several kinds.
func what(row map[string]string) string { return strings.TrimRight(" "+row["key"]+row["event"], " ") }

func recent(value string) bool {
	at, err := time.Parse(time.DateTime, value)
	return err == nil && time.Since(at).Abs() < 10*time.Minute
}

// byKey is a table's rows by their id, or by all of them where there is none.
func byKey(table []map[string]string) map[string]map[string]string {
	keyed := map[string]map[string]string{}
	for _, row := range table {
		key, found := row["id"]
		if !found {
			key = fmt.Sprint(row)
		}
		keyed[key] = row
	}
	return keyed
}

// rowsOf are those that name an instance.
func rowsOf(all rows, uuid string) rows {
	found := rows{}
	for table, content := range all {
		for _, row := range content {
			if slices.Contains(slices.Collect(maps.Values(row)), uuid) {
				found[table] = append(found[table], row)
			}
		}
	}
	return found
}

// namesAnInstance matches the definition of a column, or a foreign key on one, that does.
var namesAnInstance = regexp.MustCompile("(?m)^ *`(\\w*instance_uuid|server_\\w+|consumer_id|resource_id)` |" +
	"FOREIGN KEY \\(`(\\w+)`\\) REFERENCES `instances`")

// expectAllKnown expects each row that names the instance to be in the backup, hence judged, and one in each column that may.
func expectAllKnown(t *testing.T, release novalab.Release, before rows, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]gjson.Result{"cell1": gjson.GetBytes(content, "data.cell_tables"), "api": gjson.GetBytes(content, "data.api_tables")}
	named := rowsOf(before, release.Orphan)
	for table, content := range named {
		database, name, _ := strings.Cut(table, ".")
		if saved := known[database].Get(name + ".rows.#").Int(); leftAlone[table] == "" && int(saved) != len(content) {
			t.Errorf("%s has %d rows of the instance, and we know %d", table, len(content), saved)
		}
	}
	for database, tables := range release.Databases {
		for name, content := range tables {
			for _, column := range namesAnInstance.FindAllStringSubmatch(content.Create, -1) {
				column, table := column[1]+column[2], database+"."+name
				named := slices.ContainsFunc(named[table], func(row map[string]string) bool { return row[column] == release.Orphan })
				if !named && !strings.HasPrefix(name, "shadow_") && unused[table+"."+column] == "" {
					t.Errorf("%s.%s can name an instance, and the fixture has no row that does", table, column)
				}
			}
		}
	}
}
