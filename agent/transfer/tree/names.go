package tree

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"
)

// names maps users and groups between numbers and names, asking the host once for each.
type names struct {
	users, groups     map[uint32]string
	userIDs, groupIDs map[string]uint32
}

func newNames() *names {
	return &names{map[uint32]string{}, map[uint32]string{}, map[string]uint32{}, map[string]uint32{}}
}

// user returns the name of uid, or "#uid" if it has none.
func (n *names) user(uid uint32) (string, error) {
	return nameOf(n.users, uid, func(id string) (string, error) {
		u, err := user.LookupId(id)
		if err != nil {
			return "", err
		}
		return u.Username, nil
	})
}

// group returns the name of gid, or "#gid" if it has none.
func (n *names) group(gid uint32) (string, error) {
	return nameOf(n.groups, gid, func(id string) (string, error) {
		g, err := user.LookupGroupId(id)
		if err != nil {
			return "", err
		}
		return g.Name, nil
	})
}

func nameOf(known map[uint32]string, id uint32, lookup func(string) (string, error)) (string, error) {
	if s, ok := known[id]; ok {
		return s, nil
	}
	digits := strconv.FormatUint(uint64(id), 10)
	name, err := lookup(digits)
	if err != nil {
		var noUser user.UnknownUserIdError
		var noGroup user.UnknownGroupIdError
		if !errors.As(err, &noUser) && !errors.As(err, &noGroup) {
			return "", fmt.Errorf("look up the name of %s: %w", digits, err)
		}
		name = "#" + digits
	}
	known[id] = name
	return name, nil
}

// uid returns the number of a user on this host. An unknown name wraps ErrNoName.
func (n *names) uid(name string) (uint32, error) {
	return idOf(n.userIDs, "user", name, func() (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
}

// gid returns the number of a group on this host. An unknown name wraps ErrNoName.
func (n *names) gid(name string) (uint32, error) {
	return idOf(n.groupIDs, "group", name, func() (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	})
}

func idOf(known map[string]uint32, what, name string, lookup func() (string, error)) (uint32, error) {
	if id, ok := known[name]; ok {
		return id, nil
	}
	digits, numeric := strings.CutPrefix(name, "#")
	if !numeric {
		var err error
		if digits, err = lookup(); err != nil {
			var noUser user.UnknownUserError
			var noGroup user.UnknownGroupError
			if errors.As(err, &noUser) || errors.As(err, &noGroup) {
				return 0, fmt.Errorf("%w: the %s %q owns data on the source; create it on this host", ErrNoName, what, name)
			}
			return 0, fmt.Errorf("look up the %s %q: %w", what, name, err)
		}
	}
	id, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || id == 1<<32-1 { // -1 tells chown to leave the owner
		return 0, protocolError("the %s %q", what, name)
	}
	known[name] = uint32(id)
	return uint32(id), nil
}
