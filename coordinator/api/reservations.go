package api

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/api/v1"
	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// listReservations lists reservations, of one host or one instance if the query says so.
func listReservations(c *call) (any, error) {
	q := query{c: c}
	host, instance := q.text("host"), q.text("instance")
	if _, ok := c.view.Host(host); host != "" && !ok {
		return nil, missing("host", host, "host list")
	}
	if _, ok := c.view.Instance(instance); instance != "" && !ok {
		return nil, missing("instance", instance, "instance list")
	}
	var out []proto.Reservation
	for r := range c.view.Reservations() {
		if (host == "" || r.Host == host) && (instance == "" || r.Instance == instance) {
			out = append(out, r)
		}
	}
	return items(out), nil
}

func getReservation(c *call) (any, error) { return c.reservation(c.r.PathValue("id")) }

func (c *call) reservation(id string) (proto.Reservation, error) {
	r, ok := c.view.Reservation(id)
	if !ok {
		return r, missing("reservation", id, "reservation list")
	}
	return r, nil
}

// ofAPlan refuses to change by itself what holds room for a stored plan, which counts on it.
func (c *call) ofAPlan(id string) error {
	for p := range c.view.Plans() {
		if proto.HoldsOf(p.ID, id) {
			return &v1.Error{
				Code: v1.CodeRefused, Message: fmt.Sprintf("reservation %s holds room for plan %s, and goes with it", id, p.ID),
				Remedy: "if the plan is not wanted any more: glidepath plan cancel " + p.ID,
			}
		}
	}
	return nil
}

// mostReservations is how many reservations one request may change.
const mostReservations = 64

// asked returns a reservation as an operator asks for it. Its envelope begins now where it does not say when, and is open where it does not say until when.
func (c *call) asked(in v1.ReservationRequest, n int) (proto.Reservation, error) {
	r := proto.Reservation{
		ID: in.ID, Host: in.Host, Class: cmp.Or(in.Class, proto.Standard), Purpose: proto.PurposeHold, Envelope: slices.Clone(in.Envelope), Floor: in.Floor, Until: in.Until,
	}
	if r.ID == "" {
		r.ID = c.key
		if n > 0 {
			r.ID = fmt.Sprintf("%s-%d", c.key, n+1)
		}
	}
	if err := proto.ValidID("reservation", r.ID); err != nil {
		return r, invalid("%s", err)
	}
	if strings.Contains(in.ID, "@") || proto.IsPlanHold(in.ID) { // whoever makes those would find theirs taken
		return r, invalid("reservation %s: identifiers with @ are those of instances and hosts, and those that begin with plan/ of what plans hold: give it another one, or none", r.ID)
	}
	what := called(in.ID, in.Host, n)
	if _, ok := c.view.Host(r.Host); !ok {
		return r, missing("host", r.Host, "host list")
	}
	if !slices.Contains([]proto.Class{proto.Critical, proto.Standard, proto.BestEffort}, r.Class) {
		return r, invalid("%s: class %q is none of critical, standard, besteffort", what, r.Class)
	}
	last := len(r.Envelope) - 1
	if last >= 0 && r.Envelope[0].Start == 0 {
		r.Envelope[0].Start = c.now
	}
	if last >= 0 && r.Envelope[last].End == 0 {
		r.Envelope[last].End = timeline.Forever
	}
	if _, there := c.view.Reservation(r.ID); there && in.ID == "" {
		return r, nil // this very request was carried out: what was the future then is not asked for again
	}
	if err := r.Envelope.Askable(r.Class, c.now, in.Gaps); err != nil {
		return r, askable(what, err)
	}
	switch {
	case !slices.ContainsFunc(r.Envelope, func(g proto.Segment) bool { return !g.Firm.IsZero() || g.Pooled() }):
		return r, invalid("%s holds nothing in any of its steps: say what, like firm: {cpu: 1}", what)
	case r.Until != 0 && r.Until <= c.now:
		return r, invalid("%s: it would lapse at %s, which is over: let it lapse later than now, %s", what, r.Until, c.now)
	case r.Until != 0 && r.Until <= r.Envelope[0].Start:
		return r, invalid("%s would lapse at %s, before it begins at %s: let it lapse later", what, r.Until, r.Envelope[0].Start)
	case r.End() >= timeline.Forever:
		return r, invalid("%s has no end: give its last step an end, or say until when it is held", what)
	case r.End() > c.now.Add(proto.MaxAhead):
		return r, farAhead(what, r.End())
	}
	return r, nil
}

