//go:build linux

package vm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// netnsDir is where iproute2 keeps named network namespaces.
const netnsDir = "/run/netns"

// inNamespace calls fn with the calling goroutine's thread in a named network namespace.
//
// Sockets that fn opens itself belong to that namespace for good. Goroutines that it starts
// do not run there.
func inNamespace(name string, fn func() error) (failed error) {
	target, err := os.Open(filepath.Join(netnsDir, name))
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer target.Close()
	return withThreadNamespace(func() error {
		if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", name, err)
		}
		return fn()
	})
}

// withThreadNamespace calls fn, which may change its thread's network namespace, and changes it back.
func withThreadNamespace(fn func() error) (failed error) {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open own network namespace: %w", err)
	}
	defer func() {
		defer home.Close()
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			// The thread stays locked, and ends with its goroutine: no other gets to run there.
			failed = errors.Join(failed, fmt.Errorf("return to own network namespace: %w", err))
			return
		}
		runtime.UnlockOSThread()
	}()
	return fn()
}

// canMakeNetworks says why no network namespace can be made here, if so.
func canMakeNetworks() error {
	if os.Geteuid() != 0 {
		return nil // said already
	}
	err := withThreadNamespace(func() error { return unix.Unshare(unix.CLONE_NEWNET) })
	if err != nil {
		return fmt.Errorf("no right to make network namespaces (%w): run with CAP_SYS_ADMIN and CAP_NET_ADMIN, in a container with --privileged", err)
	}
	return nil
}
