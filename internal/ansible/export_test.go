package ansible

import "time"

// SetGrace sets how long a module may take to come back after its deadline.
func SetGrace(seconds time.Duration) { grace = seconds }
