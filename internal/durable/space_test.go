package durable_test

import (
	"path/filepath"
	"testing"

	"github.com/glidepath/glidepath/internal/durable"
)

func TestSpaceIsOfTheFileSystemThatAFolderIsOn(t *testing.T) {
	dir := t.TempDir()
	available, size, err := durable.Space(dir)
	if err != nil || available <= 0 || available > size {
		t.Errorf("%d of %d bytes are left: %v", available, size, err)
	}
	if _, _, err := durable.Space(filepath.Join(dir, "none")); err == nil {
		t.Error("there is space where nothing is")
	}
}
