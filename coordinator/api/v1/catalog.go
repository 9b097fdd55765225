package v1

import "github.com/glidepath/glidepath/proto"

// TypeReply is an instance type, and whose envelopes changed with it.
type TypeReply struct {
	proto.InstanceType
	Revised []string `json:"revised"` // instances, sorted
}
