package v1

import "github.com/glidepath/glidepath/proto"

// PauseReply says what lifting limits, or setting them again, came to. Agents follow within seconds.
type PauseReply struct {
	Paused    bool             `json:"paused"`
	Changed   bool             `json:"changed"`   // false: it was so before
	Instances []PausedInstance `json:"instances"` // that are concerned: in mode enforce, sorted
}

// PausedInstance is an instance whose limits are lifted or set again.
type PausedInstance struct {
	Instance string           `json:"instance"`
	Host     string           `json:"host"`
	PausedBy []proto.PausedBy `json:"paused_by"` // what lifts its limits now; after a resume, what still does
}

// Paused is what is paused beside the fleet as a whole; each sorted.
type Paused struct {
	Hosts     []string `json:"hosts"`
	There     []string `json:"there"` // hosts, by a word that was said on the host itself
	Instances []string `json:"instances"`
}
