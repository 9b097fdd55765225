package api

import (
	"io"
	"net/http"

	"github.com/glidepath/glidepath/coordinator/api/v1"
)

func listMembers(c *call) (any, error) {
	members, err := c.cfg.Members(c.ctx)
	return items(members), err
}

// removeMember takes a coordinator out of the fleet; ?force=true although too few of the others are reached.
func removeMember(c *call) (any, error) {
	q := query{c: c}
	force := q.flag("force")
	if q.err != nil {
		return nil, q.err
	}
	return v1.Empty{}, c.cfg.RemoveMember(c.ctx, c.id, c.who.Actor(), c.r.PathValue("name"), force)
}

func transferLeadership(c *call) (any, error) {
	var in v1.TransferRequest
	if err := c.read(&in); err != nil {
		return nil, err
	}
	if err := c.cfg.TransferLeadership(c.ctx, in.To); err != nil {
		return nil, err
	}
	leads, _ := c.cfg.Leader()
	return v1.TransferReply{Leader: leads}, nil
}

// getSnapshot answers a snapshot of the replicated state; ?stale=true without asking the leader whether it is all.
func getSnapshot(c *call) (any, error) {
	q := query{c: c}
	stale := q.flag("stale")
	if q.err != nil {
		return nil, q.err
	}
	write, err := c.cfg.Snapshot(c.ctx, stale)
	return file("application/octet-stream", write), err
}

// getBundle answers a support bundle.
func getBundle(c *call) (any, error) {
	write, err := c.cfg.Bundle(c.ctx)
	return file("application/gzip", write), err
}

// file is an answer of another type than JSON.
func file(media string, write func(io.Writer) error) stream {
	return func(w http.ResponseWriter) error {
		w.Header().Set("Content-Type", media)
		return write(w)
	}
}
