package backtest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/forecast"
	"github.com/glidepath/glidepath/internal/durable"
)

// emission is the file of all forecasts while it comes about: a folder beside it has what each series gave, whole or not at all, and how it was
// scored. When all are there they are put together, in the order of their names. Without a file it takes everything and keeps nothing.
type emission struct {
	file, dir string
	zipped    bool
	lock      *durable.DirLock
}

const (
	partsSuffix  = ".parts"
	settingsFile = "settings.json"
	maxPart      = 64 << 20 // bytes of a part's scores
)

// openEmission begins or goes on. It refuses to go on with other settings.
func openEmission(file string, s Settings) (*emission, error) {
	if file == "" {
		return &emission{}, nil
	}
	if st, err := os.Stat(file); err == nil && st.IsDir() {
		return nil, fmt.Errorf("%s is a folder: name a file in it", file)
	}
	e := &emission{file: file, dir: file + partsSuffix, zipped: strings.HasSuffix(file, ".gz")}
	if err := os.Mkdir(e.dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	lock, err := durable.LockDir(e.dir)
	if err != nil {
		return nil, err
	}
	e.lock = lock
	if err := e.sweep(); err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	want, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	path := filepath.Join(e.dir, settingsFile)
	have, err := durable.ReadFile(durable.OS{}, path, maxPart)
	switch {
	case errors.Is(err, fs.ErrNotExist): // also where the parts of a finished run were not all removed
		if err = e.clear(); err == nil {
			err = durable.WriteFile(durable.OS{}, path, want, 0o644)
		}
	case err == nil && !bytes.Equal(have, want):
		err = fmt.Errorf("%s is of an interrupted run with other settings (its %s has them): give those to go on, or remove that folder to begin anew", e.dir, settingsFile)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return e, nil
}

// sweep removes what a run that was killed had begun to write.
func (e *emission) sweep() error {
	left, err := os.ReadDir(e.dir)
	if err != nil {
		return err
	}
	for _, f := range left {
		if name := f.Name(); strings.HasPrefix(name, ".") && strings.Contains(name, tempSuffix) {
			if err := os.Remove(filepath.Join(e.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// clear removes the parts: scores first, which are of lines that are there.
func (e *emission) clear() error {
	parts, err := os.ReadDir(e.dir)
	if err != nil {
		return err
	}
	for _, suffix := range []string{scoresSuffix, linesSuffix} {
		for _, p := range parts {
			if strings.HasSuffix(p.Name(), suffix) {
				if err := os.Remove(filepath.Join(e.dir, p.Name())); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (e *emission) close() {
	if e.lock != nil {
		_ = e.lock.Unlock() // the process ends soon, and nothing was written through it
	}
}

// path returns the name of a series' file in the folder.
func (e *emission) path(series, suffix string) string {
	return filepath.Join(e.dir, url.PathEscape(series)+suffix)
}

const (
	linesSuffix  = ".ndjson"
	scoresSuffix = ".score"
	tempSuffix   = ".tmp-" // and letters that tell them apart
)

// known returns what an earlier run found of a series.
func (e *emission) known(series string) (part, bool) {
	var p part
	if e.file == "" {
		return p, false
	}
	text, err := durable.ReadFile(durable.OS{}, e.path(series, scoresSuffix), maxPart)
	if err != nil || json.Unmarshal(text, &p) != nil {
		return part{}, false
	}
	_, err = os.Stat(e.path(series, linesSuffix))
	return p, err == nil
}

// writer takes the forecasts of one series.
type writer struct {
	e      *emission
	series string
	f      *os.File // nil when nothing is kept
	out    *bufio.Writer
	zip    *gzip.Writer
	line   []byte
}

func (e *emission) begin(series string) (*writer, error) {
	w := &writer{e: e, series: series}
	if e.file == "" {
		return w, nil
	}
	f, err := os.CreateTemp(e.dir, "."+url.PathEscape(series)+tempSuffix+"*")
	if err != nil {
		return nil, err
	}
	w.f = f
	var to io.Writer = f
	if e.zipped {
		w.zip = gzip.NewWriter(f)
		to = w.zip
	}
	w.out = bufio.NewWriterSize(to, 1<<16)
	return w, nil
}

// write writes a forecast, a line for each step and quantile.
func (w *writer) write(series, column string, f *forecast.One) error {
	if w.f == nil {
		return nil
	}
	head, err := json.Marshal(struct {
		Series   string `json:"series"`
		Resource string `json:"resource"`
		Origin   string `json:"origin"`
	}{series, column, f.Start.Std().Format(time.RFC3339Nano)})
	if err != nil {
		return err
	}
	head = append(head[:len(head)-1], `,"step":`...)
	for i := range f.Values[0] {
		for qi, q := range f.Quantiles {
			w.line = strconv.AppendInt(append(w.line[:0], head...), int64(i)+1, 10)
			w.line = strconv.AppendFloat(append(w.line, `,"quantile":`...), q, 'g', -1, 64)
			w.line = strconv.AppendFloat(append(w.line, `,"value":`...), f.Values[qi][i], 'g', -1, 64)
			if _, err := w.out.Write(append(w.line, "}\n"...)); err != nil {
				return err
			}
		}
	}
	return nil
}

// keep makes what was written, and how it was scored, the series' part.
func (w *writer) keep(p part) error {
	if w.f == nil {
		return nil
	}
	err := w.out.Flush()
	if err == nil && w.zip != nil {
		err = w.zip.Close()
	}
	if err == nil {
		err = w.f.Sync()
	}
	if err == nil { // what is known of other lines is not known of these
		err = durable.Remove(durable.OS{}, w.e.path(w.series, scoresSuffix))
	}
	if err == nil {
		err = os.Rename(w.f.Name(), w.e.path(w.series, linesSuffix))
	}
	if err != nil {
		return fmt.Errorf("write the forecasts of %s: %w", w.series, err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return durable.WriteFile(durable.OS{}, w.e.path(w.series, scoresSuffix), text, 0o644)
}

// drop closes the file, and removes it where it was not kept.
func (w *writer) drop() {
	if w.f != nil {
		_ = w.f.Close()
		_ = os.Remove(w.f.Name()) // it is gone when it was kept
	}
}

// finish puts the parts together.
func (e *emission) finish(inputs []input, parts []part) (err error) {
	if e.file == "" {
		return nil
	}
	f, err := os.CreateTemp(e.dir, "."+tempSuffix+"*") // from where it is moved to its place
	if err != nil {
		return err
	}
	defer func() {
		_ = f.Close()
		if err != nil {
			err = fmt.Errorf("write %s: %w", e.file, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	for i, in := range inputs {
		if parts[i].Sum == "" { // it could not be read
			continue
		}
		if err := e.append(f, e.path(in.series, linesSuffix)); err != nil {
			return err
		}
	}
	if err := errors.Join(f.Chmod(0o644), f.Sync()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), e.file); err != nil {
		return err
	}
	if err := (durable.OS{}).SyncDir(filepath.Dir(e.file)); err != nil {
		return err
	}
	// The settings last: a folder without them is no run to go on with.
	if err := errors.Join(e.clear(), os.RemoveAll(e.dir)); err != nil {
		return fmt.Errorf("it is complete, but its parts remain: remove %s (%w)", e.dir, err)
	}
	return nil
}

func (e *emission) append(to *os.File, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(to, f)
	return err
}
