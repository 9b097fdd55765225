package tree

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
	capability = "security.capability"
)

// carriedXattr reports whether an attribute moves along. What else is under security. and system. belongs to the host: labels, measurements.
func carriedXattr(name string) bool {
	return strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "trusted.") ||
		name == aclAccess || name == aclDefault || name == capability
}

// A handle names a file for the calls on extended attributes: by descriptor where one is open, else by a path through its
// directory's descriptor, whose last component is not followed.
type handle struct {
	fd  int
	dir int
	at  string // "" for fd
}

func (h handle) path() string { return fmt.Sprintf("/proc/self/fd/%d/%s", h.dir, h.at) }

func (h handle) list(buf []byte) (int, error) {
	if h.at == "" {
		return unix.Flistxattr(h.fd, buf)
	}
	return unix.Llistxattr(h.path(), buf)
}

func (h handle) get(name string, buf []byte) (int, error) {
	if h.at == "" {
		return unix.Fgetxattr(h.fd, name, buf)
	}
	return unix.Lgetxattr(h.path(), name, buf)
}

func (h handle) set(name string, value []byte) error {
	if h.at == "" {
		return unix.Fsetxattr(h.fd, name, value, 0)
	}
	return unix.Lsetxattr(h.path(), name, value, 0)
}

func (h handle) remove(name string) error {
	if h.at == "" {
		return unix.Fremovexattr(h.fd, name)
	}
	return unix.Lremovexattr(h.path(), name)
}

// xattrNames returns the carried attributes' names, sorted.
func (h handle) xattrNames() ([]string, error) {
	buf := make([]byte, 1024)
	n, err := h.list(buf)
	if errors.Is(err, unix.ERANGE) {
		buf = make([]byte, 64<<10) // the kernel's own limit
		n, err = h.list(buf)
	}
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil || n == 0 {
		return nil, err
	}
	var list []string
	for name := range bytes.SplitSeq(bytes.TrimSuffix(buf[:n], []byte{0}), []byte{0}) {
		if carriedXattr(string(name)) {
			list = append(list, string(name))
		}
	}
	slices.Sort(list)
	if len(list) > maxXattrs {
		return nil, fmt.Errorf("%d extended attributes, the most is %d", len(list), maxXattrs)
	}
	return list, nil
}

// xattrs returns the carried attributes, sorted by name, ACLs in the form with names.
func (h handle) xattrs(n *names) ([]Xattr, error) {
	list, err := h.xattrNames()
	if err != nil || len(list) == 0 {
		return nil, err
	}
	buf := make([]byte, maxXattr)
	var out []Xattr
	for _, name := range list {
		size, err := h.get(name, buf)
		if errors.Is(err, unix.ENODATA) {
			continue // it went since it was listed
		}
		if err != nil {
			return nil, fmt.Errorf("attribute %s: %w", name, err)
		}
		value := string(buf[:size])
		if name == aclAccess || name == aclDefault {
			if value, err = aclToNames(buf[:size], n); err != nil {
				return nil, fmt.Errorf("attribute %s: %w", name, err)
			}
		}
		out = append(out, Xattr{name, value})
	}
	return out, nil
}

// setXattrs makes the carried attributes those of want.
func (h handle) setXattrs(want []Xattr, n *names) error {
	have, err := h.xattrNames()
	if err != nil {
		return err
	}
	for _, name := range have {
		if !slices.ContainsFunc(want, func(x Xattr) bool { return x.Name == name }) {
			if err := h.remove(name); err != nil && !errors.Is(err, unix.ENODATA) {
				return fmt.Errorf("remove the attribute %s: %w", name, err)
			}
		}
	}
	for _, x := range want {
		value := []byte(x.Value)
		if x.Name == aclAccess || x.Name == aclDefault {
			if value, err = aclFromNames(x.Value, n); err != nil {
				return fmt.Errorf("attribute %s: %w", x.Name, err)
			}
		}
		if err := h.set(x.Name, value); err != nil {
			return fmt.Errorf("set the attribute %s: %w", x.Name, err)
		}
	}
	return nil
}

// The kernel's form of an ACL (linux/posix_acl_xattr.h): a version, then entries of tag, permissions and id, little-endian.
const (
	aclVersion = 2
	aclUser    = 0x02
	aclGroup   = 0x08
	aclNoID    = 1<<32 - 1
	maxACL     = 1024 // entries
)

type aclEntry struct {
	tag, perm uint16
	name      string // of aclUser and aclGroup
	id        uint32
}

// aclToNames rewrites an ACL with the names of its users and groups, sorted by them. Equal ACLs give equal strings on all hosts.
func aclToNames(value []byte, n *names) (string, error) {
	if len(value) < 4 || binary.LittleEndian.Uint32(value) != aclVersion || (len(value)-4)%8 != 0 {
		return "", errors.New("not an ACL of the known version")
	}
	var entries []aclEntry
	for b := value[4:]; len(b) > 0; b = b[8:] {
		e := aclEntry{tag: binary.LittleEndian.Uint16(b), perm: binary.LittleEndian.Uint16(b[2:])}
		var err error
		switch id := binary.LittleEndian.Uint32(b[4:]); e.tag {
		case aclUser:
			e.name, err = n.user(id)
		case aclGroup:
			e.name, err = n.group(id)
		}
		if err != nil {
			return "", err
		}
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b aclEntry) int {
		return cmp.Or(cmp.Compare(a.tag, b.tag), cmp.Compare(a.name, b.name))
	})
	var out []byte
	for _, e := range entries {
		out = binary.AppendUvarint(out, uint64(e.tag))
		out = binary.AppendUvarint(out, uint64(e.perm))
		out = appendString(out, e.name)
	}
	return string(out), nil
}

// aclFromNames is the way back, with this host's numbers.
func aclFromNames(s string, n *names) ([]byte, error) {
	d := decoder{b: []byte(s)}
	var entries []aclEntry
	for len(d.b) > 0 {
		e := aclEntry{tag: uint16(d.uint(0x20)), perm: uint16(d.uint(7)), name: d.string(maxName), id: aclNoID}
		named := e.tag == aclUser || e.tag == aclGroup
		if d.bad || named != (e.name != "") || len(entries) == maxACL {
			return nil, protocolError("an ACL does not decode")
		}
		var err error
		switch e.tag {
		case aclUser:
			e.id, err = n.uid(e.name)
		case aclGroup:
			e.id, err = n.gid(e.name)
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	slices.SortStableFunc(entries, func(a, b aclEntry) int {
		return cmp.Or(cmp.Compare(a.tag, b.tag), cmp.Compare(a.id, b.id))
	})
	out := binary.LittleEndian.AppendUint32(nil, aclVersion)
	for _, e := range entries {
		out = binary.LittleEndian.AppendUint16(out, e.tag)
		out = binary.LittleEndian.AppendUint16(out, e.perm)
		out = binary.LittleEndian.AppendUint32(out, e.id)
	}
	return out, nil
}
