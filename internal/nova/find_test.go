package nova

import (
	"context"
	"strings"
	"testing"
)

func TestAPanicWhereACellIsReadIsAnErrorAndNoAnswerOfThatCell(t *testing.T) {
	databases := Databases{cells: []Cell{{Name: "cell1"}, {Name: "cell2"}}}
	_, err := databases.inAllCells(t.Context(), func(_ context.Context, cell *Cell) error {
		if cell.Name == "cell2" {
			panic("at a row")
		}
		return nil
	})
	if err == nil || !strings.HasSuffix(err.Error(), "at a row") {
		t.Errorf("got %v", err)
	}
}
