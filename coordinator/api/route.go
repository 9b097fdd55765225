package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/auth"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Limits of a request, unless its route says otherwise.
const (
	maxBody     = 1 << 20
	requestTime = 30 * time.Second
)

// route is one method of the API.
type route struct {
	pattern string     // of http.ServeMux
	role    proto.Role // that it takes at least
	changes bool       // it is audited
	answer  func(*call) (any, error)

	media string        // of the request's body; application/json by default
	limit int64         // of the request's body in bytes; maxBody by default
	time  time.Duration // to answer in; requestTime by default, below 0 without end

	// What the API's document says of it, which tests hold to what it does.
	summary  string // a sentence without its full stop
	query    []param
	takes    reflect.Type // the JSON of the request's body; nil for none
	optional bool         // the body may be left out
	gives    reflect.Type // the JSON of the reply, or of one line of it
	or       reflect.Type // what it may be instead; nil: nothing else
	produces []string     // media types of the reply; application/json by default
}

// param is a parameter of a request's query.
type param struct{ name, kind, what string } // kind: string, integer or boolean

// stream is an answer that writes itself. Once it has begun to write, its error can't be told to the client, and is logged.
type stream func(w http.ResponseWriter) error

// call is one request on its way.
type call struct {
	*Server
	ctx  context.Context
	r    *http.Request
	who  auth.Principal
	view *state.View
	now  timeline.Time
	key  string // ULID: identifier of what the request creates
	id   string // of the request; that of a repeated one is the same
	note string // what the change means, for the audit

	changed bool // something was asked to be changed by what else only shows
}

// ServeHTTP answers a request; also one that no route is for.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	began := time.Now()
	fallback, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	// The mux tells an unknown path from a known one with another method, in plain text.
	found := &statusOnly{header: h}
	fallback.ServeHTTP(found, r)
	h.Del("Content-Type")
	if found.status == http.StatusMethodNotAllowed {
		s.cfg.Requested(noRoute, http.StatusMethodNotAllowed, time.Since(began))
		s.fail(w, r, &v1.Error{Code: v1.CodeMethod, Message: r.Method + " is not for " + r.URL.Path, Remedy: "use " + h.Get("Allow")})
		return
	}
	s.cfg.Requested(noRoute, http.StatusNotFound, time.Since(began))
	s.fail(w, r, &v1.Error{Code: v1.CodeNotFound, Message: "there is no " + r.URL.Path + " in this API"})
}

// noRoute stands for all paths and methods that no route is for: whoever asks for them must not choose what is counted.
const noRoute = "other"

// statusOnly is a response of which only status and header count.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }

// handler returns the handling of a route: authorise, bound, answer, audit.
func (s *Server) handler(rt route) http.Handler {
	if rt.limit == 0 {
		rt.limit = maxBody
	}
	if rt.time == 0 {
		rt.time = requestTime
	}
	if rt.media == "" {
		rt.media = "application/json"
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		ctx := r.Context()
		if rt.time > 0 {
			limited, cancel := context.WithTimeout(ctx, rt.time)
			defer cancel()
			ctx = limited
			// A client that sends or reads too slowly is cut off: it holds a goroutine and memory.
			control := http.NewResponseController(w)
			deadline := time.Now().Add(rt.time + closeTime)
			if err := errors.Join(control.SetReadDeadline(deadline), control.SetWriteDeadline(deadline)); err != nil && !errors.Is(err, http.ErrNotSupported) {
				s.cfg.Log.Warn("deadlines of a request", "error", err)
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, rt.limit)
		c := &call{Server: s, ctx: ctx, r: r, view: s.cfg.View(), now: timeline.Of(time.Now())}
		reply, err := c.run(rt)
		if rt.changes || c.changed || refusal(err) {
			s.audit(c, rt, err)
		}
		if err != nil {
			s.cfg.Requested(rt.pattern, status(errorOf(err).Code), time.Since(began))
			s.fail(w, r, err)
			return
		}
		s.cfg.Requested(rt.pattern, http.StatusOK, time.Since(began))
		s.write(w, r, reply)
	})
}

