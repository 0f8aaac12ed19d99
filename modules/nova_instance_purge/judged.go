package main

import (
	"fmt"

	"nova-orphan/internal/ansible"
	"nova-orphan/internal/nova"
)

// judgedColumns are what the option judged_as compares.
var judgedColumns = []string{"updated_at", "vm_state", "task_state", "host"}

// judgedRows checks judged_as: of each instance all that is compared, as the module itself answers it.
// Whatever else is there is not looked at, so that it may be a whole answer's "instance"; that is
// null where no cell had a row.
func judgedRows(value any) (any, error) {
	rows := map[string]any{}
	for key, instance := range value.(map[string]any) {
		uuid, err := ansible.UUID(key)
		if err != nil {
			return nil, fmt.Errorf("takes a dictionary by the instances' UUIDs: %w", err)
		}
		if instance == nil {
			rows[uuid.(string)] = nil
			continue
		}
		given, _ := instance.(map[string]any)
		row := map[string]any{}
		for _, column := range judgedColumns {
			was, found := given[column]
			if was == nil {
				was = ""
			}
			text, isText := was.(string)
			switch {
			case !found:
				return nil, fmt.Errorf("takes for %s a dictionary with updated_at, vm_state, task_state and host, as this module answers them in "+
					"'instance': %s is missing", uuid, column)
			case !isText:
				return nil, fmt.Errorf("takes for %s texts, as this module answers them in 'instance': %s is none", uuid, column)
			}
			row[column] = text
		}
		rows[uuid.(string)] = row
	}
	return rows, nil
}

// rewritten says what is not any more as it was judged, nil if all is.
func rewritten(judged any, instance *nova.Instance) (reasons []string) {
	if instance == nil {
		return nil
	}
	row, _ := judged.(map[string]any)
	if row == nil {
		return []string{"it had no row when it was judged: judge it anew"}
	}
	now := map[string]string{
		"updated_at": instance.UpdatedAt, "vm_state": instance.VMState, "task_state": instance.TaskState, "host": instance.Host,
	}
	for _, column := range judgedColumns {
		if was := row[column].(string); was != now[column] {
			reasons = append(reasons, fmt.Sprintf("somebody wrote it since it was judged: instances.%s was %q, is %q: judge it anew",
				column, was, now[column]))
		}
	}
	return reasons
}
