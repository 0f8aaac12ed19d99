package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"nova-orphan/internal/ansible/ansibletest"
)

// around is what is done around all tests: on the lab, novalab's databases go after them.
var around = func(m *testing.M) testscript.TestingM { return m }

func TestMain(m *testing.M) {
	testscript.Main(around(m), map[string]func(){name: main})
}

func TestWrongArgumentsAreAnswers(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: ansibletest.Commands(name)})
}

func TestTheDocumentationIsThatOfTheOptions(t *testing.T) {
	ansibletest.CheckDocumentation(t, module(), name+".yml")
}
