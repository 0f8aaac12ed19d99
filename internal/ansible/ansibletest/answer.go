package ansibletest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// judge says what is wrong with what a module has printed, to both of its streams, and with its exit status.
func judge(output []byte, status int) error {
	line, rest, found := bytes.Cut(output, []byte("\n"))
	var object map[string]any
	switch {
	case !found || len(rest) > 0:
		return errors.New("it is not one line")
	case json.Unmarshal(line, &object) != nil:
		return errors.New("it is not one JSON object")
	case bytes.ContainsFunc(line, func(r rune) bool { return r >= 0x7f }):
		return errors.New("it is not ASCII")
	case bytes.Contains(line, []byte("changed=")):
		return errors.New("it says changed=, which molecule takes for a change")
	}
	for key := range object {
		// An rc other than 0 is a failure to Ansible; what begins with _ansible it acts on, or prints, by release.
		if key == "rc" || strings.HasPrefix(key, "_ansible") {
			return errors.New("it has Ansible's own key " + key)
		}
	}
	if failed := object["failed"] == true; failed != (status == 1) || status < 0 || status > 1 {
		return fmt.Errorf("failed is %v and the exit status %d", failed, status)
	}
	return nil
}

// kinds are the keys under which an answer has an entry for each element, each with the key that says whose it is.
var kinds = map[string]string{"instances": "instance_uuid", "consumers": "consumer", "domains": "uuid", "services": "host"}

// Only gives the answer of a call for one element with what it says of that element
// beside what it says of the call, and the element's sides of the diff. An answer for
// several, or for none, stays as it is.
func Only(answer []byte) []byte {
	var whole map[string]json.RawMessage
	if json.Unmarshal(answer, &whole) != nil {
		return answer
	}
	for kind, id := range kinds {
		var entries []map[string]json.RawMessage
		if json.Unmarshal(whole[kind], &entries) != nil || len(entries) != 1 {
			continue
		}
		for key, value := range entries[0] {
			if _, known := whole[key]; !known {
				whole[key] = value
			}
		}
		var element string
		var diff map[string]map[string]json.RawMessage
		if json.Unmarshal(entries[0][id], &element) == nil && json.Unmarshal(whole["diff"], &diff) == nil {
			sides := map[string]json.RawMessage{"before": diff["before"][element], "after": diff["after"][element]}
			whole["diff"], _ = json.Marshal(sides)
		}
	}
	flat, _ := json.Marshal(whole) // it was JSON
	return flat
}
