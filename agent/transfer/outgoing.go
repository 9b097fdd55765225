package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Outgoing returns the migrations whose data a sender sends, by what it has put into the state directory and has not been told to
// forget, sorted. It changes nothing there: it is for commands beside a running agent.
func Outgoing(stateDir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(stateDir, "send"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is being sent: %w", err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && validID(e.Name()) {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out, nil
}
