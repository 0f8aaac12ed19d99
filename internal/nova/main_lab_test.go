//go:build lab

package nova

import (
	"os"
	"testing"

	"nova-orphan/internal/nova/novalab"
)

func TestMain(m *testing.M) { os.Exit(novalab.Tests{M: m}.Run()) }
