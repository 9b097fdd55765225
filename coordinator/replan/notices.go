package replan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// A notice is told anew when it says something else: by how much more or less is missing, in percent, and how much earlier or later.
const (
	sameMissing = 10
	sameTime    = time.Hour
)

// refusedMost is how many instances of a host that need more than it has left are told of one by one, those of the highest class: when a host is too small for all of
// them, that is one thing to see to.
const refusedMost = 8

// tell proposes what follows from what does not fit, and from what the host has promised and does not have: a move, where one would help, and notices of
// what is so and of what is not any more.
func (d *deciding) tell(refused []candidate) {
	var remedy ledger.Remedy
	if d.View.Ledger().Short(d.Host) != nil {
		remedy = d.View.Remedies(d.Host)
	}
	short := len(remedy.Says) > 0
	if !short && len(refused) == 0 && len(d.Notices) == 0 || !d.View.Knows(proto.CmdNotice, 1) {
		return
	}
	var told []proto.Notice
	why, plan := "", proto.StoredPlan{}
	if len(refused) > 0 || short && len(remedy.Move) > 0 {
		plan, why = d.move(refused, remedy)
		switch {
		case plan.Status == proto.PlanSuggested:
			m := plan.Moves[0]
			told = append(told, proto.Notice{
				ID: proto.NoticeID(proto.NoticeProposed, d.Host), Kind: proto.NoticeProposed, Host: d.Host, Instance: m.Instance, Plan: plan.ID,
				Says: fmt.Sprintf("a move of %s from %s to %s is suggested: %s", m.Instance, d.Host, m.Target, plan.Reason), Proposes: "carry out plan " + plan.ID,
			})
			why = fmt.Sprintf("move %s to %s, as plan %s has it", m.Instance, m.Target, plan.ID)
		case plan.ID != "": // somebody carries it out
			m := plan.Moves[0]
			why = fmt.Sprintf("wait for plan %s, which is %s, to move %s to %s", plan.ID, plan.Status, m.Instance, m.Target)
		}
	} else {
		d.withdraw()
	}
	for i := range refused[:min(refusedMost, len(refused))] {
		told = append(told, d.refusal(&refused[i], plan.ID, why))
	}
	if more := len(refused) - refusedMost; more > 0 {
		told[len(told)-1].Says += fmt.Sprintf("; so are %d more on it", more)
	}
	if short {
		told = append(told, d.shortage(remedy, plan))
	}
	d.put(told)
}

// move returns the move that is suggested for the host, a new one where there is none, or why there is none.
func (d *deciding) move(refused []candidate, remedy ledger.Remedy) (proto.StoredPlan, string) {
	plan, more := d.suggested()
	if plan.Status == proto.PlanSuggested && d.moved(plan.Moves[0]) {
		d.end(plan, "the instance has moved since, or is on its way")
		return proto.StoredPlan{}, ""
	}
	switch {
	case !more:
		return plan, "the last move that was suggested is less than an hour ago"
	case !d.Turn:
		return plan, "" // to plan takes a while, and helps nobody at once
	}
	fresh, why := d.suggest(refused, remedy)
	if fresh == nil {
		return proto.StoredPlan{}, why
	}
	d.propose("suggest", &proto.PlanPut{Plan: *fresh}, false)
	return *fresh, ""
}

// moved reports whether an instance is not where it was any more, or soon won't be.
func (d *deciding) moved(m proto.Move) bool {
	i, ok := d.View.Instance(m.Instance)
	return !ok || i.Owner != m.Source || i.Fence != m.Fence || i.Migration != ""
}

// withdraw takes back the move that was suggested, when nothing asks for it any more.
func (d *deciding) withdraw() {
	for _, n := range d.Notices {
		if p, ok := d.View.Plan(n.Plan); ok && n.Kind == proto.NoticeProposed && p.Status == proto.PlanSuggested && strings.HasPrefix(p.ID, suggestedBy) {
			d.end(p, "all fits again without it")
		}
	}
}

