// Package allow holds the host's own allow-list, which bounds what coordinators and operators of the fleet can make its agent do.
package allow

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/glidepath/glidepath/internal/config"
	"github.com/glidepath/glidepath/proto"
)

// file is the allow-list as it is written. What it does not name is denied.
type file struct {
	Units     []string `yaml:"units"`     // names, or patterns like app-*.service, of units that may become instances
	Paths     []string `yaml:"paths"`     // absolute; data and configuration may be read and written there and below
	Addresses []string `yaml:"addresses"` // floating addresses, alone or as networks
	Users     []string `yaml:"users"`     // who may be named to run checks
	Hooks     []string `yaml:"hooks"`     // user:program; the program is an absolute path, or a pattern of its last part
	Signals   []string `yaml:"signals"`   // URLs, or patterns of them, that instances' signals may be fetched from here
}

// List is a host's allow-list. The zero List denies all.
type List struct {
	path      string
	units     []string
	roots     []string
	addresses []netip.Prefix
	users     []string
	hooks     []hook
	signals   []string
}

// hook is programs that a user may run as hooks.
type hook struct{ user, program string }

// Load reads the allow-list at path. It must be a regular file of root's that nobody else may write, in such a directory:
// whoever writes it decides what root does here. Without a file all is denied.
func Load(path string) (*List, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return &List{path: path}, nil
	}
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("allow-list %s is a symbolic link: put the file itself there", path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the allow-list: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the allow-list: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("allow-list %s is no regular file", path)
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("read the allow-list: %w", err)
	}
	if err := errors.Join(owned(path, info), owned(filepath.Dir(path), dir)); err != nil {
		return nil, err
	}
	return Parse(f, path)
}

// owned refuses what somebody other than root may change.
func owned(path string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != 0 {
		return fmt.Errorf("%s belongs to somebody other than root, so it can't say what root may do: chown root %s", path, path)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s can be written by others (mode %04o): chmod go-w %s", path, info.Mode().Perm(), path)
	}
	return nil
}

