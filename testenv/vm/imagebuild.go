//go:build linux

package vm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// guestdPackage is built for the guests with the module's own source.
const guestdPackage = "github.com/glidepath/glidepath/testenv/vm/cmd/guestd"

// builtImage is an image in the cache.
type builtImage struct {
	disk, kernel, initrd string
}

// BuildImage makes the image unless the cache has it, and reports progress in sentences. It
// returns the image's folder.
func BuildImage(ctx context.Context, image Image, progress func(string)) (string, error) {
	if progress == nil {
		progress = func(string) {}
	}
	image = image.withDefaults()
	if err := image.validate(); err != nil {
		return "", err
	}
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	store := cache{filepath.Join(dir, "vm")}
	guestd, hash, err := buildGuestd(ctx, store)
	if err != nil {
		return "", fmt.Errorf("build the guests' control server: %w", err)
	}
	return store.entry(ctx, "image-"+image.key(hash), func(path string) error {
		base, err := store.entry(ctx, "base-"+image.baseKey()+".tar", func(path string) error {
			progress("Making a Debian " + image.Codename + " with " + strconv.Itoa(len(image.Packages)) + " packages (about a minute, once)")
			return bootstrap(ctx, image, path)
		})
		if err != nil {
			return fmt.Errorf("make the base system: %w", err)
		}
		progress("Making the guests' disk image")
		if err := assemble(ctx, image, base, guestd, path); err != nil {
			return fmt.Errorf("make the disk image: %w", err)
		}
		return nil
	})
}

func openImage(dir string) builtImage {
	return builtImage{
		disk:   filepath.Join(dir, "disk.qcow2"),
		kernel: filepath.Join(dir, "vmlinuz"),
		initrd: filepath.Join(dir, "initrd.img"),
	}
}

// buildGuestd compiles the control server into the cache and returns its path and hash. The
// result depends on nothing but source and compiler, so an unchanged server keeps its key.
func buildGuestd(ctx context.Context, store cache) (path, hash string, err error) {
	if err := os.MkdirAll(store.dir, 0o755); err != nil {
		return "", "", err
	}
	scratch, err := os.MkdirTemp(store.dir, "guestd-*.tmp")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(scratch)
	built := filepath.Join(scratch, "guestd")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", built, guestdPackage)
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if output, err := build.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("%w (run from within the module, with Go installed): %s", err, output)
	}
	content, err := os.ReadFile(built)
	if err != nil {
		return "", "", err
	}
	sum := sha256.Sum256(content)
	hash = hex.EncodeToString(sum[:10])
	path, err = store.entry(ctx, "guestd-"+hash, func(path string) error { return os.Rename(built, path) })
	return path, hash, err
}

// bootstrap makes a tar file of a Debian system.
func bootstrap(ctx context.Context, image Image, path string) error {
	mirror, err := debianMirror(ctx, image.Codename)
	if err != nil {
		return err
	}
	scratch := filepath.Dir(path)
	overlay := filepath.Join(scratch, "overlay")
	for name, file := range initramfsFiles() {
		if err := placeFile(filepath.Join(overlay, name), file); err != nil {
			return err
		}
	}
	args := []string{
		"--variant=minbase", "--format=tar", "--include=" + strings.Join(image.Packages, ","), `--setup-hook=cp --recursive "$OVERLAY/." "$1/"`,
	}
	for _, pattern := range leftOut() {
		args = append(args, "--dpkgopt=path-exclude="+pattern)
	}
	return runTool(ctx, []string{"TMPDIR=" + scratch, "OVERLAY=" + overlay}, "mmdebstrap", append(args, image.Codename, path, mirror)...)
}

// leftOut returns what guests do without of the packages' files. PostgreSQL compiles queries only where it finds the library that it needs for it, which
// with its own libraries is a third of the whole image.
func leftOut() []string {
	return []string{
		"/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/i18n/*",
		"/usr/lib/postgresql/*/lib/llvmjit.so", "/usr/lib/postgresql/*/lib/bitcode/*", "/usr/lib/*/libLLVM-*", "/usr/lib/*/libz3.so*",
	}
}

// debianMirror returns the mirror that this machine's own apt uses for the release, or
// $GLIDEPATH_DEBIAN_MIRROR.
func debianMirror(ctx context.Context, codename string) (string, error) {
	if mirror := os.Getenv("GLIDEPATH_DEBIAN_MIRROR"); mirror != "" {
		return mirror, nil
	}
	output, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(SITE)",
		"Created-By: Packages", "Codename: "+codename, "Component: main").Output()
	if err != nil {
		return "", fmt.Errorf("ask apt for its mirror: %w", err)
	}
	mirror, _, _ := strings.Cut(string(output), "\n")
	if mirror == "" {
		return "", fmt.Errorf("apt knows no mirror of Debian %s here: run apt-get update, add a source for it, or set GLIDEPATH_DEBIAN_MIRROR to a mirror's URL", codename)
	}
	return mirror, nil
}

// assemble makes the folder of an image: the disk, and the kernel and initial RAM disk that
// the system in it came with.
func assemble(ctx context.Context, image Image, base, guestd, dir string) error {
	scratch := filepath.Dir(dir)
	root, raw := filepath.Join(scratch, "root"), filepath.Join(scratch, "raw")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// The device files in the base are devtmpfs's job.
	err := runTool(ctx, nil, "tar", "--extract", "--file="+base, "--directory="+root,
		"--numeric-owner", "--same-permissions", "--xattrs", "--xattrs-include=*", "--acls", "--exclude=./dev/*")
	if err != nil {
		return err
	}
	if err := image.furnish(root, guestd); err != nil {
		return err
	}
	built := openImage(dir)
	for _, file := range [][2]string{{"vmlinuz", built.kernel}, {"initrd.img", built.initrd}} {
		source, err := resolveInside(root, file[0])
		if err != nil {
			return fmt.Errorf("find the kernel: %w", err)
		}
		if err := os.Rename(source, file[1]); err != nil {
			return err
		}
	}
	// The journal must be there: guests are killed and reset, and what they have synced counts.
	// No blocks are reserved for root, so that a full disk is full for everybody.
	err = runTool(ctx, nil, "mke2fs", "-q", "-t", "ext4", "-L", "root", "-m", "0", "-J", "size=16",
		"-E", "lazy_itable_init=1,lazy_journal_init=1,root_owner=0:0", "-d", root, raw, strconv.Itoa(image.DiskGiB)+"G")
	if err != nil {
		return err
	}
	return runTool(ctx, nil, "qemu-img", "convert", "-O", "qcow2", raw, built.disk)
}

// runTool runs a program that dies with this one, and reports what it said if it fails.
func runTool(ctx context.Context, env []string, name string, args ...string) error {
	// The signal at the parent's death is sent when its thread ends, not its process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	output, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", name, context.Cause(ctx))
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%s: %w: %s", name, err, lastLines(string(output), 15))
	}
	return err
}

// lastLines returns the end of a program's output.
func lastLines(text string, count int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}
