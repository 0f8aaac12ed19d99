package hypervisortest_test

import (
	"testing"

	"nova-orphan/internal/hypervisor"
	"nova-orphan/internal/hypervisor/hypervisortest"
)

func TestTheFakeKeepsTheContract(t *testing.T) {
	hypervisortest.TestContract(t, func(t *testing.T) (hypervisor.Libvirt, hypervisortest.Host, string) {
		fake := hypervisortest.NewFake()
		return fake, fake, t.TempDir()
	})
}
