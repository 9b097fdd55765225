package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/glidepath/glidepath/internal/durable"
)

// maxState bounds what is read of a state file.
const maxState = 1 << 20

// state is what the driver durably knows of an instance beside the ownership record: what it found before it changed
// anything, so that it can put it back. It is written before the first change that it describes.
type state struct {
	Migration  string   `json:"migration,omitzero"` // that the target part is for
	Companions []string `json:"companions"`         // sockets, timers and paths that start the unit, sorted
	DropIn     string   `json:"drop_in"`            // path
	Enable     []string `json:"enable"`             // units that start at boot where the instance lives

	Data     []dataPath `json:"data,omitempty"`     // of a target: what lay where the data come
	Moved    []move     `json:"moved,omitempty"`    // of a target: configuration set aside
	Retained []move     `json:"retained,omitempty"` // of a source that gave the instance away: its data
	MadeDirs []string   `json:"made_dirs,omitempty"`
}

// dataPath is a data path as it was before anything was received there.
type dataPath struct {
	Path    string      `json:"path"`
	Existed bool        `json:"existed"` // as an empty directory
	Mode    fs.FileMode `json:"mode"`
	UID     int         `json:"uid"`
	GID     int         `json:"gid"`
}

// move is a rename on one file system.
type move struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// load returns the state of an instance; false if there is none.
func (d *Driver) load(instance string) (state, bool, error) {
	data, err := durable.ReadFile(d.Files, d.statePath(instance), maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, false, nil
	}
	if err != nil {
		return state{}, false, fmt.Errorf("read what is known of instance %s: %w", instance, err)
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return state{}, false, fmt.Errorf("%s is damaged: %w: restore it from a backup", d.statePath(instance), err)
	}
	return s, true, nil
}

func (d *Driver) save(instance string, s state) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encode what is known of instance %s: %w", instance, err)
	}
	if err := os.MkdirAll(filepath.Dir(d.statePath(instance)), 0o700); err != nil {
		return fmt.Errorf("remember instance %s: %w", instance, err)
	}
	if err := durable.WriteFile(d.Files, d.statePath(instance), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("remember instance %s: %w", instance, err)
	}
	return nil
}

// forget removes the state of an instance.
func (d *Driver) forget(instance string) error {
	if _, known, err := d.load(instance); err == nil && !known {
		return nil
	}
	return durable.Remove(d.Files, d.statePath(instance))
}
