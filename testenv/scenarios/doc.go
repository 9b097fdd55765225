// Package scenarios holds the end-to-end tests: one live Redis, two real hosts and three coordinators, and what can go wrong
// between them.
package scenarios
