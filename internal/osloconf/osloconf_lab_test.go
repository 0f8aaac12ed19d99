//go:build lab

package osloconf

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// askOslo prints what oslo.config says of the files that are its arguments: [database]connection of each, or why there is none.
// A reference leads to options that somebody has registered, here to all that a file sets.
const askOslo = `
import json, sys
from oslo_config import cfg

def ask(path):
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[path], default_config_dirs=[path + '.d'])
    for sections in conf._namespace._normalized:
        for section, options in sections.items():
            for option in filter(str.isidentifier, options):
                conf.register_opt(cfg.StrOpt(option), None if section == 'DEFAULT' else section)
    conf.register_opt(cfg.StrOpt('connection'), 'database')
    return conf.database.connection or ''

answers = []
for path in sys.argv[1:]:
    try:
        answers.append({'value': ask(path)})
    except Exception as error:
        answers.append({'error': repr(error)})
json.dump(answers, sys.stdout)
`

func TestOsloConfigReadsTheSame(t *testing.T) {
	command := exec.Command("python3", append([]string{"-c", askOslo}, writeReadings(t)...)...)
	var complaint strings.Builder
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.String())
	}
	var answers []struct{ Value, Error string }
	if err := json.Unmarshal(output, &answers); err != nil || len(answers) != len(readings) {
		t.Fatalf("%d answers for %d readings: %v", len(answers), len(readings), err)
	}
	for i, test := range readings {
		if got := answers[i]; (got.Error != "") != test.refused || got.Value != test.want {
			t.Errorf("%s: oslo.config says %q %s, the table %q, refused %t", test.name, got.Value, got.Error, test.want, test.refused)
		}
	}
	t.Logf("configuration values read by oslo.config: %d", len(answers))
}
