package nova

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"

	"nova-orphan/internal/osloconf"
)

// DefaultConf is where Nova's configuration usually is on a controller.
const DefaultConf = "/etc/nova/nova.conf"

// Access is how to reach the API database, and from its cell mappings the cells.
type Access struct {
	api *mysql.Config
	// base is [database]connection, which cell mappings that are templates refer to; noBase is why it cannot be read.
	base   string
	noBase error
	// login replaces the account of the cell mappings; nil leaves it.
	login clientOptions
	// authorities are files of CA certificates that are trusted besides.
	authorities []string
	// secret learns every password that is read.
	secret func(...string)
}

// FromConf reads the access from a nova.conf and its conf.d folder. secret is
// called with every password found there, and later in the cell mappings.
func FromConf(path string, secret func(...string)) (Access, error) {
	conf, err := osloconf.Load(path)
	if err != nil {
		return Access{}, err
	}
	connection, err := conf.Get("api_database", "connection")
	if err != nil {
		return Access{}, err
	}
	if connection == "" {
		return Access{}, fmt.Errorf("find Nova's databases: %s has no [api_database]connection: "+
			"a controller's configuration has one, a compute host's has not", path)
	}
	access := Access{secret: secret, authorities: osloconf.Authorities(path)}
	access.base, access.noBase = conf.Get("database", "connection")
	if access.api, err = access.database(connection); err != nil {
		return Access{}, fmt.Errorf("read [api_database]connection of %s: %w", path, err)
	}
	return access, nil
}

// OpenReadOnly prepares connections to the database of a SQLAlchemy URL, which need not be
// Nova's, as those to Nova's are: by the same rules, and without connecting. They cannot
// write. The files of CA certificates are trusted besides. secret is called with the password.
func OpenReadOnly(connection string, authorities []string, secret func(...string)) (*sql.DB, error) {
	config, err := Access{authorities: authorities, secret: secret}.database(connection)
	if err != nil {
		return nil, err
	}
	return open(config, true)
}

// cell returns how to reach the database of a cell mapping.
func (a Access) cell(connection string) (*mysql.Config, error) {
	if strings.Contains(connection, "{") {
		if a.noBase != nil {
			return nil, a.noBase
		}
		if a.base == "" {
			return nil, errors.New("its database_connection is a template, and there is no [database]connection to fill it from " +
				"(option nova_conf reads one)")
		}
		var err error
		if connection, err = fillTemplate(connection, a.base); err != nil {
			return nil, err
		}
	}
	return a.database(connection)
}

// database returns how to reach that of a URL.
func (a Access) database(connection string) (*mysql.Config, error) {
	options, err := parseURL(connection, a.secret)
	if err != nil {
		return nil, err
	}
	if len(a.authorities) > 0 && options["ssl_ca"] != "" {
		// The bundle may only be in the container, with these in it.
		if _, absent := os.Stat(options["ssl_ca"]); absent != nil {
			options["ssl_ca"] = a.authorities[0]
		}
	}
	var config *mysql.Config
	if a.login != nil {
		config, err = options.configFor(a.login)
	} else {
		config, err = options.config()
	}
	if err == nil && config.TLS != nil {
		config.TLS.RootCAs, err = osloconf.Trust(config.TLS.RootCAs, a.authorities)
	}
	return config, err
}
