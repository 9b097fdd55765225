//go:build linux

package vm

import (
	"context"
	"fmt"
)

// Cut takes a guest or namespace off the network. It does not see its cable unplugged: frames
// are lost on the way, as behind a broken switch.
func (f *Fleet) Cut(ctx context.Context, name string) error {
	return f.onLink(name, func(n node) error { return f.net.cut(ctx, n) })
}

// Heal undoes Cut.
func (f *Fleet) Heal(ctx context.Context, name string) error {
	return f.onLink(name, func(n node) error { return f.net.heal(ctx, n) })
}

// CutPair loses all frames between two guests or namespaces, in both directions. Others still
// reach both.
func (f *Fleet) CutPair(ctx context.Context, a, b string) error {
	return f.onLink(a, func(first node) error {
		return f.onLink(b, func(second node) error { return f.net.cutPair(ctx, first, second) })
	})
}

// HealPair undoes CutPair.
func (f *Fleet) HealPair(ctx context.Context, a, b string) error {
	return f.onLink(a, func(first node) error {
		return f.onLink(b, func(second node) error { return f.net.healPair(ctx, first, second) })
	})
}

// Slow limits a guest's or namespace's link to so many bits per second in each direction; 0
// lifts the limit. Frames queue for up to 100 ms, then they are lost.
func (f *Fleet) Slow(ctx context.Context, name string, bitsPerSecond int64) error {
	return f.onLink(name, func(n node) error { return f.net.slow(ctx, n, bitsPerSecond) })
}

func (f *Fleet) onLink(name string, change func(node) error) error {
	n, err := findNode(f.net.nodes, name)
	if err != nil {
		return err
	}
	if err := change(n); err != nil {
		return fmt.Errorf("link of %s: %w", name, err)
	}
	return nil
}
