package proto

import (
	"github.com/vmihailenco/msgpack/v5"

	"github.com/glidepath/glidepath/internal/resource"
	"github.com/glidepath/glidepath/internal/timeline"
)

// WindowLength is the length of a window of samples in milliseconds.
const WindowLength = 10_000

// Window is what was measured of one instance (or of SystemInstance) in one window of 10 s, folded from samples of one second.
type Window struct {
	Instance  string          `msgpack:"i" json:"instance"`
	Start     timeline.Time   `msgpack:"t" json:"start"`   // aligned to WindowLength
	Samples   int             `msgpack:"n" json:"samples"` // seconds that were measured, 1 to 10
	Usage     Fold            `msgpack:"u" json:"usage"`
	Demand    Fold            `msgpack:"d" json:"demand"`                       // usage corrected for throttling, pressure and reclaim
	Granted   resource.Vector `msgpack:"g" json:"granted"`                      // allocation at the window's end; Unlimited where no limit was
	Scheduled resource.Vector `msgpack:"s" json:"scheduled"`                    // what the schedule alone said at the window's end
	Throttled int64           `msgpack:"th" json:"throttled_ms"`                // milliseconds of the window in which CPU was throttled
	Pressure  Pressure        `msgpack:"p" json:"pressure"`                     // share of the window in which work waited
	OOMKills  int             `msgpack:"oom" json:"oom_kills,omitzero"`         // processes the kernel killed for memory
	Debt      int64           `msgpack:"debt" json:"memory_debt,omitzero"`      // bytes of memory that could not be taken back
	Faults    []string        `msgpack:"f" json:"limits_not_held,omitempty"`    // limits whose read-back differed, in words
	Signals   []SignalSample  `msgpack:"sg,omitempty" json:"signals,omitempty"` // those that were read in the window, sorted by name
}

// Fold sums up the samples of a window.
type Fold struct {
	Mean resource.Vector `msgpack:"m" json:"mean"`
	Max  resource.Vector `msgpack:"x" json:"max"`
	Last resource.Vector `msgpack:"l" json:"last"`
}

// Pressure holds the kernel's pressure stall figures ("some"), in ten-thousandths of the window.
type Pressure struct {
	CPU    int `msgpack:"c" json:"cpu"`
	Memory int `msgpack:"m" json:"memory"`
	IO     int `msgpack:"i" json:"io"`
}

// Samples brings windows to the home. Sequence numbers the batches of one boot of the agent, so that a batch which is
// sent again is stored once.
type Samples struct {
	Host     string `msgpack:"h" json:"host"`
	Boot     string `msgpack:"b" json:"boot"`
	Sequence uint64 `msgpack:"q" json:"sequence"`
	Windows  Batch  `msgpack:"w" json:"windows"`
}

// Batch is windows that come together, at most MaxBatch.
type Batch []Window

// MaxBatch is how many windows a batch has at most. Agents send half of that.
const MaxBatch = 1024

// DecodeMsgpack implements msgpack.CustomDecoder.
func (b *Batch) DecodeMsgpack(dec *msgpack.Decoder) (err error) {
	*b, err = decodeList[Window](dec, MaxBatch)
	return err
}

// SamplesReply acknowledges all batches up to and with Sequence: they are stored.
type SamplesReply struct {
	Sequence uint64 `msgpack:"q" json:"sequence"`
}