// askable tells of which reservation a step can't be taken. The step stays what a program reads of it.
func askable(what string, err error) error {
	var step *proto.StepError
	if errors.As(err, &step) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return invalid("%s: %s", what, err)
}

func farAhead(what string, end timeline.Time) error {
	return invalid("%s would end at %s, more than %d days ahead: is the year right?", what, end, proto.MaxAhead/(24*time.Hour))
}

// hold returns the change that holds what is asked for.
func (c *call) hold(list []v1.ReservationRequest) (proto.ReservationChange, error) {
	out := proto.ReservationChange{Author: proto.AuthorOperator}
	if len(list) > mostReservations {
		return out, invalid("%d reservations at once: use at most %d", len(list), mostReservations)
	}
	for n, in := range list {
		r, err := c.asked(in, n)
		if err != nil {
			return out, err
		}
		if slices.ContainsFunc(out.Hold, func(o proto.Reservation) bool { return o.ID == r.ID }) {
			return out, invalid("reservation %s is there twice: give each its identifier, or none", r.ID)
		}
		out.Hold = append(out.Hold, r)
	}
	return out, nil
}

// extended returns the revision with which a reservation lasts until a time.
func (c *call) extended(id string, until timeline.Time) (proto.Revision, error) {
	r, err := c.reservation(id)
	if err != nil {
		return proto.Revision{}, err
	}
	if err := c.ofAPlan(id); err != nil {
		return proto.Revision{}, err
	}
	switch {
	case r.Purpose != proto.PurposeHold:
		return proto.Revision{}, &v1.Error{Code: v1.CodeRefused, Message: fmt.Sprintf("reservation %s is not an operator's: it lives with its %s", id, r.Purpose), Remedy: "see glidepath reservation list"}
	case until < r.End():
		return proto.Revision{}, &v1.Error{
			Code: v1.CodeRefused, Message: fmt.Sprintf("reservation %s is held until %s, which is later than %s", id, r.End(), until),
			Remedy: "to end it now: glidepath reservation release " + id,
		}
	case until > c.now.Add(proto.MaxAhead):
		return proto.Revision{}, farAhead("reservation "+id, until)
	}
	next, err := ledger.Extended(r, until)
	if err != nil {
		return proto.Revision{}, invalid("%s", err)
	}
	return proto.Revision{ID: id, From: r.Revision, Envelope: next.Envelope, Floor: next.Floor, Until: next.Until}, nil
}

// change returns a change as the ledger takes it.
func (c *call) change(b proto.ReservationChange) ledger.Change {
	out := ledger.Change{Hold: b.Hold, Release: b.Release}
	for _, v := range b.Revise {
		r, _ := c.view.Reservation(v.ID)
		r.Envelope, r.Floor = v.Envelope, v.Floor
		if v.Until != 0 {
			r.Until = v.Until
		}
		out.Revise = append(out.Revise, r)
	}
	return out
}

// squeeze asks who yields for a change. Who claims it decides to whom: nobody yields to more than the class of each.
func (c *call) squeeze(change ledger.Change) (ledger.Yielded, error) {
	return c.view.Squeeze(change, proto.Critical)
}

// tooSoon reports whether a change claims memory that others yield before they have given it back.
func (c *call) tooSoon(change ledger.Change, y ledger.Yielded) bool {
	l := c.view.Ledger()
	return y.GivesMemory(l) && l.Before(change, c.now.Add(proto.MemoryYields)) != nil
}

