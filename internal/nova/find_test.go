package nova

import (
	"context"
	"database/sql"
	"strings"
	"testing"
)

func TestAPanicWhereACellIsReadIsAnErrorAndNoAnswerOfThatCell(t *testing.T) {
	second := &sql.DB{}
	databases := &Databases{cells: []Cell{{Name: "cell1", db: &sql.DB{}}, {Name: "cell2", db: second}}}
	answers, _, err := inAllCells(t.Context(), databases, func(_ context.Context, cell *sql.DB) (string, error) {
		if cell == second {
			panic("at a row")
		}
		return "read", nil
	})
	if err == nil || !strings.HasSuffix(err.Error(), "at a row") || answers[0] != "read" || answers[1] != "" {
		t.Errorf("got %v, %v", answers, err)
	}
}

func TestRowsAreOfAnInstanceAsTheColumnsCollationSaysSo(t *testing.T) {
	table := Table{Rows: []Row{text("uuid", "6695eb01"), text("uuid", "6695EB01 "), text("uuid", "7795eb01"), {"uuid": {Null: true}}}}
	if got := table.of("uuid", "6695eb01").Rows; len(got) != 2 {
		t.Errorf("got %v", got)
	}
	if got := table.of("uuid", "").Rows; len(got) > 0 {
		t.Errorf("NULL is taken for the empty text: %v", got)
	}
}
