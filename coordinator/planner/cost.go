package planner

import (
	"time"

	"github.com/glidepath/glidepath/proto"
)

// Costs are what moves have been seen to take. The defaults hold until moves of the fleet's own have been measured.
type Costs struct {
	Prepare time.Duration // to verify and make the target ready
	Round   time.Duration // overhead of each early round
	Stop    time.Duration // of the unit
	Start   time.Duration // of the unit, until its health check has passed
	Switch  time.Duration // freeze, commit and confirm beside stop, last round and start
	Reread  int64         // bytes per second at which the last round rereads what it compares
	Rate    int64         // bits per second of a transfer when neither the link nor a limit says
	Bias    proto.Bias    // what moves of the fleet's own came to, beside what was predicted; zero: as predicted
}

// DefaultCosts are figures of a service of some tens of megabytes between two small hosts.
func DefaultCosts() Costs {
	return Costs{
		Prepare: 2 * time.Second, Round: time.Second, Stop: 300 * time.Millisecond, Start: 1500 * time.Millisecond,
		Switch: 700 * time.Millisecond, Reread: 250 << 20, Rate: 200_000_000,
	}
}

// maxRounds bounds the early rounds; the last round takes what is left, however much.
const maxRounds = 5

// smallRest is a rest that is not worth another early round, in bytes.
const smallRest = 4 << 20

func seconds(bytes, perSecond int64) time.Duration {
	return time.Duration(float64(bytes) / float64(perSecond) * float64(time.Second))
}
