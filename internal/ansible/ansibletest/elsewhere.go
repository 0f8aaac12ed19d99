package ansibletest

import (
	"bufio"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// Elsewhere starts a process with a mount namespace of its own, once script has made there what it sees, and returns its number. It ends
// with the test.
func Elsewhere(t *testing.T, script string) (pid int) {
	t.Helper()
	// A contributor need not be root, as CI is.
	if os.Geteuid() != 0 && os.Getenv("CI") == "" {
		t.Skip("only root may enter a mount namespace")
	}
	away := exec.Command("sh", "-e", "-c", script+"\necho ready\nexec cat")
	away.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	input, err := away.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := away.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = away.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = input.Close()
		_ = away.Wait()
	})
	if ready, err := bufio.NewReader(output).ReadString('\n'); err != nil || ready != "ready\n" {
		t.Fatalf("got %q, %v", ready, err)
	}
	return away.Process.Pid
}
