package tree

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Kind is what an entry of a tree is.
type Kind byte

// The kinds of entries. Sockets are seen on a target only, so that they are deleted there: a socket without its server is
// of no use to anybody, and the service makes its own.
const (
	Dir      Kind = 'd'
	File     Kind = 'f'
	Symlink  Kind = 'l'
	Hardlink Kind = 'h' // a further name of a file that came before; its metadata are there
	Fifo     Kind = 'p'
	Char     Kind = 'c'
	Block    Kind = 'b'
	Socket   Kind = 's'
)

// Entry is one name in a tree, without content. Users and groups are names: their numbers differ between hosts.
type Entry struct {
	Path   string // below the root; "" is the root itself
	Kind   Kind
	Mode   uint32 // permission bits with set-id and sticky
	Owner  string // a name, or "#1000" where there is none
	Group  string
	MTime  int64  // nanoseconds since 1970, signed
	Size   int64  // of a file, in bytes
	Target string // of a symlink: as it is; of a hard link: the first name's path
	Rdev   uint64 // of a device
	Xattrs []Xattr
}

// Xattr is an extended attribute. An ACL is one, too, in a form with names.
type Xattr struct {
	Name  string
	Value string
}

// equal reports whether two entries of one path have the same kind and metadata.
func (e *Entry) equal(o *Entry) bool {
	return e.Kind == o.Kind && e.Mode == o.Mode && e.Owner == o.Owner && e.Group == o.Group && e.MTime == o.MTime &&
		e.Size == o.Size && e.Target == o.Target && e.Rdev == o.Rdev && slices.Equal(e.Xattrs, o.Xattrs)
}

// blocks returns how many blocks the content of e has.
func (e *Entry) blocks() int64 {
	if e.Kind != File {
		return 0
	}
	return (e.Size + BlockSize - 1) / BlockSize
}

// blockLen returns the length of block i of e, 0 beyond the end.
func (e *Entry) blockLen(i int64) int {
	return int(max(0, min(BlockSize, e.Size-i*BlockSize)))
}

// append encodes e. Equal entries encode to equal bytes.
func (e *Entry) append(b []byte) []byte {
	b = append(b, byte(e.Kind))
	b = appendString(b, e.Path)
	b = binary.AppendUvarint(b, uint64(e.Mode))
	b = appendString(b, e.Owner)
	b = appendString(b, e.Group)
	b = binary.AppendVarint(b, e.MTime)
	b = binary.AppendUvarint(b, uint64(e.Size))
	b = appendString(b, e.Target)
	b = binary.AppendUvarint(b, e.Rdev)
	b = binary.AppendUvarint(b, uint64(len(e.Xattrs)))
	for _, x := range e.Xattrs {
		b = appendString(b, x.Name)
		b = appendString(b, x.Value)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// parseEntry decodes an entry that may come from anybody, and checks all that can be checked without a file system.
func parseEntry(b []byte) (Entry, error) {
	if len(b) == 0 {
		return Entry{}, protocolError("an empty entry")
	}
	d := decoder{b: b[1:]}
	e := Entry{Kind: Kind(b[0]), Path: d.string(maxPath)}
	e.Mode = uint32(d.uint(0o7777))
	e.Owner = d.string(maxName)
	e.Group = d.string(maxName)
	e.MTime = d.int()
	e.Size = int64(d.uint(maxFileSize))
	e.Target = d.string(maxPath)
	e.Rdev = d.uint(1<<64 - 1)
	n := d.uint(maxXattrs)
	for i := uint64(0); i < n && !d.bad; i++ {
		e.Xattrs = append(e.Xattrs, Xattr{d.string(maxName), d.string(maxXattr)})
	}
	if d.bad || len(d.b) != 0 {
		return Entry{}, protocolError("an entry does not decode")
	}
	return e, e.check()
}

func (e *Entry) check() error {
	if err := checkPath(e.Path); err != nil {
		return err
	}
	wantTarget := e.Kind == Symlink || e.Kind == Hardlink
	switch {
	case !strings.ContainsRune("dflhpcbs", rune(e.Kind)):
		return protocolError("%q has the unknown kind %q", e.Path, byte(e.Kind))
	case wantTarget != (e.Target != ""):
		return protocolError("%q of kind %q with the target %q", e.Path, byte(e.Kind), e.Target)
	case e.Kind != File && e.Size != 0, e.Kind != Char && e.Kind != Block && e.Rdev != 0:
		return protocolError("%q of kind %q with a size or a device", e.Path, byte(e.Kind))
	case strings.IndexByte(e.Target, 0) >= 0:
		return protocolError("%q has a target with a zero byte", e.Path)
	case e.Kind == Hardlink:
		if err := checkPath(e.Target); err != nil {
			return err
		}
		if comparePaths(e.Target, e.Path) >= 0 {
			return protocolError("%q is a further name of %q, which does not come before", e.Path, e.Target)
		}
		return nil
	case e.Owner == "" || e.Group == "":
		return protocolError("%q has no owner", e.Path)
	}
	for i, x := range e.Xattrs {
		if i > 0 && e.Xattrs[i-1].Name >= x.Name {
			return protocolError("%q has attributes out of order", e.Path)
		}
		if !carriedXattr(x.Name) {
			return protocolError("%q has the attribute %q", e.Path, x.Name)
		}
	}
	return nil
}

// checkPath reports whether p names something below a root and nothing else. (The kernel is asked to confine it all the same.)
func checkPath(p string) error {
	if p == "" {
		return nil
	}
	if len(p) > maxPath || strings.IndexByte(p, 0) >= 0 {
		return protocolError("a path of %d bytes, or with a zero byte", len(p))
	}
	for name := range strings.SplitSeq(p, "/") {
		if name == "" || name == "." || name == ".." || len(name) > 255 {
			return protocolError("the path %.200q", p)
		}
	}
	return nil
}

// comparePaths orders paths as a walk meets them: a directory, what is in it, then its next sibling by bytes.
func comparePaths(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] != b[i] {
			return int(pathByte(a[i])) - int(pathByte(b[i]))
		}
	}
	return len(a) - len(b)
}

// pathByte puts the slash before every byte that a name can have.
func pathByte(c byte) byte {
	if c == '/' {
		return 0
	}
	return c
}

// beneath reports whether path is dir or lies in it.
func beneath(path, dir string) bool {
	return dir == "" || path == dir || strings.HasPrefix(path, dir) && path[len(dir)] == '/'
}

// parentOf returns the path of the directory that path is in, and the name there.
func parentOf(path string) (dir, name string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

// decoder takes bounded values off a slice; bad sticks.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || v > limit {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) string(limit int) string {
	n := d.uint(uint64(limit))
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}
