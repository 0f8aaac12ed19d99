package orphan

import (
	"fmt"
	"strings"
)

// Refusal is why nothing is done: all reasons at once.
type Refusal []string

func (r Refusal) Error() string { return "refused: " + strings.Join(r, "; ") }

// Add adds a reason.
func (r *Refusal) Add(format string, values ...any) { *r = append(*r, fmt.Sprintf(format, values...)) }
