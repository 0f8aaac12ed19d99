package osloconf

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
)

// Authorities are the files of CA certificates beside a configuration file. kolla-ansible's containers have them in their own bundle, which
// cafile and ssl_ca name (kolla docker/base/copy_cacerts.sh); the host's bundle of that name, if it has one, lacks them.
func Authorities(path string) []string {
	// The pattern is no other than this, so that there is no error.
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "ca-certificates", "*.crt"))
	return files
}

// Trust adds CA certificates to those that are trusted already; a nil pool is the system's. Without files it is what it was.
func Trust(pool *x509.CertPool, files []string) (*x509.CertPool, error) {
	var err error
	if pool == nil && len(files) > 0 {
		if pool, err = x509.SystemCertPool(); err != nil {
			return nil, err
		}
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if !pool.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("%s has no certificate in it", file)
		}
	}
	return pool, nil
}
