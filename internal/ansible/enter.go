package ansible

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// entered, in the place of the arguments file, says that the process has been moved into another mount namespace: the arguments are on
// standard input, and the working directory is the root of the host, where Ansible has called.
const entered = "--entered"

// enter replaces this process by itself in the mount namespace of another, and returns only where that fails. That is done before anything
// else: by its loader, a process finds the shared libraries that are where it was started.
func enter(pid int, arguments []byte) error {
	fail := func(err error) error { return fmt.Errorf("enter the mount namespace of process %d: %w", pid, err) }
	own, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	// A thread that is elsewhere must never be used for anything else: a goroutine that ends locked takes it along.
	failed := <-Go(func() (struct{}, error) {
		runtime.LockOSThread()
		return struct{}{}, move(pid, own, arguments)
	})
	return fail(failed.Err)
}

func move(pid int, own string, arguments []byte) error {
	process := "/proc/" + strconv.Itoa(pid)
	host, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	// A container's root need not be that of its namespace.
	root, err := unix.Open(process+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	namespace, err := unix.Open(process+"/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	input, err := unix.MemfdCreate("arguments", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	if _, err = unix.Pwrite(input, arguments, 0); err != nil {
		return err
	}
	for _, step := range []func() error{
		func() error { return unix.Dup3(input, 0, 0) },
		func() error { return unix.Unshare(unix.CLONE_FS) },
		func() error { return unix.Setns(namespace, unix.CLONE_NEWNS) },
		func() error { return unix.Fchdir(root) },
		func() error { return unix.Chroot(".") },
		func() error { return unix.Fchdir(host) },
		// By the working directory, since there is no such file in the namespace.
		func() error { return unix.Exec("."+own, []string{own, entered}, os.Environ()) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// arrive reads the arguments that enter has left, and keeps the host's root, for OnHost.
func (c *Call) arrive() (arguments []byte, err error) {
	host, err := unix.Open(".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		c.host = &host
		err = unix.Chdir("/")
	}
	if err == nil {
		arguments, err = io.ReadAll(os.NewFile(0, "standard input"))
	}
	return arguments, err
}

// OnHost does something with the files and programs of the host, also where the module is in another mount namespace. That is for what is
// done on its own goroutine, until it returns.
func OnHost[T any](c *Call, do func() (T, error)) (T, error) {
	if c.host == nil {
		return do()
	}
	done := <-Go(func() (value T, err error) {
		runtime.LockOSThread() // for good, as in enter
		if err = errors.Join(unix.Unshare(unix.CLONE_FS), unix.Fchdir(*c.host), unix.Chroot(".")); err == nil {
			value, err = do()
		}
		return value, err
	})
	return done.Value, done.Err
}
