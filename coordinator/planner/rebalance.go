package planner

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/glidepath/glidepath/coordinator/ledger"
	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/internal/timeline"
	"github.com/glidepath/glidepath/proto"
)

// Bounds of one look at the fleet.
const (
	MostSuggested    = 64  // moves that can be asked for
	DefaultSuggested = 8   // where nobody has said how many
	mostFrom         = 8   // instances of one host for which a move is planned before another host is looked at
	mostWeighed      = 128 // in all
)

// LeastEvery is how often the fleet is looked at most.
const LeastEvery = 5 * time.Minute

// What keeps a fleet from being moved about for little.
const (
	leastRelief = 1000           // millionths that a move has to take off the strain of its hosts: then looks at a fleet in which nothing else changes come to an end
	movesRest   = 24 * time.Hour // between two moves of an instance for the balance's sake, whatever came of the first
)

// RebalanceInput is what suggestions follow from.
type RebalanceInput struct {
	View   *state.View // the caller's own: its ledger is cloned
	Now    timeline.Time
	Moves  int                                          // that are suggested at most; 0: DefaultSuggested
	Margin int64                                        // thousandths of a score that a move has to win by; 0: MarginOfBalance
	Of     func(instance string) (MovingFigures, error) // of any instance of the fleet: the same answer whenever it is asked; one of which nothing can be learned stays
	Ahead  func(instances []string)                     // is told, before, of which instances Of is asked next; nil: nobody is
	Costs  Costs
	Silent map[string]timeline.Time // as in Input
	WhatIf *proto.WhatIf            // look at this fleet instead of the one that is: what comes of that is for reading; nil: at the one that is
}

// Suggestion is a move that would make the fleet better.
type Suggestion struct {
	Move   proto.Move
	Stays  int64 // the score of where the instance is, in thousandths
	Scores int64 // that of the target
	Cost   int64 // what the move takes of a day, in thousandths
	Strain [2]Strained
	Says   []string // warnings
}

// Wins returns by how much the target beats staying, with what the move costs taken off, in thousandths of a score.
func (s Suggestion) Wins() int64 { return s.Scores - s.Stays - s.Cost }

// Relief returns what the move takes off the strain of its hosts together, in millionths.
func (s Suggestion) Relief() int64 { return relief(s.Strain) }

// Why says in a line what the move is good for.
func (s Suggestion) Why() string {
	return fmt.Sprintf("it wins by %s over staying, with what it costs taken off, and takes %s off the strain of %s and %s", parts(s.Wins(), 1000), parts(s.Relief(), million),
		s.Move.Source, s.Move.Target)
}

// Rebalanced is what came of a look at the fleet.
type Rebalanced struct {
	Suggestions   []Suggestion // in the order in which they were found: each is weighed with those before it done
	Before, After int64        // the strain of all hosts together, in millionths, as it is and with all of them done
	Hosts         int          // of the fleet
	Weighed       int          // instances for which a move was planned
	Unknown       []string     // instances that stay because nothing could be learned of them, sorted
	Says          []string     // in words, most telling first
}

// Rebalance looks for moves that make the fleet better by a margin, from the hosts that are filled worst. Nothing is promised: each move is checked again when it begins.
// All are weighed together, by what the fleet is with those before them done; but none counts on the room that another one leaves, so that they can be done in any order.
func Rebalance(in RebalanceInput) (Rebalanced, error) {
	fleet := in.View.Fleet()
	if fleet.ID == "" {
		return Rebalanced{}, ErrNoFleet
	}
	in.Moves, in.Margin = cmp.Or(in.Moves, DefaultSuggested), cmp.Or(in.Margin, MarginOfBalance)
	if in.Moves < 0 || in.Moves > MostSuggested || in.Margin < 0 || in.Margin > 1000 {
		return Rebalanced{}, &Refusal{Reason: fmt.Sprintf("%d moves that win by %d thousandths are asked for: use 1 to %d, and 1 to 1000", in.Moves, in.Margin, MostSuggested), Invalid: true}
	}
	if err := in.imagine(); err != nil {
		return Rebalanced{}, err
	}
	b := &balancing{
		RebalanceInput: in, ledger: in.View.Ledger().Clone(), start: firstOpen(fleet, in.Now), strain: map[string]int64{}, rests: map[string]bool{},
		left: map[string]map[string]bool{}, gives: map[string]bool{}, takes: map[string][]proto.Instance{},
	}
	b.view = in.View.Over(b.ledger)
	b.past()
	busy := b.hosts()
	for b.out.Weighed < mostWeighed && len(b.out.Suggestions) < b.Moves && len(b.order) > 0 {
		best, err := b.from(b.order[0])
		if err != nil {
			return Rebalanced{}, err
		}
		if best == nil {
			b.order = b.order[1:]
			continue
		}
		if err := b.take(*best); err != nil {
			return Rebalanced{}, err
		}
	}
	b.say(busy)
	return b.out, nil
}

