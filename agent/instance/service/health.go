package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/glidepath/glidepath/agent/enforce/systemd"
	"github.com/glidepath/glidepath/proto"
)

// How an instance is judged to serve. Clients of a move wait for two of these intervals: longer ones were most of what it
// adds to the instance's own stop and start.
const (
	healthEvery  = 25 * time.Millisecond
	healthPasses = 3
	attemptTime  = 5 * time.Second
)

// settled waits until the health check has passed three times running, with the unit active and not restarted in between.
func (d *Driver) settled(ctx context.Context, spec proto.InstanceSpec) error {
	limited, cancel := context.WithTimeout(ctx, spec.Health.Time())
	defer cancel()
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	passes, invocation := 0, ""
	var last error
	for {
		if r := d.Fence.Get(spec.Name); r.State != proto.FenceOwner && r.State != proto.FenceStarting {
			return d.refusal(fmt.Sprintf("instance %s may no longer run here: it is %s", spec.Name, r.State), "see `glidepath migration show "+r.Migration+"`")
		}
		var wrong error
		if passes == 0 || passes == healthPasses-1 { // what ended or began in between shows at the last
			u, err := d.Systemd.Brief(limited, spec.Service.Unit)
			switch {
			case err != nil:
				wrong = err
			case u.ActiveState == "failed":
				if u, err = d.Systemd.Unit(limited, spec.Service.Unit); err != nil {
					return err
				}
				return d.unhealthy(spec, fmt.Errorf("unit %s has failed (%s)", u.Name, u.Result))
			case u.ActiveState != "active":
				wrong = fmt.Errorf("unit %s is %s", u.Name, u.ActiveState)
			case u.InvocationID != invocation:
				passes, invocation = 0, u.InvocationID
			}
		}
		if wrong == nil {
			wrong = d.attempt(limited, spec)
		}
		switch {
		case wrong != nil:
			passes = 0
			if last == nil || limited.Err() == nil { // what was wrong before the time was over says more than that it is
				last = wrong
			}
		default:
			if passes++; passes == healthPasses {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return fmt.Errorf("health of %s: %w", spec.Name, ctx.Err())
			}
			return d.unhealthy(spec, last)
		}
	}
}

// healthy checks once.
func (d *Driver) healthy(ctx context.Context, spec proto.InstanceSpec) error {
	if err := d.attempt(ctx, spec); err != nil {
		return d.unhealthy(spec, err)
	}
	return nil
}

func (d *Driver) unhealthy(spec proto.InstanceSpec, why error) error {
	if why == nil {
		why = fmt.Errorf("it did not pass %d times running", healthPasses)
	}
	return &proto.Fault{
		Code: proto.FaultUnhealthy, What: fmt.Sprintf("instance %s on host %s does not pass its health check within %s: %v", spec.Name, d.Host, spec.Health.Time(), why),
		Remedy: "see journalctl -u " + spec.Service.Unit + " there",
	}
}

// attempt makes one check, at the instance's first address where it has any.
func (d *Driver) attempt(ctx context.Context, spec proto.InstanceSpec) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTime)
	defer cancel()
	host := "127.0.0.1"
	var addresses []string
	for _, p := range spec.Floating() {
		addresses = append(addresses, p.Addr().String())
	}
	if len(addresses) > 0 {
		host = addresses[0]
	}
	switch h := spec.Health; {
	case h.TCP != 0:
		var dialer net.Dialer
		c, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(h.TCP)))
		if err != nil {
			return err
		}
		return c.Close()
	case h.HTTP != "":
		return get(ctx, host, h.HTTP)
	case len(h.Exec) > 0:
		res, err := d.Systemd.RunTransient(ctx, systemd.RunSpec{
			Unit: "glidepath-check-" + spec.Name + ".service", Description: "Glidepath: health of " + spec.Name,
			Command: literal(h.Exec), User: h.ExecUser(), Timeout: attemptTime,
			Env: []string{"GLIDEPATH_INSTANCE=" + spec.Name, "GLIDEPATH_ADDRESS=" + host, "GLIDEPATH_ADDRESSES=" + strings.Join(addresses, " ")},
		})
		if err != nil {
			return err
		}
		if !res.OK() {
			return fmt.Errorf("%s ended with %s %d: %s", h.Exec[0], res.Why, res.ExitStatus, strings.TrimSpace(res.Output))
		}
	}
	return nil
}

// get asks ":port/path" of a host for an answer of 2xx or 3xx. Redirections are not followed: they could lead to another host.
func get(ctx context.Context, host, portAndPath string) error {
	port, path, _ := strings.Cut(strings.TrimPrefix(portAndPath, ":"), "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/"+path, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true, Proxy: nil}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, 64<<10); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 399 {
		return fmt.Errorf("GET %s answered %s", req.URL, resp.Status)
	}
	return nil
}
