package ansible

import (
	"cmp"
	"fmt"
	"log/syslog"
)

// Audit writes what a module did to the target's syslog, as Ansible's own
// modules do, unless the task says no_log. A host without syslog is no error.
func (c *Call) Audit(format string, values ...any) {
	if c.noLog || c.Check {
		return
	}
	writer, err := OnHost(c, func() (*syslog.Writer, error) {
		return syslog.New(cmp.Or(facilities[c.facility], syslog.LOG_USER)|syslog.LOG_INFO, "ansible-"+c.module)
	})
	if err != nil {
		return
	}
	defer writer.Close()
	_ = writer.Info(printable(c.secrets.mask("msg", fmt.Sprintf(format, values...))))
}

var facilities = map[string]syslog.Priority{
	"LOG_AUTH": syslog.LOG_AUTH, "LOG_AUTHPRIV": syslog.LOG_AUTHPRIV, "LOG_DAEMON": syslog.LOG_DAEMON,
	"LOG_LOCAL0": syslog.LOG_LOCAL0, "LOG_LOCAL1": syslog.LOG_LOCAL1, "LOG_LOCAL2": syslog.LOG_LOCAL2, "LOG_LOCAL3": syslog.LOG_LOCAL3,
	"LOG_LOCAL4": syslog.LOG_LOCAL4, "LOG_LOCAL5": syslog.LOG_LOCAL5, "LOG_LOCAL6": syslog.LOG_LOCAL6, "LOG_LOCAL7": syslog.LOG_LOCAL7,
}
