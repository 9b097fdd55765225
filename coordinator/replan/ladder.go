package replan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/coordinator/planner"
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

const (
	suggestEvery = time.Hour // between two moves that are suggested for a host
	suggestTries = 3         // instances that a move is planned for at once
)

// squeeze proposes that besteffort instances yield to what does not fit: to all of it, or else to the first that this is enough for. It reports whether
// it did. Higher ones than besteffort yield only by the word of an operator.
func (d *deciding) squeeze(refused []candidate) bool {
	refused = slices.DeleteFunc(slices.Clone(refused), func(c candidate) bool {
		return c.Reservation.Class == proto.BestEffort || !d.Turn && c.cause != urgent
	})
	if len(refused) == 0 || !d.View.Knows(proto.CmdAdmit, 1) {
		return false
	}
	if len(refused) > 1 && d.admit(refused) {
		return true
	}
	for i := range refused {
		if d.admit(refused[i : i+1]) {
			return true
		}
	}
	return false
}

func (d *deciding) admit(list []candidate) bool {
	var c ledger.Change
	body := &proto.Admit{Change: proto.ReservationChange{Author: proto.AuthorReplan}}
	for _, w := range list {
		c.Revise = append(c.Revise, w.revised())
		body.Change.Revise = append(body.Change.Revise, w.revision())
	}
	y, err := d.View.Squeeze(c, list[0].Reservation.Class)
	if err != nil || len(y.Yield) == 0 || slices.ContainsFunc(y.Revise, func(r proto.Reservation) bool { return r.Class != proto.BestEffort }) {
		return false
	}
	body.Yield = y.Yield
	d.propose("admit", body, true)
	return true
}

// suggestedID returns the identifier of a plan that is suggested for a host.
func suggestedID(host string, now timeline.Time) string {
	return suggestedBy + strconv.FormatInt(int64(now), 36) + "-" + host[:min(len(host), proto.MaxNameLength-len(suggestedBy)-14)]
}

const suggestedBy = "replan-"

// suggested returns the plan that is suggested for the host and has not ended, and whether another one may be.
func (d *deciding) suggested() (plan proto.StoredPlan, more bool) {
	more = true
	for p := range d.View.Plans() {
		if !strings.HasPrefix(p.ID, suggestedBy) || len(p.Moves) != 1 || p.Moves[0].Source != d.Host {
			continue
		}
		if !p.Status.Ended() {
			plan = p
		}
		if !p.Status.Ended() || d.Now.Sub(p.MadeAt) < suggestEvery {
			more = false
		}
	}
	return plan, more
}

// suggest plans the move of an instance whose leaving makes room, and returns what is suggested, or why nothing is.
func (d *deciding) suggest(refused []candidate, remedy ledger.Remedy) (*proto.StoredPlan, string) {
	if !d.View.Knows(proto.CmdPlanPut, 1) {
		return nil, "no move is suggested before all coordinators know of stored plans"
	}
	movers, why := d.leaving(remedy), "it would end the shortage of "+d.Host
	if len(refused) > 0 {
		movers, why = d.movers(&refused[0]), fmt.Sprintf("it would make room for what instance %s needs on %s", refused[0].Reservation.Instance, d.Host)
	}
	if len(movers) == 0 {
		return nil, "no single instance that may move makes enough room by leaving"
	}
	reason := ""
	for _, w := range movers[:min(len(movers), suggestTries)] {
		in := planner.Input{
			Request: planner.Request{Instance: w.Reservation.Instance}, View: d.View, Now: d.Now, Forecast: w.Forecast, Costs: planner.DefaultCosts(),
		}
		if d.Data != nil {
			in.Data = d.Data(in.Request.Instance)
		}
		if d.Silent != nil {
			in.Silent = d.Silent()
		}
		r, err := planner.Make(in)
		if err == nil {
			return stored(d.Host, r, d.Now, why, in.Data), ""
		}
		var no *planner.Refusal
		if reason == "" && errors.As(err, &no) {
			reason = no.Reason
		}
	}
	return nil, cmp.Or(reason, "no host was found for those that would have to move")
}

// stored returns the plan as it is kept, with what the move takes. Nobody named the target: where that is full by the time it begins, another one may be found.
func stored(host string, r planner.Result, now timeline.Time, why string, data int64) *proto.StoredPlan {
	m := r.Move(true)
	why += "; " + takes(m.Figures, data)
	return &proto.StoredPlan{
		ID: suggestedID(host, now), Kind: proto.PlanMigrate, Status: proto.PlanSuggested, Reason: why, Moves: []proto.Move{m},
		Says: []string{fmt.Sprintf("move %s to %s: %s", m.Instance, m.Target, why)},
	}
}

// takes says what a move of so many bytes takes, of which none is not known.
func takes(f proto.Figures, data int64) string {
	length := func(ms int64) time.Duration {
		d := time.Duration(ms) * time.Millisecond
		if d < 10*time.Second {
			return d.Round(100 * time.Millisecond)
		}
		return d.Round(time.Second)
	}
	if data == 0 {
		return "how much data it has is not known, so how long it takes is neither"
	}
	return fmt.Sprintf("it has %s of data, and takes about %s, in which clients wait for about %s", resource.Format(resource.Memory, data), length(f.Duration.Median), length(f.Downtime.Median))
}

// movers returns the instances without which a revision would fit, of the lowest class first; the one that it is for, which then needs nothing here, comes
// last in its class.
func (d *deciding) movers(c *candidate) []*Want {
	var out []*Want
	for i := range d.Wants {
		w := &d.Wants[i]
		if w.Reservation.Purpose != proto.PurposeInstance {
			continue
		}
		change := ledger.Change{Revise: []proto.Reservation{c.revised()}, Release: []string{w.Reservation.ID}}
		if w == c.Want {
			change.Revise = nil
		}
		if d.View.Ledger().Fits(change) == nil {
			out = append(out, w)
		}
	}
	slices.SortStableFunc(out, func(a, b *Want) int {
		self := func(w *Want) int {
			if w == c.Want {
				return 1
			}
			return 0
		}
		return cmp.Or(-cmp.Compare(rank(a.Reservation.Class), rank(b.Reservation.Class)), cmp.Compare(self(a), self(b)), cmp.Compare(a.Reservation.ID, b.Reservation.ID))
	})
	return out
}

// leaving returns the instances that the ledger would have leave.
func (d *deciding) leaving(remedy ledger.Remedy) []*Want {
	var out []*Want
	for _, r := range remedy.Move {
		if i := slices.IndexFunc(d.Wants, func(w Want) bool { return w.Reservation.ID == r.ID }); i >= 0 {
			out = append(out, &d.Wants[i])
		}
	}
	return out
}
