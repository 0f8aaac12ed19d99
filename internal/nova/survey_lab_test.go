//go:build lab

package nova

import (
	"slices"
	"strings"
	"testing"

	"nova-orphan/internal/nova/novalab"
	"nova-orphan/internal/orphan"
)

// surveyedLab gives the picture of a cell1 in which each change was made to an instance of its own.
func surveyedLab(t *testing.T, changes map[string][]string) (*orphan.Picture, map[string]string) {
	t.Helper()
	lab := novalab.New(t)
	ctx, databases := openLab(t, lab, true)
	uuids := map[string]string{}
	for name, statements := range changes {
		uuid := "5555555" + string(rune('a'+len(uuids))) + "-0000-4000-8000-00000000000a"
		lab.NewInstance(t, uuid)
		for _, statement := range statements {
			novalab.Exec(t, lab.Cell1, statement, uuid)
		}
		uuids[name] = uuid
	}
	// What map_instances leaves where it was told to stop.
	novalab.Insert(t, lab.API, "instance_mappings", map[string]any{"instance_uuid": "55555550 0000 4000 8000 00000000000a",
		"project_id": "INSTANCE_MIGRATION_MARKER"})
	uuids["in capitals"] = "6666666f-0000-4000-8000-00000000000a"
	novalab.Insert(t, lab.Cell1, "instances", map[string]any{"uuid": strings.ToUpper(uuids["in capitals"]), "deleted": 0})
	novalab.Insert(t, lab.API, "instance_mappings", map[string]any{"instance_uuid": strings.ToUpper(uuids["in capitals"]), "cell_id": 2,
		"project_id": "project"})
	// One that Nova takes for deleted, one that it does not, and one that has no row.
	for name, uuid := range map[string]string{"queued": uuids["properly"], "queued and there": uuids["status NULL"], "queued and gone": ""} {
		if uuid == "" {
			uuid = "6666666e-0000-4000-8000-00000000000a"
			novalab.Insert(t, lab.API, "instance_mappings", map[string]any{"instance_uuid": uuid, "cell_id": 2, "project_id": "project"})
		}
		novalab.Exec(t, lab.API, "UPDATE instance_mappings SET queued_for_delete = 1 WHERE instance_uuid = ?", uuid)
		uuids[name] = uuid
	}
	picture := &orphan.Picture{}
	if err := databases.Survey(ctx, picture, nil); err != nil {
		t.Fatal(err)
	}
	for _, cell := range picture.Cells {
		if cell.Failure != "" {
			t.Fatalf("%s: %s", cell.Name, cell.Failure)
		}
	}
	return picture, uuids
}

func TestTheSurveyMissesNoRowForANULLOrATime(t *testing.T) {
	const deleted = "UPDATE instances SET deleted = id, deleted_at = '2026-01-02 03:04:05' WHERE uuid = ?"
	properly := []string{deleted}
	for _, part := range parts() {
		switch part.fate {
		case softDelete:
			properly = append(properly, "UPDATE "+part.table+" SET deleted = id WHERE "+part.key+" = ?")
		case remove:
			properly = append(properly, "DELETE FROM "+part.table+" WHERE "+part.key+" = ?")
		}
	}
	picture, uuids := surveyedLab(t, map[string][]string{
		"deleted NULL":         {"UPDATE instances SET deleted = NULL WHERE uuid = ?"},
		"status NULL":          {"UPDATE migrations SET status = NULL WHERE instance_uuid = ?"},
		"properly":             properly,
		"deleted in time":      append(slices.Clone(properly), "UPDATE instances SET deleted_at = '2999-01-01' WHERE uuid = ?"),
		"deleted never":        append(slices.Clone(properly), "UPDATE instances SET deleted_at = NULL WHERE uuid = ?"),
		"a child deleted NULL": append(slices.Clone(properly), "UPDATE instance_extra SET deleted = NULL WHERE instance_uuid = ?"),
	})
	cell := picture.Cells[slices.IndexFunc(picture.Cells, func(c orphan.CellPicture) bool { return c.Name == "cell1" })]
	for _, name := range []string{"deleted NULL", "in capitals", "status NULL"} {
		if !slices.ContainsFunc(cell.Instances, func(i orphan.Instance) bool { return i.UUID == uuids[name] }) {
			t.Errorf("%s: no row of %v", name, cell.Instances)
		}
	}
	for name, uuid := range uuids {
		want := slices.Contains([]string{"deleted in time", "deleted never", "a child deleted NULL"}, name)
		if got := slices.Contains(cell.HalfDeleted, uuid); got != want {
			t.Errorf("%s: half deleted is %t", name, got)
		}
	}
	if !slices.ContainsFunc(cell.Migrations, func(m orphan.MigrationPicture) bool { return m.Instance == uuids["status NULL"] }) {
		t.Errorf("migrations: got %v", cell.Migrations)
	}
	for name, uuid := range uuids {
		_, found := picture.Mappings[uuid]
		if deleted := uuid == uuids["queued"]; found == deleted || found && picture.Mappings[uuid].Cell != "2" {
			t.Errorf("%s: got mapping %v", name, picture.Mappings[uuid])
		}
	}
	if !slices.Equal(cell.Gone, []string{uuids["queued and gone"]}) {
		t.Errorf("got %v gone", cell.Gone)
	}
}