// balancing is a look at the fleet.
type balancing struct {
	RebalanceInput
	ledger  *ledger.Ledger // with what is suggested so far done
	view    *state.View    // over it
	start   timeline.Time  // of the moves; 0: now
	strain  map[string]int64
	order   []string                   // hosts that may give something away still, that which is filled worst first
	rests   map[string]bool            // instances that stay where they are
	left    map[string]map[string]bool // hosts that an instance left for the balance's sake
	gives   map[string]bool            // that something is moved away from
	takes   map[string][]proto.Instance
	no      string   // why the first instance of the worst host stays
	unknown []string // instances of which nothing could be learned
	out     Rebalanced
}

// firstOpen returns when moves may begin by the policy's windows; 0: now, or when can't be told yet.
func firstOpen(fleet proto.Fleet, now timeline.Time) timeline.Time {
	known := Grid(now, time.Duration(fleet.GridStep)*time.Millisecond)
	open := Open(fleet.Policy.Windows, timeline.Span{Start: now, End: known.End})
	if len(open) == 0 || open[0].Start == now {
		return 0
	}
	return open[0].Start
}

// past notes which instances rest, and where none of them goes back to, by the migrations that are kept.
func (b *balancing) past() {
	for m := range b.View.Migrations() {
		if m.Active() {
			b.rests[m.Instance] = true
		}
		if !proto.OfRebalance(m.Plan.Stored) {
			continue
		}
		if b.Now.Sub(m.CreatedAt) < movesRest {
			b.rests[m.Instance] = true
		}
		if m.Outcome == proto.OutcomeCompleted {
			if b.left[m.Instance] == nil {
				b.left[m.Instance] = map[string]bool{}
			}
			b.left[m.Instance][m.Source] = true
		}
	}
}

// hosts weighs every host, and returns on how many a move goes on or is about to: they are left alone, as what they have promised is not yet what it will be. So are those
// that are being emptied, as that is planned for elsewhere, and those whose agent is silent, from where nothing could begin.
func (b *balancing) hosts() (busy int) {
	alone := map[string]bool{}
	for m := range b.View.ActiveMigrations() {
		alone[m.Source], alone[m.Target] = true, true
	}
	for p := range b.View.Plans() {
		if p.Status.Ended() || p.Status == proto.PlanKept || p.Status == proto.PlanSuggested {
			continue
		}
		for _, m := range p.Moves {
			if m.Migration == "" {
				alone[m.Source], alone[m.Target], b.rests[m.Instance] = true, true, true
			}
		}
	}
	b.ledger.Weigh(nil, func(name string, f ledger.Fit) bool {
		h, _ := b.View.Host(name)
		if state.LeftOut(h) {
			return true
		}
		n := strain(f)
		b.out.Hosts++
		b.out.Before += n
		_, silent := b.Silent[name]
		switch {
		case alone[name]:
			busy++
		case !silent && (h.Drain == nil || h.Drain.State == proto.DrainNone):
			b.strain[name] = n
		}
		return true
	})
	b.out.After = b.out.Before
	b.order = slices.SortedFunc(maps.Keys(b.strain), b.worse)
	return busy
}

// worse orders hosts by how badly they are filled, the worst first, and those alike by their names.
func (b *balancing) worse(x, y string) int {
	return cmp.Or(cmp.Compare(b.strain[y], b.strain[x]), strings.Compare(x, y))
}

// leaver is an instance that may be moved away from its host, and how much strain that is relieved of without it.
type leaver struct {
	proto.Instance
	held proto.Reservation
	fall int64
}