func (d *deciding) end(p proto.StoredPlan, why string) {
	d.propose("withdraw", &proto.PlanChange{ID: p.ID, From: p.Status, To: proto.PlanStale, Reason: why}, false)
}

// refusal tells that an instance needs more than its host has left.
func (d *deciding) refusal(c *candidate, plan, proposes string) proto.Notice {
	r := c.Reservation
	return proto.Notice{
		ID: proto.NoticeID(proto.NoticeRefused, r.Instance), Kind: proto.NoticeRefused, Host: d.Host, Instance: r.Instance, Reservation: r.ID, Plan: plan,
		Span: c.short.Span, Resource: c.short.Resource, Missing: c.short.Missing, Proposes: brief(proposes),
		Says: fmt.Sprintf("instance %s (%s) is expected to need more than %s has left: %s", r.Instance, r.Class, d.Host, c.short.Error()),
	}
}

// shortage tells that the host has promised more than it has, and what the ledger proposes.
func (d *deciding) shortage(remedy ledger.Remedy, plan proto.StoredPlan) proto.Notice {
	all := d.View.Ledger().Shortages(d.Host)
	worst := all[0]
	n := proto.Notice{
		ID: proto.NoticeID(proto.NoticeShort, d.Host), Kind: proto.NoticeShort, Host: d.Host, Plan: plan.ID,
		Span: worst.Span, Resource: worst.Resource, Missing: worst.Missing,
	}
	var says []string
	for i := range all {
		says = append(says, all[i].Error())
	}
	n.Says = brief(strings.Join(says, "; "))
	n.Proposes = brief(strings.Join(remedy.Says[min(len(all), len(remedy.Says)):], "; "))
	if len(remedy.Move) == 1 {
		n.Instance = remedy.Move[0].Instance
	}
	return n
}

// brief cuts a text so that a notice with two of them can be kept.
func brief(text string) string {
	const most = proto.MaxTextLength/2 - 512
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + " …"
}

// put proposes the notices that are new or say something else, and clears those of its kinds that are not so any more.
func (d *deciding) put(told []proto.Notice) {
	body := &proto.NoticePut{}
	for _, n := range told {
		i := slices.IndexFunc(d.Notices, func(old proto.Notice) bool { return old.ID == n.ID })
		if i < 0 && d.View.KeepsNotice(n) || i >= 0 && !same(d.Notices[i], n, d.Now) {
			body.Put = append(body.Put, n)
		}
	}
	for _, old := range d.Notices {
		so := slices.ContainsFunc(told, func(n proto.Notice) bool { return n.ID == old.ID })
		switch old.Kind {
		case proto.NoticeShort, proto.NoticeProposed:
		case proto.NoticeRefused:
			so = so || d.unknown(old.Instance)
		default:
			continue // whoever told it clears it
		}
		if !so {
			body.Clear = append(body.Clear, old.ID)
		}
	}
	if len(body.Put)+len(body.Clear) > 0 {
		d.propose("notice", body, false)
	}
}

// unknown reports whether an instance is on the host, and nothing is known of what it should hold.
func (d *deciding) unknown(instance string) bool {
	i, ok := d.View.Instance(instance)
	return ok && i.Owner == d.Host && !slices.ContainsFunc(d.Wants, func(w Want) bool { return w.Reservation.Instance == instance })
}

// same reports whether two notices tell the same, but for how time goes by.
func same(old, n proto.Notice, now timeline.Time) bool {
	near := func(a, b timeline.Time) bool {
		a, b = max(a, now), max(b, now)
		return a == b || max(a, b) < timeline.Forever && max(a, b).Sub(min(a, b)) < sameTime
	}
	return old.Host == n.Host && old.Instance == n.Instance && old.Reservation == n.Reservation && old.Plan == n.Plan && old.Resource == n.Resource &&
		max(old.Missing-n.Missing, n.Missing-old.Missing)*100 <= sameMissing*cmp.Or(old.Missing, 1) &&
		(n.Proposes == "" || old.Proposes != "") && near(old.Span.Start, n.Span.Start) && near(old.Span.End, n.Span.End)
}
