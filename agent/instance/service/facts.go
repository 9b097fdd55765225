package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/proto"
)

// verifySource answers what a target must match or have room for.
func (j *job) verifySource(ctx context.Context) error {
	r := j.Fence.Get(j.op.Instance)
	if r.State != proto.FenceOwner {
		return j.refusal(fmt.Sprintf("it does not own instance %s (its record says %q)", j.op.Instance, r.State), "see `glidepath instance list` for who does")
	}
	s, _, err := j.load(j.op.Instance)
	if err != nil {
		return err
	}
	u, err := j.find(ctx, unit(r))
	if err != nil {
		return err
	}
	if u.ActiveState != "active" {
		return j.refusal(fmt.Sprintf("unit %s is %s", u.Name, u.ActiveState), "start it, see journalctl -u "+u.Name)
	}
	if err := j.hooksThere(j.op.Spec.Hooks); err != nil {
		return err
	}
	var facts proto.SourceFacts
	if err := j.step("identify", func() (err error) {
		if facts, err = j.identify(ctx, u); err == nil {
			facts.Main, err = j.mainProgram(ctx, u)
		}
		return err
	}); err != nil {
		return err
	}
	facts.Companions, facts.Enabled = s.Companions, s.Enable
	if err := j.step("measure data", func() error { return measure(ctx, r.Spec.Service.Data, &facts, owners(u)) }); err != nil {
		return err
	}
	if err := j.step("health", func() error { return j.healthy(ctx, r.Spec) }); err != nil {
		return err
	}
	j.result.Source = &facts
	return nil
}

// identify says what software a unit runs.
func (d *Driver) identify(ctx context.Context, u systemd.Unit) (proto.SourceFacts, error) {
	f := proto.SourceFacts{Unit: u.Name, Fragment: u.FragmentPath}
	path, err := d.executable(u)
	if err != nil {
		return f, err
	}
	own, err := d.program(ctx, u, path)
	f.Executable, f.Package, f.Version, f.Digest = own.Path, own.Package, own.Version, own.Digest
	return f, err
}

// executable returns the program that a unit starts.
func (d *Driver) executable(u systemd.Unit) (string, error) {
	if len(u.ExecStart) == 0 || len(u.ExecStart[0]) == 0 {
		return "", d.refusal(fmt.Sprintf("unit %s starts no program", u.Name), "name the service that does")
	}
	return u.ExecStart[0][0], nil
}

// program says what a program of a unit is.
func (d *Driver) program(ctx context.Context, u systemd.Unit, path string) (proto.Program, error) {
	p := proto.Program{Path: path}
	var err error
	if p.Digest, err = digest(path); err != nil {
		return p, d.refusal(fmt.Sprintf("the program of unit %s can't be read: %v", u.Name, err), "install it")
	}
	p.Package, p.Version, err = d.packageOf(ctx, path)
	return p, err
}

// digest returns the SHA-256 of a program, in hex.
func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// identity is the users and groups by which something is owned or run.
type identity struct{ users, groups map[string]bool }

// owners returns by whom a unit is run.
func owners(u systemd.Unit) identity {
	id := identity{users: map[string]bool{"root": true}, groups: map[string]bool{"root": true}}
	if u.User != "" {
		id.users[u.User] = true
	}
	if u.Group != "" {
		id.groups[u.Group] = true
	}
	return id
}

// measure adds the amount of the data, and who owns them, to facts. A file with several names is counted once.
func measure(ctx context.Context, paths []string, facts *proto.SourceFacts, id identity) error {
	type inode struct{ dev, ino uint64 }
	type owner struct{ uid, gid uint32 }
	seen, known := map[inode]bool{}, map[owner]bool{}
	for _, root := range paths {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && path != root {
				return nil // gone while we looked: the service is running
			}
			if err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			st, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return fmt.Errorf("%s: its owner is not known", path)
			}
			known[owner{st.Uid, st.Gid}] = true
			if at := (inode{st.Dev, st.Ino}); st.Nlink > 1 && !info.IsDir() {
				if seen[at] {
					return nil
				}
				seen[at] = true
			}
			facts.DataBytes += st.Blocks * 512
			if !info.IsDir() {
				facts.DataFiles++
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("measure the data in %s: %w", root, err)
		}
	}
	for o := range known {
		u, err := user.LookupId(strconv.Itoa(int(o.uid)))
		if err != nil {
			return &proto.Fault{Code: proto.FaultRefused, What: fmt.Sprintf("data belong to user ID %d, which has no name on this host", o.uid), Remedy: "owners are mapped by name: give the user a name, or chown the files"}
		}
		g, err := user.LookupGroupId(strconv.Itoa(int(o.gid)))
		if err != nil {
			return &proto.Fault{Code: proto.FaultRefused, What: fmt.Sprintf("data belong to group ID %d, which has no name on this host", o.gid), Remedy: "owners are mapped by name: give the group a name, or chgrp the files"}
		}
		id.users[u.Username], id.groups[g.Name] = true, true
	}
	facts.Users, facts.Groups = slices.Sorted(maps.Keys(id.users)), slices.Sorted(maps.Keys(id.groups))
	return nil
}
