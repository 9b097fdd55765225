// Package bundle packs what helps others to help: files without secrets, of a bounded size, with a list of what is missing.
package bundle

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Limits of what is packed, in bytes.
const (
	MaxFile = 4 << 20
	maxAll  = 64 << 20
)

// Manifest is the name of the first file: what is in the bundle, and what is not.
const Manifest = "MANIFEST.json"

// File is one file of a bundle.
type File struct {
	Name    string // with / between folders
	Data    []byte
	Missing string // why it is not there, or not whole
}

// Entry is what the manifest says of a file.
type Entry struct {
	Name    string `json:"name"`
	Bytes   int    `json:"bytes"`
	Missing string `json:"missing,omitempty"` // why it is not there, or not whole
}

// List is the manifest.
type List struct {
	MadeAt time.Time `json:"made_at"`
	Files  []Entry   `json:"files"`
}

// secrets are what must never leave a coordinator, wherever it came from: tokens with their secrets, and private keys.
var secrets = []struct {
	found *regexp.Regexp
	by    string
}{
	{regexp.MustCompile(`gpa1\.([0-9a-fA-F]{1,16})\.[0-9a-fA-F]+`), "gpa1.$1.REMOVED"},
	{regexp.MustCompile(`gpj1\.[A-Za-z0-9_-]+`), "gpj1.REMOVED"},
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`), "PRIVATE KEY REMOVED"},
	{regexp.MustCompile(`(?i)(authorization: *bearer +)\S+`), "${1}REMOVED"},
}

// Clean returns a text without what looks like a secret.
func Clean(b []byte) []byte {
	for _, s := range secrets {
		b = s.found.ReplaceAll(b, []byte(s.by))
	}
	return b
}

// setting is a line of a configuration whose name says that its value is a secret.
var setting = regexp.MustCompile(`(?im)^(\s*[\w.-]*(?:token|secret|password|passphrase|private_key|api_key)[\w.-]*\s*:).*$`)

// CleanSettings returns a YAML text without values whose names say that they are secrets.
func CleanSettings(b []byte) []byte { return setting.ReplaceAll(Clean(b), []byte("$1 REMOVED")) }

// JSON returns a file that shows v, or says why it can't.
func JSON(name string, v any) File {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return File{Name: name, Missing: err.Error()}
	}
	return File{Name: name, Data: append(b, '\n')}
}

// Write writes a tar.gz of the files, sorted by name, each cleaned and cut to MaxFile; what is above the limit for all is left out. The manifest says so.
func Write(w io.Writer, files []File, at time.Time) error {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	list := List{MadeAt: at.UTC()}
	total := 0
	for i := range files {
		f := &files[i]
		f.Data, f.Missing = Clean(f.Data), string(Clean([]byte(f.Missing)))
		if n := len(f.Data); n > MaxFile {
			f.Data, f.Missing = f.Data[:MaxFile], fmt.Sprintf("its last %d bytes are left out", n-MaxFile)
		}
		if total += len(f.Data); total > maxAll {
			total -= len(f.Data)
			f.Data, f.Missing = nil, "the bundle would be too large"
		}
		list.Files = append(list.Files, Entry{f.Name, len(f.Data), f.Missing})
	}
	manifest := JSON(Manifest, list)
	zip := gzip.NewWriter(w)
	pack := tar.NewWriter(zip)
	for _, f := range append([]File{manifest}, files...) {
		if f.Data == nil {
			continue
		}
		err := pack.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Mode: 0o600, Size: int64(len(f.Data)), ModTime: at})
		if err == nil {
			_, err = pack.Write(f.Data)
		}
		if err != nil {
			return fmt.Errorf("pack %s: %w", f.Name, err)
		}
	}
	return errors.Join(pack.Close(), zip.Close())
}

// Read returns the manifest of a bundle, which is its first file, after having read all of it.
func Read(r io.Reader) (List, error) {
	var list List
	zip, err := gzip.NewReader(r)
	if err != nil {
		return list, fmt.Errorf("not a bundle: %w", err)
	}
	files := tar.NewReader(zip)
	for first := true; ; first = false {
		h, err := files.Next()
		if errors.Is(err, io.EOF) && !first {
			return list, nil
		}
		if err != nil {
			return list, fmt.Errorf("not a whole bundle: %w", err)
		}
		if first {
			if h.Name != Manifest {
				return list, fmt.Errorf("not a bundle: it begins with %q", h.Name)
			}
			if err := json.NewDecoder(io.LimitReader(files, MaxFile)).Decode(&list); err != nil {
				return list, fmt.Errorf("not a bundle: %w", err)
			}
		}
	}
}
