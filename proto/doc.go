// Package proto is what agents, coordinators and the ledger say to each other: messages, replicated commands, and their bounded encoding.
//
// Encodings that are compared or hashed hold sorted slices and integer times, never maps. A field is never renamed or
// given another meaning; new fields are added with a new key. Version is raised with every change that an older
// program would misunderstand.
package proto

// Version is the version of the messages between agents and coordinators.
//
//   - 1, 2026-11: first.
const Version = 1
