// Package consensus replicates the state tables over the coordinators with Raft.
package consensus