// putOff has the memory of what a change holds begin when others have given it back.
func (c *call) putOff(change *proto.ReservationChange) {
	for i := range change.Hold {
		change.Hold[i].Envelope = ledger.PutOff(change.Hold[i].Envelope, c.now.Add(proto.MemoryYields))
	}
}

// reserve commits a change that build returns, with those that yield for it if squeeze says so. What it was made for is looked at anew when something else
// was decided meanwhile.
func (c *call) reserve(squeeze bool, build func() (proto.ReservationChange, error)) ([]proto.Yield, error) {
	for try := 0; ; try++ {
		change, err := build()
		if err != nil {
			return nil, err
		}
		var body proto.Body = &change
		var yields []proto.Yield
		if squeeze {
			y, err := c.squeeze(c.change(change))
			if err == nil && c.tooSoon(c.change(change), y) {
				c.putOff(&change)
				y, err = c.squeeze(c.change(change))
			}
			if err != nil && !errors.Is(err, ledger.ErrConflict) { // what is held already may be what a repeated request asked for: whoever remembers it says so
				return nil, c.noRoom(err, change)
			}
			if yields = y.Yield; len(yields) > 0 {
				if err := c.known(proto.CmdAdmit, "letting reservations yield"); err != nil {
					return nil, err
				}
				body = &proto.Admit{Change: change, Yield: yields}
			}
		}
		id := c.id
		if try > 0 {
			id = fmt.Sprintf("%s/%d", c.id, try) // the answer to the first one is remembered
		}
		r, err := c.proposeAs(id, body)
		switch {
		case err == nil:
			return yields, nil
		case r.Code != proto.ResultStale || try+1 == decideTries:
			return nil, c.noRoom(err, change)
		}
	}
}

// known refuses what a coordinator of an older version could not follow.
func (c *call) known(t proto.CommandType, what string) error {
	if c.view.Knows(t, 1) {
		return nil
	}
	return unknownToSome(what + " is")
}

func unknownToSome(what string) error {
	return &v1.Error{Code: v1.CodeRefused, Message: what + " not known to every coordinator", Remedy: "install the same version on all of them: glidepath operator raft list"}
}

// noRoom adds to a refusal for want of capacity what would help.
func (c *call) noRoom(err error, change proto.ReservationChange) error {
	var short *proto.Shortfall
	var refusal *proto.Refusal
	switch {
	case errors.As(err, &short):
	case errors.As(err, &refusal) && refusal.Result.Shortfall != nil:
		short = refusal.Result.Shortfall
	case refusal != nil && refusal.Result.Code == proto.ResultConflict && len(change.Hold) > 0:
		return &v1.Error{
			Code: v1.CodeConflict, Message: refusal.Result.Message,
			Remedy: "choose another identifier, or none; one that is not needed any more ends with glidepath reservation release",
		}
	default:
		return err
	}
	e := withDetail(&v1.Error{Code: v1.CodeRefused, Message: short.Error()}, v1.ErrorDetail{Shortfall: short})
	if y, err := c.squeeze(c.change(change)); err == nil && len(y.Says) > 0 {
		e.Remedy = "it fits if lower classes yield, which squeezing does: " + strings.Join(y.Says, "; ")
	} else {
		e.Remedy = "ask for less, or for another time or host, also of those that could yield there is not enough: see glidepath host calendar " + short.Host
	}
	return e
}

func createReservations(c *call) (any, error) {
	var in v1.ReservationsRequest
	if err := c.readAsked(&in); err != nil {
		return nil, err
	}
	if len(in.Reservations) == 0 {
		return nil, invalid("no reservation is asked for")
	}
	var ids []string
	yields, err := c.reserve(in.Squeeze, func() (proto.ReservationChange, error) {
		change, err := c.hold(in.Reservations)
		ids = ids[:0]
		for _, r := range change.Hold {
			ids = append(ids, r.ID)
		}
		return change, err
	})
	if err != nil {
		return nil, err
	}
	return c.held(ids, yields), nil
}

