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

// Process is one in whose mount namespace a module is to run.
type Process struct {
	PID int // 0: there is none, and the module runs in its own
	// Libraries is a folder in which the loader is to look for shared libraries, besides where it does by itself; "" is none.
	Libraries string
}

// enter replaces this process by itself in the mount namespace of another, and returns only where that fails. That is done before anything
// else: by its loader, a process finds the shared libraries that are where it was started.
func enter(there Process, arguments []byte) error {
	failed := onThreadOfItsOwn(func() (struct{}, error) { return struct{}{}, move(there, arguments) })
	return fmt.Errorf("enter the mount namespace of process %d: %w", there.PID, failed.Err)
}

func move(there Process, arguments []byte) error {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	process, environment := "/proc/"+strconv.Itoa(there.PID), os.Environ()
	if there.Libraries != "" {
		environment = append(environment, "LD_LIBRARY_PATH="+there.Libraries)
	}
	var host, root, namespace, input int
	open := func(into *int, path string, flags int) func() error {
		return func() (err error) {
			*into, err = unix.Open(path, flags|unix.O_CLOEXEC, 0)
			return err
		}
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"open the host's root", open(&host, "/", unix.O_PATH|unix.O_DIRECTORY)},
		// A container's root need not be that of its namespace.
		{"open its root", open(&root, process+"/root", unix.O_PATH|unix.O_DIRECTORY)},
		{"open it", open(&namespace, process+"/ns/mnt", unix.O_RDONLY)},
		// Kept open, it stays with all its mounts, also where nobody else is in it.
		{"keep the host's", func() error {
			_, err := unix.Open("/proc/self/ns/mnt", unix.O_RDONLY, 0)
			return err
		}},
		{"keep the arguments", func() (err error) {
			if input, err = unix.MemfdCreate("arguments", unix.MFD_CLOEXEC); err == nil {
				_, err = unix.Pwrite(input, arguments, 0)
			}
			return err
		}},
		{"pass the arguments on", func() error { return unix.Dup3(input, 0, 0) }},
		{"have a thread for it", func() error { return unix.Unshare(unix.CLONE_FS) }},
		{"change to it", func() error { return unix.Setns(namespace, unix.CLONE_NEWNS) }},
		{"change to its root", func() error { return errors.Join(unix.Fchdir(root), unix.Chroot(".")) }},
		{"keep the host's root", func() error { return unix.Fchdir(host) }},
		// By the working directory, since there is no such file in the namespace.
		{"run there, with the loader and the C library that are there", func() error {
			return unix.Exec("."+own, []string{own, entered}, environment)
		}},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// arrive reads the arguments that enter has left, and keeps the host's root, for OnHost.
func (c *Call) arrive() (arguments []byte, err error) {
	host, err := unix.Open(".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		c.host = &host
		// The loader has read it; it is nothing for programs of the host.
		err = errors.Join(os.Unsetenv("LD_LIBRARY_PATH"), unix.Chdir("/"))
	}
	if err == nil {
		arguments, err = io.ReadAll(os.NewFile(0, "standard input"))
	}
	return arguments, err
}

// Entered says that the module is in another mount namespace than the host's.
func (c *Call) Entered() bool { return c != nil && c.host != nil }

// OnHost does something with the files and programs of the host, also where the module is in another mount namespace. That is for what is
// done on its own goroutine, until it returns.
func OnHost[T any](c *Call, do func() (T, error)) (T, error) {
	if !c.Entered() {
		return do()
	}
	done := onThreadOfItsOwn(func() (value T, err error) {
		if err = errors.Join(unix.Unshare(unix.CLONE_FS), unix.Fchdir(*c.host), unix.Chroot(".")); err == nil {
			value, err = do()
		}
		return value, err
	})
	return done.Value, done.Err
}

// onThreadOfItsOwn does something on a thread that is never used for anything else: a goroutine that ends locked takes it along. It is not
// the main thread, which does not end, and whose root and mounts are those of /proc/self.
func onThreadOfItsOwn[T any](do func() (T, error)) Outcome[T] {
	return <-Go(func() (T, error) {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			return do()
		}
		defer runtime.UnlockOSThread()
		done := onThreadOfItsOwn(do)
		return done.Value, done.Err
	})
}
