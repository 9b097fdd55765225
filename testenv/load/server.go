package load

import (
	"context"
	"fmt"
	"time"
)

// Server is a kind of server that clients write to.
type Server interface {
	// Connect gives up after the time to connect; an exchange on the connection gives up after the other.
	Connect(ctx context.Context, d Dialer, connect, exchange time.Duration) (Connection, error)
}

// Connection is one connection, used by one goroutine at a time. After an error other than a ServerError it must be closed.
type Connection interface {
	// Put writes a record, and returns nil once it is acknowledged. One that is there already, since its acknowledgement did not
	// arrive, is acknowledged, too.
	Put(ctx context.Context, key, content string) error
	// Get returns the contents of those of the records that are there.
	Get(ctx context.Context, keys []string) (map[string]string, error)
	Close()
}

// redis is a Redis.
type redis struct{}

// Connect implements Server.
func (redis) Connect(ctx context.Context, d Dialer, connect, exchange time.Duration) (Connection, error) {
	return dial(ctx, d, connect, exchange)
}

// Put implements Connection.
func (c *conn) Put(ctx context.Context, key, content string) error {
	_, err := c.do(ctx, "SET", key, content)
	return err
}

// Get implements Connection.
func (c *conn) Get(ctx context.Context, keys []string) (map[string]string, error) {
	got, err := c.do(ctx, append([]string{"MGET"}, keys...)...)
	if err != nil {
		return nil, err
	}
	if len(got.items) != len(keys) {
		return nil, fmt.Errorf("%d values for %d records", len(got.items), len(keys))
	}
	out := map[string]string{}
	for i, item := range got.items {
		if !item.null {
			out[keys[i]] = item.text
		}
	}
	return out, nil
}

// Close implements Connection.
func (c *conn) Close() { c.close() }
