package ansibletest

import "encoding/json"

// Only gives the answer of a call for one element with what it says of that element
// beside what it says of the call, and the element's sides of the diff. An answer for
// several, or for none, stays as it is.
func Only(answer []byte) []byte {
	var whole map[string]json.RawMessage
	if json.Unmarshal(answer, &whole) != nil {
		return answer
	}
	for kind, id := range map[string]string{"instances": "instance_uuid", "consumers": "consumer", "domains": "uuid", "services": "host"} {
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
	flat, err := json.Marshal(whole)
	if err != nil {
		return answer
	}
	return flat
}
