package main

import (
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack"
)

// around is what is done around all tests: on the lab, novalab's databases go after them.
var around = func(m *testing.M) testscript.TestingM { return m }

func TestMain(m *testing.M) {
	// What the databases refuse is made up in the lab, too, and over as soon as it is to be.
	openstack.FirstPause = 10 * time.Millisecond
	testscript.Main(around(m), map[string]func(){name: main})
}

func TestWrongArgumentsAreAnswers(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: ansibletest.Commands(name)})
}

func TestTheDocumentationIsThatOfTheOptions(t *testing.T) {
	ansibletest.CheckDocumentation(t, module, name+".yml")
}

// grantsFile has the statements of SECURITY.md, since a test on a host of the
// lab has this folder only.
const grantsFile = "testdata/grants.sql"
