package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
)

// Changes calls see for every line of the stream of changes, of some kinds or, if none is named, of all that the token's role may see, after
// an index; 0 begins now. When a coordinator goes away it goes on at another one, for as long as ctx lasts: then the line that begins the stream
// there is left out, and what was told right before may come again. It ends with an error.
func (c *Client) Changes(ctx context.Context, kinds []string, since uint64, see func(v1.Change)) error {
	for begun := false; ; {
		q := url.Values{}
		if len(kinds) > 0 {
			q.Set("kind", strings.Join(kinds, ","))
		}
		if since > 0 {
			q.Set("since", strconv.FormatUint(since, 10))
		}
		resp, err := c.do(ctx, request{method: http.MethodGet, path: v1.Prefix + "/stream?" + q.Encode(), accept: "application/x-ndjson"})
		if err != nil && !begun {
			return err
		}
		if err == nil {
			err = eachChange(resp, func(u v1.Change) {
				since = u.Index
				if u.Kind != v1.ChangeBegin || !begun {
					see(u)
				}
				begun = true
			})
		}
		var told *v1.Error
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &told) && told.Code != v1.CodeUnavailable:
			return err
		case err != nil:
			// The next one that is asked is another.
			c.good.Store((c.good.Load() + 1) % int32(max(1, len(c.cfg.Addresses))))
		}
		select {
		case <-time.After(watchPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// eachChange reads the lines of one stream until it breaks off. One that the coordinator ended for good is a *v1.Error.
func eachChange(resp *http.Response, see func(v1.Change)) error {
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var u v1.Change
		if err := json.Unmarshal(lines.Bytes(), &u); err != nil {
			return fmt.Errorf("a line of the stream is not what was expected: %w", err)
		}
		see(u)
		if u.Kind == v1.ChangeEnd {
			return &v1.Error{Code: v1.CodeUnauthorised, Message: u.Message}
		}
	}
	return lines.Err()
}