// leavers returns those of a host, the heaviest first.
func (b *balancing) leavers(host string) []leaver {
	var out []leaver
	for _, i := range b.View.InstancesOn(host) {
		if i.Name() == proto.SystemInstance || i.Owner != host || i.Migration != "" || i.State != proto.InstanceRunning || b.rests[i.Name()] {
			continue
		}
		held, ok := b.view.Reservation(i.Reservation)
		if !ok {
			continue
		}
		without := b.ledger.Clone()
		if without.Release(held.ID) != nil {
			continue
		}
		out = append(out, leaver{i, held, b.strain[host] - strainOn(without, host)})
	}
	slices.SortFunc(out, func(x, y leaver) int { return cmp.Or(cmp.Compare(y.fall, x.fall), strings.Compare(x.Name(), y.Name())) })
	return out[:min(mostFrom, len(out))]
}

// shift is a move that may be suggested, with what it changes in the ledger.
type shift struct {
	Suggestion
	leaver leaver
	hold   proto.Reservation // what its instance holds today, on the target
}

// from returns the move away from a host that relieves the fleet most; nil where none wins.
func (b *balancing) from(host string) (*shift, error) {
	var best *shift
	all := b.leavers(host)
	all = all[:min(len(all), mostWeighed-b.out.Weighed)]
	if b.Ahead != nil {
		names := make([]string, len(all))
		for n, l := range all {
			names[n] = l.Name()
		}
		b.Ahead(names)
	}
	for _, l := range all {
		b.out.Weighed++
		s, err := b.weigh(l)
		var no *Refusal
		switch {
		case errors.As(err, &no):
			b.no = cmp.Or(b.no, no.Reason)
		case err != nil:
			return nil, err
		case best == nil || s.Relief() > best.Relief():
			best = s
		}
	}
	return best, nil
}

// weigh plans the move of an instance to where it lies best, and judges it. The error is a *Refusal where it does not win.
func (b *balancing) weigh(l leaver) (*shift, error) {
	of, err := b.Of(l.Name())
	if err != nil {
		b.unknown = append(b.unknown, l.Name())
		return nil, refusal("instance %s stays on %s: %s", l.Name(), l.Owner, err)
	}
	p, err := prepare(Input{
		Request: Request{Instance: l.Name(), At: b.start}, View: b.view, Now: b.Now, Forecast: of.Forecast, Data: of.Data, Costs: b.Costs, Silent: b.Silent,
	})
	if err != nil {
		return nil, err
	}
	p.fill = proto.FillSpread // strain is what the look is for
	r, err := p.chosen()
	if err != nil {
		return nil, err
	}
	target := r.Plan.Target
	s := &shift{leaver: l, hold: elsewhere(l.held, target), Suggestion: Suggestion{
		Move: r.Move(false), Stays: p.staying().score(), Scores: b.lies(l, r.Plan.Considered[0]), Cost: costOf(r.Plan), Says: r.Plan.Warnings,
	}}
	stays := func(format string, args ...any) error {
		return refusal("instance %s stays on %s: to %s, "+format, append([]any{l.Name(), l.Owner, target}, args...)...)
	}
	switch {
	case b.left[l.Name()][target]:
		return nil, stays("which is best for it, it does not go back: it left that for the balance's sake")
	case b.gives[target]:
		return nil, stays("which is best for it, nothing goes that counts on what leaves there")
	case b.Now.Sub(p.recent.moved.at) < dwell && p.recent.moved.id != "":
		return nil, stays("which is best for it, it does not go yet: it came %s ago with migration %s", roughly(b.Now.Sub(p.recent.moved.at)), p.recent.moved.id)
	case s.Wins() < b.Margin:
		return nil, stays("which is best for it, it scores %s, and %s where it is; with the %s of a day that the move takes it has to win by %s", parts(s.Scores, 1000), parts(s.Stays, 1000),
			parts(s.Cost, 1000), parts(b.Margin, 1000))
	}
	for _, other := range b.takes[target] {
		if label, apart := apartOf(l.Instance, other); apart {
			return nil, stays("which is best for it, %s is to go, with the same label %s=%s: they are kept apart", other.Name(), label.Key, label.Value)
		}
	}
	if s.Strain, err = shifted(b.ledger, l.held, s.hold); err != nil {
		return nil, stays("it does not fit as it is: %s", err)
	}
	if s.Relief() < leastRelief {
		return nil, stays("a move takes %s off the strain of both hosts: it has to be %s", parts(s.Relief(), million), parts(leastRelief, million))
	}
	s.Move.Considered = s.Move.Considered[:min(4, len(s.Move.Considered))]
	s.Move.Reasons = slices.Insert(slices.Clone(s.Move.Reasons), 0,
		fmt.Sprintf("the strain of %s falls from %s to %s, and that of %s goes from %s to %s", l.Owner, parts(s.Strain[0].Before, million), parts(s.Strain[0].After, million),
			target, parts(s.Strain[1].Before, million), parts(s.Strain[1].After, million)),
		fmt.Sprintf("with what it holds today it scores %s on %s, and %s on %s; the move takes %s of a day", parts(s.Stays, 1000), l.Owner, parts(s.Scores, 1000), target, parts(s.Cost, 1000)))
	return s, nil
}

