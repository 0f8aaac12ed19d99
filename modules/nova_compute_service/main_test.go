package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"nova-orphan/internal/ansible/ansibletest"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){name: main}) }

func TestTheDocumentationSaysWhatTheModuleDeclares(t *testing.T) {
	ansibletest.CheckDocumentation(t, module(), name+".yml")
}
