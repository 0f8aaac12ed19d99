package nova

import (
	"fmt"
	"strconv"
	"time"

	"nova-orphan/internal/osloconf"
)

// ServiceDownTime reads from a nova.conf after how long without a report a service counts as down: 60 s by default
// (nova/conf/service.py service_down_time).
func ServiceDownTime(path string) (time.Duration, error) {
	conf, err := osloconf.Load(path)
	if err != nil {
		return 0, err
	}
	text, err := conf.Get("DEFAULT", "service_down_time")
	if err != nil || text == "" {
		return time.Minute, err
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("read service_down_time of %s: it takes a whole number of seconds: %w", path, err)
	}
	return time.Duration(seconds) * time.Second, nil
}
