package planner

import (
	"time"

	"github.com/glidepath/glidepath/internal/resource"
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

// Transfer is how moving the data is expected to go.
type Transfer struct {
	Rounds   int           // early ones
	Bytes    int64         // over all rounds
	Copy     time.Duration // all early rounds
	Rest     int64         // bytes that the last round sends
	Downtime time.Duration // clients' silence: stop, last round, start and switching over
	Settled  bool          // the rounds got smaller; otherwise the instance writes faster than its data move
}

// transfer predicts the rounds of moving data bytes at rate bits per second while dirty bytes per second are written.
func (c Costs) transfer(data, dirty, rate int64) Transfer {
	t := Transfer{Settled: true}
	bytesPerSecond := max(1, rate/8)
	rest := data
	for t.Rounds < maxRounds {
		took := seconds(rest, bytesPerSecond) + c.Round
		t.Rounds++
		t.Bytes += rest
		t.Copy += took
		next := min(data, mulSeconds(dirty, took))
		if next <= smallRest {
			rest = next
			break
		}
		if next >= rest {
			rest, t.Settled = next, false
			break
		}
		rest = next
	}
	t.Rest = rest
	t.Bytes += rest
	t.Downtime = c.Stop + c.Start + c.Switch + seconds(data, c.Reread) + seconds(rest, bytesPerSecond)
	return t
}

func seconds(bytes, perSecond int64) time.Duration {
	return time.Duration(float64(bytes) / float64(perSecond) * float64(time.Second))
}

func mulSeconds(perSecond int64, d time.Duration) int64 {
	return int64(float64(min(perSecond, resource.Unlimited)) * d.Seconds())
}
