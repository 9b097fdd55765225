package load

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
)

// Campaign is load of a given size on top of that of Clients: requests that cost the server CPU, arriving at their rate
// whether or not it keeps up, and data that it holds meanwhile. Fields are set before Run.
//
// A request sorts a list and answers one element, so that it costs CPU and next to no network. What it costs is asked of
// the server each second, and the rate follows, so that the demand stays the same whatever the server is granted.
type Campaign struct {
	Dial    Dialer
	Prefix  string  // of the keys; "campaign"
	Cores   float64 // CPU that the requests cost; .6
	Bytes   int64   // data that is written in the course of GrowIn, and taken away at the end; none if 0
	GrowIn  time.Duration
	Workers int // connections; 8. A request that finds as many others in line is not sent, and counts as turned away

	mu    sync.Mutex
	stats CampaignStats
	took  []time.Duration
}

// CampaignStats are what became of a campaign's requests.
type CampaignStats struct {
	Served     int64
	TurnedAway int64         // not sent, as the line was too long
	Failed     int64         // sent, and not answered
	Median     time.Duration // of the times of those that were served
	P99        time.Duration
}

const (
	listLength   = 1000
	firstRate    = 20.0 // requests per second, until their cost is known
	blobSize     = 32 << 10
	campaignWait = 5 * time.Second
	maxTimes     = 1 << 20
)

func (c *Campaign) withDefaults() {
	c.Prefix = cmp.Or(c.Prefix, "campaign")
	c.Cores = cmp.Or(c.Cores, .6)
	c.Workers = cmp.Or(c.Workers, 8)
}

// Run loads the server until ctx ends, and then takes its data away, which may take a few seconds more. It is called once.
func (c *Campaign) Run(ctx context.Context) error {
	c.withDefaults()
	if err := c.once(ctx, c.makeList); err != nil {
		return fmt.Errorf("campaign: make its list: %w", err)
	}
	pace := rate.NewLimiter(firstRate, 1)
	arrivals := make(chan struct{}, c.Workers)
	var group errgroup.Group
	for range c.Workers {
		group.Go(func() error { c.work(ctx, arrivals); return nil })
	}
	group.Go(func() error { c.arrive(ctx, pace, arrivals); return nil })
	group.Go(func() error { c.steer(ctx, pace); return nil })
	written := 0
	group.Go(func() error { written = c.grow(ctx); return nil })
	err := group.Wait()
	cleanUp := context.WithoutCancel(ctx)
	if tidy := c.once(cleanUp, func(ctx context.Context, conn *conn) error { return c.remove(ctx, conn, written) }); tidy != nil && err == nil {
		err = fmt.Errorf("campaign: take its data away: %w", tidy)
	}
	return err
}

// Stats returns what has become of the requests up to now.
func (c *Campaign) Stats() CampaignStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	if len(c.took) > 0 {
		sorted := slices.Sorted(slices.Values(c.took))
		s.Median, s.P99 = sorted[len(sorted)/2], sorted[len(sorted)*99/100]
	}
	return s
}

// arrive puts requests in line.
func (c *Campaign) arrive(ctx context.Context, pace *rate.Limiter, arrivals chan<- struct{}) {
	defer close(arrivals)
	for pace.Wait(ctx) == nil {
		select {
		case arrivals <- struct{}{}:
		default:
			c.count(func(s *CampaignStats) { s.TurnedAway++ })
		}
	}
}

// work sends requests as they arrive.
func (c *Campaign) work(ctx context.Context, arrivals <-chan struct{}) {
	var connection *conn
	defer func() {
		if connection != nil {
			connection.close()
		}
	}()
	for range arrivals {
		began := time.Now()
		if connection == nil {
			fresh, err := dial(ctx, c.Dial, campaignWait, campaignWait)
			if err != nil {
				c.count(func(s *CampaignStats) { s.Failed++ })
				continue
			}
			connection = fresh
		}
		if _, err := connection.do(ctx, "SORT", c.Prefix+":list", "LIMIT", "0", "1", "DESC"); err != nil {
			c.count(func(s *CampaignStats) { s.Failed++ })
			connection.close()
			connection = nil
			continue
		}
		took := time.Since(began)
		c.count(func(s *CampaignStats) {
			s.Served++
			if len(c.took) < maxTimes {
				c.took = append(c.took, took)
			}
		})
	}
}