func extendReservation(c *call) (any, error) {
	id := c.r.PathValue("id")
	var in v1.ExtendRequest
	if err := c.read(&in); err != nil {
		return nil, err
	}
	yields, err := c.reserve(in.Squeeze, func() (proto.ReservationChange, error) {
		v, err := c.extended(id, in.Until)
		return proto.ReservationChange{Author: proto.AuthorOperator, Revise: []proto.Revision{v}}, err
	})
	if err != nil {
		return nil, err
	}
	return c.held([]string{id}, yields), nil
}

// held returns reservations as they are now.
func (c *call) held(ids []string, yields []proto.Yield) v1.ReservationsReply {
	out := v1.ReservationsReply{Reservations: []proto.Reservation{}, Yields: items(yields).Items}
	for _, id := range ids {
		if r, ok := c.view.Reservation(id); ok {
			out.Reservations = append(out.Reservations, r)
		}
	}
	return out
}

func releaseReservation(c *call) (any, error) {
	id := c.r.PathValue("id")
	if err := c.ofAPlan(id); err != nil {
		return nil, err
	}
	_, err := c.propose(&proto.ReservationChange{Author: proto.AuthorOperator, Release: []string{id}})
	return v1.Empty{}, err
}

// judgeReservations says what would come of a change, and proposes nothing.
func judgeReservations(c *call) (any, error) {
	var in v1.VerdictRequest
	if err := c.readAsked(&in); err != nil {
		return nil, err
	}
	if n := len(in.Reservations) + len(in.Extend) + len(in.Release); n == 0 || n > mostReservations {
		return nil, invalid("%d changes are asked about: name 1 to %d", n, mostReservations)
	}
	body, err := c.hold(in.Reservations)
	if err != nil {
		return nil, err
	}
	for _, e := range in.Extend {
		v, err := c.extended(e.ID, e.Until)
		if err != nil {
			return nil, err
		}
		body.Revise = append(body.Revise, v)
	}
	for _, id := range in.Release {
		r, err := c.reservation(id)
		if err != nil {
			return nil, err
		}
		if err := c.ofAPlan(id); err != nil {
			return nil, err
		}
		if r.Purpose != proto.PurposeHold {
			return nil, &v1.Error{Code: v1.CodeRefused, Message: fmt.Sprintf("reservation %s is not released by itself: it ends with its %s", id, r.Purpose)}
		}
		body.Release = append(body.Release, id)
	}
	return c.judge(c.change(body))
}

func (c *call) judge(change ledger.Change) (v1.Verdict, error) {
	v, err := c.view.Ledger().Explain(change)
	if err != nil {
		code := v1.CodeInvalid
		if errors.Is(err, ledger.ErrConflict) {
			code = v1.CodeConflict
		}
		return v1.Verdict{}, &v1.Error{Code: code, Message: err.Error()}
	}
	out := v1.Verdict{Fits: v.Fits, Short: v.Short, Hosts: []v1.HostVerdict{}, Yields: []proto.Yield{}, Says: v.Says}
	for _, h := range v.Hosts {
		one := v1.HostVerdict{Host: h.Host, Short: h.Short, Already: h.Already}
		if h.Limit > 0 {
			one.Tightest = &v1.Tightest{Resource: h.Kind, Span: h.Span, Free: h.Free, Limit: h.Limit}
		}
		out.Hosts = append(out.Hosts, one)
	}
	if v.Fits {
		return out, nil
	}
	y, err := c.squeeze(change)
	if err != nil {
		var short *proto.Shortfall
		if !errors.As(err, &short) {
			return out, err
		}
		out.Short = short
		out.Says = append(out.Says, "it does not fit even if all that may yield fall to their floors: "+short.Error())
		return out, nil
	}
	out.Squeezed, out.Yields, out.Harm = true, y.Yield, y.Harm
	out.Says = append(append(out.Says, "it fits if others yield:"), y.Says...)
	if c.tooSoon(change, y) {
		out.Says = append(out.Says, fmt.Sprintf("memory is held from %s from now on: by then they have given it back", proto.MemoryYields))
	}
	return out, nil
}
