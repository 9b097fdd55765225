package proto

import (
	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// Fleet is the one record about the fleet as a whole.
type Fleet struct {
	ID          string        `msgpack:"id" json:"id"`
	Incarnation uint64        `msgpack:"inc" json:"incarnation"`                             // of the control plane: raised when it is restored from a backup
	GridStep    int64         `msgpack:"gs" json:"grid_step_ms"`                             // milliseconds; set at init, never changed
	Policy      Policy        `msgpack:"p" json:"policy"`                                    // what an operator may change
	Paused      bool          `msgpack:"pz" json:"paused,omitzero"`                          // every limit of the fleet is lifted
	CreatedAt   timeline.Time `msgpack:"at" json:"created_at"`                               //
	RaisedAt    timeline.Time `msgpack:"ra" json:"raised_at,omitzero"`                       // when the incarnation was raised last
	RaisedFor   string        `msgpack:"rf" json:"raised_for,omitzero"`                      // why
	Revision    uint64        `msgpack:"rv" json:"policy_revision"`                          // of the policy
	ChangedBy   string        `msgpack:"cb" json:"policy_by,omitzero"`                       // who changed the policy last
	ChangedAt   timeline.Time `msgpack:"ca" json:"policy_at,omitzero"`                       //
	Removed     []string      `msgpack:"rm,omitempty" json:"removed_coordinators,omitempty"` // their Identity, the oldest first; refused for good: who joins again has another

	RemovedHosts []RemovedHost `msgpack:"rh,omitempty" json:"removed_hosts,omitempty"` // the oldest first; refused as coordinators are
}

// RemovedHost is a host that was taken out of the fleet.
type RemovedHost struct {
	Name     string        `msgpack:"n" json:"name"`
	Identity string        `msgpack:"i" json:"identity"` // SHA-256 of its agent's public key, hex; "" when it was not known: then its name is refused, until it joins again
	Dead     bool          `msgpack:"x" json:"dead,omitzero"`
	At       timeline.Time `msgpack:"at" json:"at"`
}

// Policy is how the fleet promises capacity and moves instances.
type Policy struct {
	Z          int64           `msgpack:"z" json:"z_milli"`             // thousandths of a standard deviation that pooled demand is held with; 0 to 10,000
	Ratio      resource.Vector `msgpack:"r" json:"ratio_milli"`         // thousandths of the allocatable amount that may be promised; 1 to 10,000
	Quantiles  ClassQuantiles  `msgpack:"q" json:"quantiles_milli"`     // of the forecast that is reserved
	Probation  int64           `msgpack:"pb" json:"probation_ms"`       // how long the source's data and slot are kept after confirmed
	MovesHost  int             `msgpack:"mh" json:"moves_per_host"`     // migrations at once that touch one host
	MovesFleet int             `msgpack:"mf" json:"moves_in_the_fleet"` // migrations at once

	MovesLink int          `msgpack:"ml,omitempty" json:"moves_per_segment,omitzero"` // migrations at once that transfer over one L2 segment; 0: as many as in the fleet
	Windows   []MoveWindow `msgpack:"w,omitempty" json:"windows,omitempty"`           // when planned moves begin, and when they don't
	Rebalance *Rebalance   `msgpack:"rb,omitempty" json:"rebalance,omitempty"`        // nil: only when somebody asks
	Fill      Fill         `msgpack:"fi,omitempty" json:"fill,omitzero"`              // which hosts are filled first, where the planner chooses
}

// Fill is which hosts the planner fills first.
type Fill string

// Those with most room, so that instances are kept from each other where forecasts are wrong; or those with least, so that others stay empty.
const (
	FillSpread Fill = ""
	FillPack   Fill = "pack"
)

// Rebalance is when the fleet is looked at for moves that balance it, and what becomes of them.
type Rebalance struct {
	Every     int64 `msgpack:"e,omitempty" json:"every_ms,omitzero"`          // milliseconds; 0: only when somebody asks
	Execute   bool  `msgpack:"x,omitempty" json:"execute,omitzero"`           // what is suggested is carried out
	MovesDay  int   `msgpack:"md,omitempty" json:"moves_per_day,omitzero"`    // that are carried out at most in 24 hours
	LeastGain int64 `msgpack:"lg,omitempty" json:"least_gain_milli,omitzero"` // thousandths of the score that a move has to win by
}

// ClassQuantiles holds, for each class, the quantile of the forecast that is reserved, in thousandths.
type ClassQuantiles struct {
	Critical   int `msgpack:"c" json:"critical"`
	Standard   int `msgpack:"s" json:"standard"`
	BestEffort int `msgpack:"b" json:"besteffort"`
}

// Of returns the quantile of a class, in thousandths.
func (q ClassQuantiles) Of(c Class) int {
	switch c {
	case Critical:
		return q.Critical
	case Standard:
		return q.Standard
	default:
		return q.BestEffort
	}
}

// DefaultPolicy is the policy of a fleet whose operator has set none.
func DefaultPolicy() Policy {
	return Policy{
		Z: 2330, Ratio: resource.Uniform(1000), Quantiles: ClassQuantiles{990, 950, 500},
		Probation: 600_000, MovesHost: 2, MovesFleet: 16,
	}
}

// Coordinator is a coordinator of the Raft configuration.
type Coordinator struct {
	Name       string        `msgpack:"n" json:"name"`
	RPCAddr    string        `msgpack:"a" json:"rpc_address"`
	APIAddr    string        `msgpack:"h" json:"api_address"`
	GossipAddr string        `msgpack:"g" json:"gossip_address"`
	Identity   string        `msgpack:"i" json:"identity"` // SHA-256 of its public key, hex
	Program    string        `msgpack:"pv" json:"program_version"`
	Commands   []KnownType   `msgpack:"c" json:"commands"` // what it can apply, sorted by type
	JoinedAt   timeline.Time `msgpack:"at" json:"joined_at"`
}

// KnownType is a command type and the newest version of it that a program can apply.
type KnownType struct {
	Type    CommandType `msgpack:"t" json:"type"`
	Version uint8       `msgpack:"v" json:"version"`
}

// TokenKind says what a token is good for.
type TokenKind string

// The kinds of tokens.
const (
	TokenAPI  TokenKind = "api"  // many uses, until it expires or is revoked
	TokenJoin TokenKind = "join" // one use: a certificate
)

// Role is what the holder of a token may do, or what he joins as.
type Role string

// Roles of API tokens, least first, and of join tokens.
const (
	RoleViewer   Role = "viewer"
	RoleOperator Role = "operator"
	RoleAdmin    Role = "admin"

	RoleAgent       Role = "agent"
	RoleCoordinator Role = "coordinator"
)

// Token is a token as the coordinators know it: never its secret.
type Token struct {
	ID        string        `msgpack:"id" json:"id"`
	Kind      TokenKind     `msgpack:"k" json:"kind"`
	Role      Role          `msgpack:"r" json:"role"`
	Name      string        `msgpack:"n" json:"name,omitzero"` // of a join token: who may join with it, "" for anyone; of an API token: whose it is
	Hash      []byte        `msgpack:"h" json:"-"`             // SHA-256 of the secret
	CreatedAt timeline.Time `msgpack:"at" json:"created_at"`
	CreatedBy string        `msgpack:"by" json:"created_by,omitzero"`
	ExpiresAt timeline.Time `msgpack:"ex" json:"expires_at"` // Forever for none
	UsedAt    timeline.Time `msgpack:"us" json:"used_at,omitzero"`
	UsedBy    string        `msgpack:"ub" json:"used_by,omitzero"`
	RevokedAt timeline.Time `msgpack:"rk" json:"revoked_at,omitzero"`
}