// Parse reads an allow-list and names every problem in it at once. Who may have written it is the caller's to know; name stands for it in errors.
func Parse(r io.Reader, name string) (*List, error) {
	var in file
	if err := config.Decode(r, name, &in); err != nil {
		return nil, fmt.Errorf("allow-list: %w", err)
	}
	l := &List{path: name, units: in.Units, users: in.Users, signals: in.Signals}
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("allow-list "+name+": "+format, args...))
	}
	for _, u := range in.Units {
		if _, err := path.Match(u, ""); err != nil || !strings.Contains(u, ".") || strings.ContainsAny(u, "/ ") {
			bad("units: %q is no unit's name or pattern: write it with its suffix, like redis-server.service", u)
		}
		if strings.HasPrefix(u, "*") {
			bad("units: %q would allow the system's own units, too: begin it with a name", u)
		}
	}
	for _, p := range in.Paths {
		if !filepath.IsAbs(p) || filepath.Clean(p) != strings.TrimRight(p, "/") {
			bad("paths: %q is no clean absolute path; / itself can't be allowed", p)
		}
		l.roots = append(l.roots, filepath.Clean(p))
	}
	for _, a := range in.Addresses {
		prefix, err := parsePrefix(a)
		if err != nil {
			bad("addresses: %q is neither an address nor a network like 10.77.0.0/24", a)
			continue
		}
		l.addresses = append(l.addresses, prefix.Masked())
	}
	for _, u := range in.Users {
		if u == "" || strings.ContainsAny(u, ": \t\n/") {
			bad("users: %q is no user's name", u)
		}
	}
	for _, h := range in.Hooks {
		user, program, _ := strings.Cut(h, ":")
		_, err := path.Match(program, "")
		switch dir, _ := path.Split(program); {
		case user == "" || strings.ContainsAny(user, " \t\n/"):
			bad("hooks: %q names no user: write it as user:program, like bird:/etc/glidepath/hooks/bgp", h)
		case err != nil || !path.IsAbs(program) || path.Clean(program) != program || strings.ContainsAny(dir, `*?[\`):
			bad("hooks: %q names no program by a clean absolute path; only its last part may be a pattern", h)
		}
		l.hooks = append(l.hooks, hook{user, program})
	}
	for _, s := range in.Signals {
		if _, err := path.Match(bracketed(s), ""); err != nil || !strings.HasPrefix(s, "http://") {
			bad("signals: %q is no URL or pattern of one, like http://127.0.0.1:9121/metrics", s)
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return l, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("%q is no address", s)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// Unit refuses a unit that the list does not name. All refusals of this package are *proto.Fault with code not-allowed,
// and say which line would allow it.
func (l *List) Unit(name string) error {
	for _, pattern := range l.units {
		// Also as it is written: in a pattern a backslash, as instances of templates have in their names, means something else.
		if ok, err := path.Match(pattern, name); pattern == name || ok && err == nil {
			return nil
		}
	}
	return l.deny("unit "+name, "units", name)
}

// Hook refuses a hook whose program the list does not name for the user who is to run it.
func (l *List) Hook(h proto.Hook) error {
	if len(h.Exec) == 0 {
		return &proto.Fault{Code: proto.FaultRefused, What: "a hook has no program", Remedy: "apply the instance's file again: `glidepath instance apply -f`"}
	}
	for _, allowed := range l.hooks {
		if ok, err := path.Match(allowed.program, h.Exec[0]); ok && err == nil && allowed.user == h.ExecUser() {
			return nil
		}
	}
	return l.deny(fmt.Sprintf("running %s as user %s as a hook", h.Exec[0], h.ExecUser()), "hooks", h.ExecUser()+":"+h.Exec[0])
}

// User refuses a user whom the list does not name as one who may run checks.
func (l *List) User(name string) error {
	if slices.Contains(l.users, name) {
		return nil
	}
	return l.deny("running commands as user "+name, "users", name)
}

// Address refuses a floating address that is in none of the list's networks.
func (l *List) Address(a netip.Addr) error {
	for _, p := range l.addresses {
		if p.Contains(a) {
			return nil
		}
	}
	return l.deny("address "+a.String(), "addresses", a.String())
}

// Signal refuses a signal whose URL the list does not name. What a pattern allows is what it looks like: addresses beside the loopback that are the list's, and no
// path that leads elsewhere.
func (l *List) Signal(s proto.Signal) error {
	if slices.Contains(l.signals, s.URL) {
		return nil
	}
	for _, pattern := range l.signals {
		if ok, err := path.Match(bracketed(pattern), s.URL); !ok || err != nil {
			continue
		}
		if at, rest, err := s.Place(); err == nil && !detours(rest) {
			if at.Addr().IsLoopback() {
				return nil
			}
			return l.Address(at.Addr())
		}
	}
	return l.deny("fetching "+s.URL, "signals", strconv.Quote(s.URL))
}

// bracketed escapes the brackets of an IPv6 address in a URL, which mean something else in a pattern.
func bracketed(pattern string) string {
	rest, _ := strings.CutPrefix(pattern, "http://[")
	addr, rest, closed := strings.Cut(rest, "]")
	if _, err := netip.ParseAddr(addr); err != nil || !closed {
		return pattern
	}
	return `http://\[` + addr + `\]` + rest
}

// detours reports whether the path of a URL has a segment that a server may take for a way elsewhere, also after it has decoded it: dots, or slashes that are
// written with %.
func detours(p string) bool {
	p, _, _ = strings.Cut(p, "?")
	for segment := range strings.SplitSeq(p, "/") {
		segment, err := url.PathUnescape(segment)
		name, _, _ := strings.Cut(segment, ";") // what follows are parameters, to some
		if err != nil || name == "." || name == ".." || strings.ContainsAny(segment, `/\%`) {
			return true
		}
	}
	return false
}

// Path refuses a path that is not in one of the list's roots, as it is written or after its symbolic links are followed.
// What does not exist yet is judged by the directory that it would be made in. The answer holds for the links as they are now: who
// works on the path afterwards as root must not follow links out of it.
func (l *List) Path(p string) error {
	clean := filepath.Clean(p)
	if !filepath.IsAbs(p) || clean != p {
		return &proto.Fault{Code: proto.FaultRefused, What: fmt.Sprintf("path %q is not absolute and clean", p), Remedy: "write it without . and .. and without a slash at its end"}
	}
	if !slices.ContainsFunc(l.roots, func(root string) bool { return within(root, clean) }) {
		return l.deny("path "+clean, "paths", clean)
	}
	target, err := resolve(clean)
	if err != nil {
		return &proto.Fault{Code: proto.FaultRefused, What: fmt.Sprintf("path %s can't be followed: %v", clean, err), Remedy: "mend the link, or name another path"}
	}
	for _, root := range l.roots {
		realRoot, err := resolve(root)
		if err == nil && within(realRoot, target) {
			return nil
		}
	}
	return l.deny(fmt.Sprintf("path %s, which leads to %s,", clean, target), "paths", target)
}

// Instance refuses an instance that needs anything which the list does not name. It names everything that is missing.
func (l *List) Instance(spec proto.InstanceSpec) error {
	var denied []error
	check := func(err error) {
		if err != nil {
			denied = append(denied, err)
		}
	}
	if s := spec.Service; s != nil {
		check(l.Unit(s.Unit))
		for _, p := range slices.Concat(s.Data, s.Config) {
			check(l.Path(p))
		}
	}
	for _, text := range spec.FloatingAddresses() {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			check(&proto.Fault{Code: proto.FaultRefused, What: fmt.Sprintf("address %q of instance %s has no prefix length", text, spec.Name), Remedy: "write it like 10.77.0.60/24"})
		} else {
			check(l.Address(prefix.Addr()))
		}
	}
	if len(spec.Health.Exec) > 0 {
		check(l.User(spec.Health.ExecUser()))
	}
	// Those of both sides: an instance that came here may leave again.
	var seen []hook
	for _, h := range spec.Hooks.All() {
		if len(h.Exec) > 0 && slices.Contains(seen, hook{h.ExecUser(), h.Exec[0]}) {
			continue
		}
		check(l.Hook(h))
		if len(h.Exec) > 0 {
			seen = append(seen, hook{h.ExecUser(), h.Exec[0]})
		}
	}
	return join(denied)
}

// join makes one fault of many.
func join(denied []error) error {
	if len(denied) < 2 {
		return errors.Join(denied...)
	}
	out := &proto.Fault{Code: proto.FaultNotAllowed}
	var what, remedy []string
	for _, err := range denied {
		var f *proto.Fault
		if errors.As(err, &f) {
			what, remedy = append(what, f.What), append(remedy, f.Remedy)
		}
	}
	out.What, out.Remedy = strings.Join(what, "; "), strings.Join(remedy, "; ")
	return out
}

func (l *List) deny(what, field, value string) error {
	return &proto.Fault{
		Code:   proto.FaultNotAllowed,
		What:   fmt.Sprintf("%s is not on this host's allow-list", what),
		Remedy: fmt.Sprintf("to allow it, add to %s:  %s: [%s]", l.path, field, value),
	}
}

// within reports whether p is root or below it. Both are clean.
func within(root, p string) bool {
	return p == root || strings.HasPrefix(p, strings.TrimRight(root, "/")+"/")
}

// resolve follows the symbolic links of a path as far as it exists. A link that leads nowhere is an error: what is made through it would be elsewhere.
func resolve(p string) (string, error) {
	rest := ""
	for dir := p; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); err == nil {
			followed, err := filepath.EvalSymlinks(dir)
			return filepath.Join(followed, rest), err
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}
