package main

import (
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack"
)

// around is what is done around all tests: on the lab, novalab's databases go after them.
var around = func(m testscript.TestingM) testscript.TestingM { return m }

func TestMain(m *testing.M) { ansibletest.Main(around(m), name, main, hurry) }

func hurry() { openstack.FirstPause = time.Millisecond }

func TestWrongArgumentsAreAnswers(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: ansibletest.Commands(name)})
}

func TestTheDocumentationIsThatOfTheOptions(t *testing.T) {
	ansibletest.CheckDocumentation(t, module(), name+".yml")
}