// lies returns the score of a target with what the instance holds today: what its start takes on top counts for where there is room, and not for what comes after.
func (b *balancing) lies(l leaver, best proto.Considered) int64 {
	fit, _ := b.ledger.WeighOn(best.Host, l.held.Envelope)
	score := lieOf(fit, proto.FillSpread).score()
	for _, t := range best.Terms {
		if t.Name == termTransfer || t.Name == termGaveUp {
			score += t.Points
		}
	}
	return max(1, score)
}

// costOf returns what a move takes of a day, in thousandths: balance is worth having for about as long, as demand is another the next day.
func costOf(p proto.Plan) int64 {
	day := (24 * time.Hour).Milliseconds()
	return min(1000, (p.Duration*1000+day-1)/day)
}

// apartOf returns the label by which two instances are to be kept apart, by the word of either.
func apartOf(a, b proto.Instance) (proto.Label, bool) {
	if l, ok := keeps(a.Spec, b.Spec); ok {
		return l, ok
	}
	return keeps(b.Spec, a.Spec)
}

// take suggests a move, and has what comes after it weighed with it done.
func (b *balancing) take(s shift) error {
	if err := b.ledger.Apply(ledger.Change{Release: []string{s.leaver.held.ID}, Hold: []proto.Reservation{s.hold}}); err != nil {
		return err
	}
	for _, h := range s.Strain {
		if _, known := b.strain[h.Host]; known {
			b.strain[h.Host] = h.After
		}
	}
	b.order = slices.DeleteFunc(b.order, func(host string) bool { return host == s.Move.Source || host == s.Move.Target })
	at, _ := slices.BinarySearchFunc(b.order, s.Move.Source, b.worse)
	b.order = slices.Insert(b.order, at, s.Move.Source)
	b.rests[s.leaver.Name()] = true
	b.gives[s.Move.Source] = true
	b.takes[s.Move.Target] = append(b.takes[s.Move.Target], s.leaver.Instance)
	b.out.After -= s.Relief()
	b.out.Suggestions = append(b.out.Suggestions, s.Suggestion)
	return nil
}

// say puts into words what came of the look.
func (b *balancing) say(busy int) {
	o := &b.out
	switch n := len(o.Suggestions); n {
	case 0:
		o.Says = append(o.Says, fmt.Sprintf("no move wins by %s: the strain of %s together stays %s", parts(b.Margin, 1000), proto.Count(o.Hosts, "host"), parts(o.Before, million)))
		if b.no != "" {
			o.Says = append(o.Says, b.no)
		}
	default:
		o.Says = append(o.Says, fmt.Sprintf("the strain of %s together would fall from %s to %s", proto.Count(o.Hosts, "host"), parts(o.Before, million), parts(o.After, million)))
	}
	if b.WhatIf != nil {
		o.Says = slices.Insert(o.Says, 0, assumed(*b.WhatIf, "stays"))
	}
	if busy > 0 {
		o.Says = append(o.Says, fmt.Sprintf("left alone, as a move goes on there or is about to: %d of %s", busy, proto.Count(o.Hosts, "host")))
	}
	if len(b.unknown) > 0 {
		slices.Sort(b.unknown)
		b.unknown = slices.Compact(b.unknown)
		o.Unknown = b.unknown
		o.Says = append(o.Says, fmt.Sprintf("it could not be asked what is expected of %s: they stay", strings.Join(b.unknown[:min(mostTold, len(b.unknown))], ", ")))
	}
	if o.Weighed == mostWeighed {
		o.Says = append(o.Says, fmt.Sprintf("it was looked at the %d heaviest instances on the hosts that are filled worst: there may be more to gain", mostWeighed))
	}
}
