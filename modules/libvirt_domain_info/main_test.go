package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"nova-orphan/internal/ansible/ansibletest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"libvirt_domain_info": main})
}

func TestTheBinaryWithoutLibvirt(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: ansibletest.Commands("libvirt_domain_info")})
}

func TestTheDocumentationSaysWhatTheModuleTakes(t *testing.T) {
	ansibletest.CheckDocumentation(t, module, "libvirt_domain_info.yml")
}