func (c *Campaign) count(change func(*CampaignStats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
}

// steer sets the rate of requests each second to what costs the wanted CPU. A server that does not answer leaves it as it is.
func (c *Campaign) steer(ctx context.Context, pace *rate.Limiter) {
	var before usage
	var connection *conn
	defer func() {
		if connection != nil {
			connection.close()
		}
	}()
	for wait(ctx, time.Second) == nil {
		if connection == nil {
			fresh, err := dial(ctx, c.Dial, campaignWait, campaignWait)
			if err != nil {
				continue
			}
			connection = fresh
		}
		now, err := askUsage(ctx, connection)
		if err != nil {
			connection.close()
			connection, before = nil, usage{}
			continue
		}
		if cost, known := now.costSince(before); known {
			// Half way each second, against noise.
			pace.SetLimit((pace.Limit() + rate.Limit(c.Cores/cost)) / 2)
		}
		before = now
	}
}

// usage is what a server has done since it started.
type usage struct {
	cpu   float64 // seconds
	sorts float64
	inRun string // identifies the server's run
}

// costSince returns the CPU seconds per request, with that of the clients' writes in it, as they are part of the demand.
func (u usage) costSince(before usage) (float64, bool) {
	sorts := u.sorts - before.sorts
	if u.inRun != before.inRun || sorts < 3 || u.cpu <= before.cpu {
		return 0, false
	}
	return (u.cpu - before.cpu) / sorts, true
}

func askUsage(ctx context.Context, connection *conn) (usage, error) {
	info, err := connection.do(ctx, "INFO", "everything")
	if err != nil {
		return usage{}, err
	}
	var u usage
	for line := range strings.SplitSeq(info.text, "\r\n") {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "used_cpu_sys_main_thread", "used_cpu_user_main_thread":
			seconds, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return usage{}, fmt.Errorf("%s: %w", key, err)
			}
			u.cpu += seconds
		case "run_id":
			u.inRun = value
		case "cmdstat_sort": // calls=12,usec=…
			calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
			if u.sorts, err = strconv.ParseFloat(calls, 64); err != nil {
				return usage{}, fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	return u, nil
}

// grow writes the campaign's data evenly over its time, and returns how many pieces it has begun.
func (c *Campaign) grow(ctx context.Context) int {
	pieces := int(c.Bytes / blobSize)
	if pieces == 0 {
		return 0
	}
	pace := rate.NewLimiter(rate.Limit(float64(pieces)/max(1, c.GrowIn.Seconds())), 1)
	for i := range pieces {
		if pace.Wait(ctx) != nil {
			return i
		}
		// One that fails is tried again as long as the campaign lasts.
		for ctx.Err() == nil {
			err := c.once(ctx, func(ctx context.Context, conn *conn) error {
				_, err := conn.do(ctx, "SET", c.blob(i), record(-1, int64(i), blobSize))
				return err
			})
			if err == nil {
				break
			}
			if wait(ctx, retry) != nil {
				return i + 1
			}
		}
	}
	return pieces
}

func (c *Campaign) blob(i int) string { return fmt.Sprintf("%s:data:%d", c.Prefix, i) }

// once does something on a connection of its own.
func (c *Campaign) once(ctx context.Context, what func(context.Context, *conn) error) error {
	return onConnection(ctx, c.Dial, what)
}

func onConnection(ctx context.Context, d Dialer, what func(context.Context, *conn) error) error {
	connection, err := dial(ctx, d, campaignWait, campaignWait)
	if err != nil {
		return err
	}
	defer connection.close()
	return what(ctx, connection)
}

func (c *Campaign) makeList(ctx context.Context, conn *conn) error {
	if _, err := conn.do(ctx, "DEL", c.Prefix+":list"); err != nil {
		return err
	}
	command := []string{"RPUSH", c.Prefix + ":list"}
	source := rand.New(rand.NewPCG(1, 1))
	for range listLength {
		command = append(command, strconv.Itoa(source.IntN(1e9)))
	}
	_, err := conn.do(ctx, command...)
	return err
}

func (c *Campaign) remove(ctx context.Context, conn *conn, written int) error {
	keys := []string{"UNLINK", c.Prefix + ":list"}
	for i := range written {
		keys = append(keys, c.blob(i))
	}
	_, err := conn.do(ctx, keys...)
	return err
}
