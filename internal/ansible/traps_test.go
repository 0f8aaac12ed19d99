package ansible_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// run calls the probe with these standard streams.
func run(t *testing.T, stdin, stdout *os.File) *exec.Cmd {
	t.Helper()
	file := filepath.Join(t.TempDir(), "arguments.json")
	if err := os.WriteFile(file, []byte(`{"do": "echo"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, "probe", file)
	command.Stdin, command.Stdout = stdin, stdout
	return command
}

func pipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close(); writer.Close() })
	return reader, writer
}

func TestAStandardInputThatSaysNothingIsNotWaitedFor(t *testing.T) {
	silent, _ := pipe(t)
	if err := run(t, silent, nil).Run(); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestAReaderThatGoesAwayKillsNoModule(t *testing.T) {
	gone, stdout := pipe(t)
	gone.Close()
	var exit *exec.ExitError
	if err := run(t, nil, stdout).Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got %v, want exit status 1", err)
	}
}

func TestNothingButTheModuleHasItsName(t *testing.T) {
	modules, err := filepath.Glob("../../modules/*")
	if err != nil || len(modules) < 3 {
		t.Fatalf("%v, %v", modules, err)
	}
	for _, module := range modules {
		name := filepath.Base(module)
		found, err := filepath.Glob(filepath.Join(module, name+"*"))
		if err != nil || !slices.Equal(found, []string{filepath.Join(module, name+".yml")}) {
			t.Errorf("Ansible may take one of these for the module: %v, %v", found, err)
		}
	}
}
