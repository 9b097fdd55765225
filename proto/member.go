package proto

// Member is a coordinator's part in the Raft cluster, as it says itself.
type Member struct {
	Leader    bool   `msgpack:"l" json:"leader"`
	Term      uint64 `msgpack:"t" json:"term"`
	Committed uint64 `msgpack:"c" json:"committed"`  // index of the last entry that it knows to be committed
	Applied   uint64 `msgpack:"a" json:"applied"`    // index of the last entry that is in its tables
	Contact   int64  `msgpack:"s" json:"contact_ms"` // since it last heard of the leader; below 0: never
	Program   string `msgpack:"pv" json:"program_version"`
}

// Transfer asks the leader to hand the leadership over.
type Transfer struct {
	To string `msgpack:"to" json:"to"` // coordinator; "" for whoever is most up to date
}

// Report is what a coordinator gives to a support bundle. It has no secrets.
type Report struct {
	Parts []ReportPart `msgpack:"p" json:"parts"` // sorted by name
}

// ReportPart is one file of a report.
type ReportPart struct {
	Name    string `msgpack:"n" json:"name"` // metrics.txt, goroutines.txt, …
	Data    []byte `msgpack:"d" json:"-"`
	Missing string `msgpack:"m" json:"missing,omitzero"` // why it is not there, or not whole
}
