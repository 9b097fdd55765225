package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/proto"
)

// maxLine bounds a line of a watch, in bytes.
const maxLine = 1 << 20

// Watch calls see for every update of a migration until it has ended, and returns how it is then. When a coordinator goes
// away while it is watched, it goes on at another one, for as long as ctx lasts.
func (c *Client) Watch(ctx context.Context, id string, see func(v1.MigrationUpdate)) (v1.MigrationStatus, error) {
	r := request{method: http.MethodGet, path: v1.Prefix + "/migrations/" + url.PathEscape(id) + "/watch", accept: "application/x-ndjson"}
	var last v1.MigrationStatus
	for {
		resp, err := c.do(ctx, r)
		if err != nil && last.ID == "" {
			return last, err
		}
		if err == nil {
			last, err = follow(resp, last, see)
		}
		var told *v1.Error
		switch {
		case ctx.Err() != nil:
			return last, context.Cause(ctx)
		case errors.As(err, &told) && told.Code != v1.CodeUnavailable:
			return last, err
		case last.Phase == proto.PhaseEnded:
			return last, nil
		case err != nil:
			// The next one that is asked is another.
			c.good.Store((c.good.Load() + 1) % int32(max(1, len(c.cfg.Addresses))))
		}
		select {
		case <-time.After(watchPause):
		case <-ctx.Done():
			return last, context.Cause(ctx)
		}
	}
}

// follow reads the lines of one watch until it breaks off.
func follow(resp *http.Response, last v1.MigrationStatus, see func(v1.MigrationUpdate)) (v1.MigrationStatus, error) {
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var u v1.MigrationUpdate
		if err := json.Unmarshal(lines.Bytes(), &u); err != nil {
			return last, fmt.Errorf("a line of the watch is not what was expected: %w", err)
		}
		last = u.Migration
		see(u)
	}
	return last, lines.Err()
}