// run authorises and answers.
func (c *call) run(rt route) (any, error) {
	if !founded(c.view) {
		return nil, planner.ErrNoFleet
	}
	if c.cfg.TakenOut != nil {
		if err := c.cfg.TakenOut(); err != nil {
			return nil, &v1.Error{Code: v1.CodeUnavailable, Message: err.Error(), Remedy: "ask another coordinator; to let this one join again, stop it and move its data folder away first"}
		}
	}
	var err error
	if c.who, err = auth.Authenticate(c.view, c.r.Header.Get("Authorization"), c.now); err != nil {
		return nil, unproved(err, rt.role)
	}
	if err := auth.Authorise(c.who, rt.role); err != nil {
		return nil, err
	}
	if err := c.identify(); err != nil {
		return nil, err
	}
	if text := c.r.Header.Get("Content-Type"); text != "" {
		if media, _, err := mime.ParseMediaType(text); err != nil || media != rt.media {
			return nil, &v1.Error{Code: v1.CodeMediaType, Message: fmt.Sprintf("the body is %.60q", text), Remedy: "send " + rt.media}
		}
	}
	return rt.answer(c)
}

// founded reports whether the fleet is there, with the token that was made for its first user. Until then no token can be
// told from a good one: a refusal would make him look for a fault in his.
func founded(v *state.View) bool {
	for range v.Tokens() {
		return v.Fleet().ID != ""
	}
	return false
}

// identify gives the request its identifier: the client's, so that one that is sent again is carried out once, or a new one.
func (c *call) identify() error {
	c.key = c.r.Header.Get(v1.HeaderKey)
	if c.key == "" {
		c.key = ulid.Make().String()
	} else if _, err := ulid.ParseStrict(c.key); err != nil || c.key != strings.ToUpper(c.key) {
		return invalid("%s: %.40q is not a ULID, like %s", v1.HeaderKey, c.key, ulid.Make())
	}
	// Of two holders of tokens, neither can answer the other's requests.
	c.id = c.who.Token + "/" + c.key
	return nil
}

// propose commits a command in the name of who asks. The error is a *proto.Refusal when the answer is no. The view is
// then the one after it.
func (c *call) propose(body proto.Body) (proto.Result, error) { return c.proposeAs(c.id, body) }

// proposeAs is propose for a request that may come to a second command, which has an identifier of its own.
func (c *call) proposeAs(id string, body proto.Body) (proto.Result, error) {
	r, err := c.cfg.Propose(c.ctx, id, c.who.Actor(), body)
	if err != nil {
		return r, err
	}
	c.view = c.cfg.View()
	return r, r.Err()
}

// read decodes the body strictly: one value, no field that v does not have.
func (c *call) read(v any) error {
	d := json.NewDecoder(c.r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if errors.Is(err, io.EOF) {
		return invalid("the request has no body: send JSON")
	}
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows its one value")
		}
	}
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return err
	case err != nil:
		return invalid("the body is not what is wanted: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// write answers what went well.
func (s *Server) write(w http.ResponseWriter, r *http.Request, reply any) {
	if out, ok := reply.(stream); ok {
		if err := out(w); err != nil && r.Context().Err() == nil {
			s.cfg.Log.Warn("an answer broke off", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		return
	}
	text, err := json.Marshal(reply)
	if err != nil {
		s.fail(w, r, fmt.Errorf("encode the answer: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if _, err := w.Write(append(text, '\n')); err != nil {
		s.cfg.Log.Debug("answer", "path", r.URL.Path, "error", err)
	}
}

// refusal reports whether a request was turned away for who asked.
func refusal(err error) bool {
	if err == nil {
		return false
	}
	code := errorOf(err).Code
	return code == v1.CodeUnauthorised || code == v1.CodeForbidden
}

// audit records what was asked for and what came of it.
func (s *Server) audit(c *call, rt route, err error) {
	record := auth.Record{
		Role: string(c.who.Role), From: c.r.RemoteAddr, Method: rt.pattern, ID: c.id, Code: "ok", Reason: c.note,
		Object: strings.TrimPrefix(c.r.URL.Path, v1.Prefix+"/"),
	}
	if c.who.Token != "" {
		record.Actor = c.who.Actor()
	}
	if err != nil {
		e := errorOf(err)
		record.Code, record.Reason = string(e.Code), e.Message
	}
	s.cfg.Audit.Write(c.ctx, record)
}
