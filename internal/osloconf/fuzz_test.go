package osloconf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad: any file is read or is an error that does not quote it, and no
// references make it run on.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"[database]\nconnection = mysql+pymysql://u:p@h/nova\n", "[DEFAULT]\nx = 1\n[database]\nconnection = ${x}$database.connection\n",
		"[database]\nconnection = $connection$connection\n", "[database\nconnection = planted-secret", "[database]\nconnection: a\n  b\n\n",
		"\ufeff[database]\r\nconnection=$$\\$",
		"[database]\nconnection = $a$a$a$a\na = $b$b$b$b\nb = $c$c$c$c\nc = $a$a$a$a\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		path := filepath.Join(t.TempDir(), "nova.conf")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		config, err := Load(path)
		if err != nil {
			if strings.Contains(content, "planted-secret") && strings.Contains(err.Error(), "planted-secret") {
				t.Errorf("the error quotes the file: %v", err)
			}
			return
		}
		if got, err := config.Get("database", "connection"); err == nil && len(got) > (maxReferences+1)*len(content) {
			t.Errorf("%d bytes became %d", len(content), len(got))
		}
	})
}
