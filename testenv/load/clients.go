// Package load writes numbered records to a server as its clients would, keeps what was acknowledged, and tells what was
// lost and how long nothing was answered; a campaign adds load of a given size in CPU and memory to a Redis.
package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

// Clients write records, each on a connection of its own, and try a record again, on a new connection if need be, until it is
// acknowledged. Fields are set before Run; the zero value of all but Dial means the default.
type Clients struct {
	Dial   Dialer
	Server Server  // what Dial connects to; a Redis
	Prefix string  // of the keys; "rec"
	Count  int     // clients; 4
	Rate   float64 // records per second and client; 25
	Size   int     // bytes of a record; 512, which do not compress

	// Connect and Exchange bound an attempt to connect and a command; 200 ms and 1 s. While the server moves they are how exactly
	// its return is noticed.
	Connect, Exchange time.Duration

	once    sync.Once
	clients []*client
}

// Gap is a time in which one client was not acknowledged anything.
type Gap struct {
	From, To time.Time
}

// Length returns how long it was.
func (g Gap) Length() time.Duration { return g.To.Sub(g.From) }

// noticed is the shortest gap that is kept.
const noticed = 50 * time.Millisecond

// retry is how long a client waits after a failed attempt to connect that failed sooner.
const retry = 10 * time.Millisecond

// Stats are what the clients have seen.
type Stats struct {
	Acknowledged int64 // records
	Errors       int64 // commands and attempts to connect that failed, and were tried again
	Gaps         []Gap // of all clients, from 50 ms, including those that have not ended
}

// Longest returns the longest gap that overlaps the time from start to end, or a zero Gap.
func (s Stats) Longest(start, end time.Time) Gap {
	var longest Gap
	for _, g := range s.Gaps {
		if g.From.Before(end) && g.To.After(start) && g.Length() > longest.Length() {
			longest = g
		}
	}
	return longest
}

// client is one of the clients. What it has acknowledged are the records 0 to acknowledged-1, as it goes on to the next only then.
type client struct {
	number int

	mu           sync.Mutex
	acknowledged int64
	errors       int64
	last         time.Time // of the last acknowledgement, or of the start
	gaps         []Gap
}

func (c *Clients) setUp() {
	c.once.Do(func() {
		if c.Server == nil {
			c.Server = redis{}
		}
		c.Prefix = cmp.Or(c.Prefix, "rec")
		c.Count = cmp.Or(c.Count, 4)
		c.Rate = cmp.Or(c.Rate, 25)
		c.Size = cmp.Or(c.Size, 512)
		c.Connect = cmp.Or(c.Connect, 200*time.Millisecond)
		c.Exchange = cmp.Or(c.Exchange, time.Second)
		for i := range c.Count {
			c.clients = append(c.clients, &client{number: i})
		}
	})
}

// Run writes until ctx ends, which is no error. It is called once.
func (c *Clients) Run(ctx context.Context) error {
	c.setUp()
	var group errgroup.Group
	for _, one := range c.clients {
		group.Go(func() error { return c.write(ctx, one) })
	}
	return group.Wait()
}

// write is the life of one client. It ends with an error only where the server refuses a record, as that is not for waiting.
func (c *Clients) write(ctx context.Context, one *client) error {
	one.begin(time.Now())
	pace := rate.NewLimiter(rate.Limit(c.Rate), 1)
	var connection Connection
	defer func() {
		if connection != nil {
			connection.Close()
		}
	}()
	for n := int64(0); pace.Wait(ctx) == nil; n++ {
		for {
			err := c.put(ctx, &connection, one.number, n)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return nil
			}
			one.failed()
			var refused ServerError
			if errors.As(err, &refused) && !refused.passing() {
				return fmt.Errorf("client %d, record %d: %w", one.number, n, err)
			}
			if wait(ctx, retry) != nil {
				return nil
			}
		}
		one.acknowledge(time.Now())
	}
	return nil
}

// passing says whether the server will answer otherwise soon: it is still reading its data, or going down.
func (e ServerError) passing() bool {
	word, _, _ := strings.Cut(string(e), " ")
	return word == "LOADING" || word == "BUSY"
}

// put writes one record, on the connection that is there or a new one.
func (c *Clients) put(ctx context.Context, connection *Connection, client int, n int64) error {
	if *connection == nil {
		fresh, err := c.Server.Connect(ctx, c.Dial, c.Connect, c.Exchange)
		if err != nil {
			return err
		}
		*connection = fresh
	}
	err := (*connection).Put(ctx, c.key(client, n), record(client, n, c.Size))
	var refused ServerError
	if err != nil && !errors.As(err, &refused) {
		(*connection).Close()
		*connection = nil
	}
	return err
}

func (c *Clients) key(client int, n int64) string {
	return fmt.Sprintf("%s:%d:%d", c.Prefix, client, n)
}

// Stats returns what has been seen up to now.
func (c *Clients) Stats(now time.Time) Stats {
	c.setUp()
	var s Stats
	for _, one := range c.clients {
		one.addTo(&s, now)
	}
	return s
}

func (c *client) begin(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = now
}

func (c *client) failed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errors++
}

func (c *client) acknowledge(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.last) >= noticed {
		c.gaps = append(c.gaps, Gap{c.last, now})
	}
	c.last = now
	c.acknowledged++
}

func (c *client) addTo(s *Stats, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Acknowledged += c.acknowledged
	s.Errors += c.errors
	s.Gaps = append(s.Gaps, c.gaps...)
	if !c.last.IsZero() && now.Sub(c.last) >= noticed {
		s.Gaps = append(s.Gaps, Gap{c.last, now})
	}
}

// wait waits, or returns the context's error if that ends first.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
