//go:build lab

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/tidwall/gjson"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

var system = hypervisortest.Virsh{URI: systemURI}

func TestTheBinaryOnRealQEMU(t *testing.T) {
	commands := ansibletest.Commands("libvirt_undefine")
	commands["guest"] = system.Command
	commands["gone"] = wantNoDomain
	commands["unpack"] = unpackBackup
	testscript.Run(t, testscript.Params{Dir: "testdata/lab", Cmds: commands})
}

// gone UUID wants virsh to know of no such domain; ! gone wants it to be there.
func wantNoDomain(ts *testscript.TestScript, neg bool, args []string) {
	out, err := system.Try("list", "--all", "--uuid")
	ts.Check(err)
	if strings.Contains(out, args[0]) != neg {
		ts.Fatalf("domains: %s", out)
	}
}

// unpack writes the last answer's backup, which is $BACKUP from then on, into the
// script's folder: domain.xml, snapshot.xml, checkpoint.xml, and the files by
// their base names.
func unpackBackup(ts *testscript.TestScript, _ bool, _ []string) {
	path := gjson.Get(ts.ReadFile("answer.json"), "domains.0.backup_file").String()
	info, err := os.Stat(path)
	ts.Check(err)
	if info.Mode().Perm() != 0o600 {
		ts.Fatalf("%s has mode %o", path, info.Mode().Perm())
	}
	data := gjson.Get(ts.ReadFile(path), "data")
	ts.Setenv("BACKUP", path)
	write := func(name string, content []byte) { ts.Check(os.WriteFile(ts.MkAbs(name), content, 0o600)) }
	write("domain.xml", []byte(data.Get("xml").String()))
	write("snapshot.xml", []byte(data.Get("snapshots_xml.0").String()))
	write("checkpoint.xml", []byte(data.Get("checkpoints_xml.0").String()))
	for _, file := range data.Get("files").Array() {
		packed, err := base64.StdEncoding.DecodeString(file.Get("gzip").String())
		ts.Check(err)
		reader, err := gzip.NewReader(bytes.NewReader(packed))
		ts.Check(err)
		content, err := io.ReadAll(reader)
		ts.Check(err)
		write(filepath.Base(file.Get("path").String()), content)
	}
}

// interloper does something in between, as nova-compute or an operator might.
type interloper struct {
	*hypervisor.Connection
	before func()
}

func (i interloper) Undefine(ctx context.Context, judged hypervisor.Domain, flags hypervisor.Flags) error {
	i.before()
	return i.Connection.Undefine(ctx, judged, flags)
}

func TestOthersAtWorkOnRealQEMU(t *testing.T) {
	guest := hypervisortest.Guest{UUID: uuid, Name: name, ProjectID: "p1"}
	connection, err := hypervisor.Open(t.Context(), systemURI)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connection.Close)
	t.Run("started before undefine: it stays as it is", func(t *testing.T) {
		system.Make(t, guest)
		libvirt := interloper{connection, func() { system.Run(t, "start", name) }}
		answer := answerOf(t, libvirt, map[string]any{"backup_dir": t.TempDir()})
		wantAnswer(t, answer, map[string]string{"failed": "true", "changed": "false", "msg": "it was started meanwhile"})
		if out := system.Run(t, "list", "--persistent", "--name"); out != name {
			t.Errorf("running and persistent: got %q", out)
		}
	})
	t.Run("undefined by another", func(t *testing.T) {
		system.Make(t, guest)
		libvirt := interloper{connection, func() { system.Run(t, "undefine", name) }}
		answer := answerOf(t, libvirt, map[string]any{"backup_dir": t.TempDir()})
		wantAnswer(t, answer, map[string]string{"failed": "false", "changed": "false"})
	})
}

func TestAStoppedLibvirtIsNotAnAbsentDomain(t *testing.T) {
	units := []string{"libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "libvirtd.service"}
	systemctl := func(verb string) {
		t.Helper()
		if out, err := exec.Command("systemctl", append([]string{verb}, units...)...).CombinedOutput(); err != nil {
			t.Fatalf("systemctl %s: %v: %s", verb, err, out)
		}
	}
	systemctl("reset-failed")
	systemctl("stop")
	t.Cleanup(func() { systemctl("start") })
	testscript.Run(t, testscript.Params{Files: []string{"testdata/lab-stopped/stopped.txtar"}, Cmds: ansibletest.Commands("libvirt_undefine")})
}
