//go:build lab

package nova

import (
	"cmp"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// askPyMySQL prints where SQLAlchemy and PyMySQL lead for each URL among the arguments, and what PyMySQL would ask of the
// encryption, or "refused" where they raise an error. PyMySQL takes mysqlclient's arguments as well.
const askPyMySQL = `
import getpass, json, ssl, sys
import pymysql
from sqlalchemy.engine import make_url

class Context:
    options = 0

    def __init__(self, cafile=None, capath=None):
        self.files = {'ssl_ca': cafile, 'ssl_capath': capath}

    def load_cert_chain(self, certfile, keyfile=None, password=None):
        self.files.update(ssl_cert=certfile, ssl_key=keyfile)

    def set_ciphers(self, ciphers):
        pass

ssl.create_default_context = Context

def ask(text):
    url = make_url(text)
    dialect = url.get_dialect()()
    if dialect.name not in ('mysql', 'mariadb'):
        raise ValueError('that is ' + dialect.name)
    session = pymysql.Connection(defer_connect=True, **dialect.create_connect_args(url)[1])
    host = '[%s]' % session.host if ':' in session.host else str(session.host)
    address = 'unix ' + session.unix_socket if session.unix_socket else 'tcp %s:%d' % (host, session.port)
    user = '' if session.user == getpass.getuser() else session.user
    words = [user, session.password.decode('latin1'), address, session.db or '']
    if session.ssl:
        words.append('tls')
        if session.ctx.verify_mode != ssl.CERT_NONE:
            words.append('chain')
        if session.ctx.check_hostname:
            words.append('name')
        words += ['%s=%s' % (name, path) for name, path in session.ctx.files.items() if path]
    return ' '.join(words)

answers = []
for text in sys.argv[1:]:
    try:
        answers.append(ask(text))
    except Exception as error:
        print(text, repr(error), file=sys.stderr)
        answers.append('refused')
json.dump(answers, sys.stdout)
`

func TestSQLAlchemyAndPyMySQLReadTheSame(t *testing.T) {
	command := exec.Command("python3", append([]string{"-c", askPyMySQL}, urls(t)...)...)
	var complaint strings.Builder
	command.Stderr = &complaint
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.String())
	}
	var answers []string
	if err := json.Unmarshal(output, &answers); err != nil || len(answers) != len(connections) {
		t.Fatalf("%d answers for %d URLs: %v", len(answers), len(connections), err)
	}
	for i, test := range connections {
		// Newer ones read some as MySQL's own programs do, and as this package.
		if known := []string{cmp.Or(test.library, test.want), test.want}; !slices.Contains(known, answers[i]) {
			t.Errorf("%s: the libraries say %q, the table %q", test.name, answers[i], known)
		}
	}
	if t.Failed() {
		t.Log(complaint.String())
	}
	t.Logf("database URLs read by SQLAlchemy and PyMySQL: %d", len(answers))
}
