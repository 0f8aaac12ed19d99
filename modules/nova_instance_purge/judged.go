package main

import (
	"errors"
	"fmt"

	"nova-orphan/internal/nova"
)

// judgedColumns are what the option judged_as compares.
var judgedColumns = []string{"updated_at", "vm_state", "task_state", "host"}

// isJudgement checks judged_as: all that is compared, as the module itself answers it.
// Whatever else is there is not looked at, so that it may be a whole answer's "instance".
func isJudgement(value any) (any, error) {
	given, _ := value.(map[string]any)
	judged := map[string]any{}
	for _, column := range judgedColumns {
		was, found := given[column]
		if !found {
			return nil, fmt.Errorf("takes a dictionary with updated_at, vm_state, task_state and host, as this module answers them in 'instance': "+
				"%s is missing", column)
		}
		if was == nil {
			was = ""
		}
		if _, ok := was.(string); !ok {
			return nil, errors.New("takes texts, as this module answers them in 'instance': " + column + " is none")
		}
		judged[column] = was
	}
	return judged, nil
}

// rewritten says what is not any more as it was judged, nil if all is.
func rewritten(judged map[string]any, instance *nova.Instance) (reasons []string) {
	if judged == nil || instance == nil {
		return nil
	}
	now := map[string]string{
		"updated_at": instance.UpdatedAt, "vm_state": instance.VMState, "task_state": instance.TaskState, "host": instance.Host,
	}
	for _, column := range judgedColumns {
		if was := judged[column].(string); was != now[column] {
			reasons = append(reasons, fmt.Sprintf("somebody wrote it since it was judged: instances.%s was %q, is %q: judge it anew",
				column, was, now[column]))
		}
	}
	return reasons
}
