package load

import (
	"context"
	"fmt"
)

const fillPiece = 256 << 10

// Fill writes at least so many bytes that do not compress, under keys that begin with the prefix.
func Fill(ctx context.Context, d Dialer, prefix string, bytes int64) error {
	err := onConnection(ctx, d, func(ctx context.Context, conn *conn) error {
		for i := int64(0); i*fillPiece < bytes; i++ {
			if _, err := conn.do(ctx, "SET", fmt.Sprintf("%s:%d", prefix, i), record(-2, i, fillPiece)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("fill with %d bytes: %w", bytes, err)
	}
	return nil
}
