package home

import (
	"context"
	"fmt"

	"github.com/glidepath/glidepath/coordinator/state"
	"github.com/glidepath/glidepath/proto"
)

// debtStep is by how much a host's memory debt must have changed before the ledger hears of it, in bytes.
const debtStep = 4 << 20

// Observed takes note of what a host's agent could not take back.
func (h *Homes) Observed(host string, windows []proto.Window) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := h.debts[host]
	if of == nil {
		of = map[string]int64{}
		h.debts[host] = of
	}
	for _, w := range windows {
		of[w.Instance] = w.Debt
	}
}

// stateDebt tells the ledger how much memory of a host is owed, when that has changed.
func (h *Homes) stateDebt(ctx context.Context, view *state.View, host proto.Host) {
	name, debt := host.Facts.Name, int64(0)
	h.mu.Lock()
	for instance, n := range h.debts[name] {
		if i, ok := view.Instance(instance); ok && i.Owner == name {
			debt += n
		}
	}
	h.mu.Unlock()
	if d := debt - host.Debt; d > -debtStep && d < debtStep && (debt > 0 || host.Debt == 0) {
		return
	}
	h.propose(ctx, fmt.Sprintf("debt/%s/%d", name, view.Applied()), host, &proto.HostDebt{Host: name, Debt: debt})
}
