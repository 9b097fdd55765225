package load

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Verified is what reading back every acknowledged record found.
type Verified struct {
	Read  int64    // records that were asked for
	Lost  int64    // of these: not there, or with another content
	First []string // keys of the first lost ones, at most 10
}

const (
	readBatch    = 100
	readAttempts = 5
	readTimeout  = 20 * time.Second
	namedLost    = 10
)

// Verify reads back every record that was acknowledged before it was called. An error means that the server could not be
// asked, and says nothing of the records.
func (c *Clients) Verify(ctx context.Context) (Verified, error) {
	c.setUp()
	var v Verified
	var connection Connection
	defer func() {
		if connection != nil {
			connection.Close()
		}
	}()
	for _, one := range c.clients {
		one.mu.Lock()
		acknowledged := one.acknowledged
		one.mu.Unlock()
		for from := int64(0); from < acknowledged; from += readBatch {
			to := min(from+readBatch, acknowledged)
			if err := c.readBack(ctx, &connection, one.number, from, to, &v); err != nil {
				return v, fmt.Errorf("read back records %d to %d of client %d: %w", from, to-1, one.number, err)
			}
		}
	}
	return v, nil
}

// readBack checks the records from <= n < to of a client. A server that moves meanwhile is asked again.
func (c *Clients) readBack(ctx context.Context, connection *Connection, client int, from, to int64, v *Verified) error {
	var keys []string
	for n := from; n < to; n++ {
		keys = append(keys, c.key(client, n))
	}
	var got map[string]string
	err := again(ctx, func() error {
		if *connection == nil {
			fresh, err := c.Server.Connect(ctx, c.Dial, readTimeout, readTimeout)
			if err != nil {
				return err
			}
			*connection = fresh
		}
		var err error
		if got, err = (*connection).Get(ctx, keys); err != nil {
			(*connection).Close()
			*connection = nil
		}
		return err
	})
	if err != nil {
		return err
	}
	for i, key := range keys {
		v.Read++
		content, there := got[key]
		if n := from + int64(i); !there || content != record(client, n, c.Size) {
			v.Lost++
			if len(v.First) < namedLost {
				v.First = append(v.First, c.key(client, n))
			}
		}
	}
	return nil
}

// again tries something a few times, a second apart.
func again(ctx context.Context, what func() error) error {
	var faults []error
	for range readAttempts {
		err := what()
		if err == nil {
			return nil
		}
		faults = append(faults, err)
		if err := wait(ctx, time.Second); err != nil {
			return err
		}
	}
	return errors.Join(faults...)
}

// record returns the content of a record: bytes that do not compress, and are the same for the same number.
func record(client int, n int64, size int) string {
	var name [16]byte
	binary.BigEndian.PutUint64(name[:8], uint64(client))
	binary.BigEndian.PutUint64(name[8:], uint64(n))
	source := rand.NewChaCha8(sha256.Sum256(name[:]))
	content := make([]byte, size)
	source.Read(content) //nolint:errcheck // it never fails
	return string(content)
}
