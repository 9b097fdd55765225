package proto

// Bias is what finished moves came to beside what was predicted for them, each figure in thousandths of the prediction, 1000 for as predicted and 0 for too few
// moves to tell. Predictions are corrected by it.
type Bias struct {
	Moves    int   `msgpack:"n" json:"moves"` // that it was learned from
	Bytes    int64 `msgpack:"b,omitempty" json:"bytes_milli,omitzero"`
	Copy     int64 `msgpack:"c,omitempty" json:"copy_milli,omitzero"` // the time of the early rounds
	Downtime int64 `msgpack:"d,omitempty" json:"downtime_milli,omitzero"`
}
