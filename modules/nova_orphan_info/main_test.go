package main

import (
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack"
)

func TestMain(m *testing.M) { ansibletest.Main(m, name, main, hurry) }

func hurry() { openstack.FirstPause = time.Millisecond }

func TestWrongArgumentsAreAnswers(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: ansibletest.Commands(name)})
}

func TestTheDocumentationIsThatOfTheOptions(t *testing.T) {
	ansibletest.CheckDocumentation(t, module(), name+".yml")
}
