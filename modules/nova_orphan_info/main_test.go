package main

import (
	"testing"
	"time"

	"nova-orphan/internal/ansible/ansibletest"
	"nova-orphan/internal/openstack"
)

func TestMain(m *testing.M) { ansibletest.Main(m, name, main, hurry) }

func hurry() { openstack.FirstPause = time.Millisecond }
